"""Training jobs."""

import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sagemaker_emulator.api.cloud import Cloud, Fields
from sagemaker_emulator.api.records import Record, now
from sagemaker_emulator.jobs.job import Job, Machine, Outcome, write_json
from sagemaker_emulator.jobs.storage import (
    Metrics,
    download,
    keys_under,
    packed,
    upload,
)


class TrainingJob(Job):
    """A training job; the container's command is `train` unless the request has another."""

    log_group = "/aws/sagemaker/TrainingJobs"

    def __init__(self, cloud: Cloud, record: Record, request: Fields, *, by_job: bool) -> None:
        super().__init__(cloud, record, request, by_job=by_job)
        definitions = request["AlgorithmSpecification"].get("MetricDefinitions") or []
        self._metrics = Metrics(definitions)
        self._started: datetime | None = None

    @property
    def instances(self) -> int:
        return int(self.request["ResourceConfig"].get("InstanceCount", 1))

    @property
    def image(self) -> str:
        return str(self.request["AlgorithmSpecification"]["TrainingImage"])

    @property
    def argv(self) -> Sequence[str]:
        specification = self.request["AlgorithmSpecification"]
        entry = specification.get("ContainerEntrypoint") or ["train"]
        return [*entry, *(specification.get("ContainerArguments") or [])]

    def variables(self) -> dict[str, str]:
        return {
            "TRAINING_JOB_NAME": self.record.name,
            "TRAINING_JOB_ARN": self.record.arn,
            **super().variables(),
        }

    def heard(self, line: str) -> None:
        self._metrics.read(line)

    def phase(self, secondary: str, message: str) -> None:
        transitions = [dict(each) for each in self.record.fields["SecondaryStatusTransitions"]]
        if transitions:
            transitions[-1]["EndTime"] = now()
        transitions.append({"Status": secondary, "StartTime": now(), "StatusMessage": message})
        fields: dict[str, Any] = {}
        if secondary == "Downloading":
            self._started = now()
            fields["TrainingStartTime"] = self._started
        self.record.update(
            SecondaryStatus=secondary, SecondaryStatusTransitions=transitions, **fields
        )

    def prepare(self, machine: Machine) -> None:
        channels = self.request.get("InputDataConfig") or []
        for name in ("model", "output/data", "input/data", "input/config"):
            (machine.ml / name).mkdir(parents=True, exist_ok=True)
        config = machine.ml / "input" / "config"
        write_json(config / "hyperparameters.json", dict(self.request.get("HyperParameters") or {}))
        write_json(config / "resourceconfig.json", self._resource_config(machine))
        write_json(
            config / "inputdataconfig.json", {c["ChannelName"]: _channel(c) for c in channels}
        )
        for channel in channels:
            source = channel["DataSource"]["S3DataSource"]
            folder = machine.ml / "input" / "data" / channel["ChannelName"]
            self._fetch(source, folder, self.machines.index(machine))
        checkpoints = self.request.get("CheckpointConfig")
        if checkpoints:
            folder = machine.path(checkpoints.get("LocalPath", "/opt/ml/checkpoints"))
            folder.mkdir(parents=True, exist_ok=True)
            if keys_under(self.cloud, self.record.region, checkpoints["S3Uri"]):
                download(self.cloud, self.record.region, checkpoints["S3Uri"], folder)

    def deliver(self, outcome: Outcome) -> None:
        region, first = self.record.region, self.machines[0]
        base = f"{self.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.record.name}"
        models = (each.ml / "model" for each in self.machines)
        if outcome.status != "Failed":
            model = packed(models, first.folder / "model.tar.gz")
            if model:
                uri = f"{base}/output/model.tar.gz"
                upload(self.cloud, region, model, uri)
                self.record.update(ModelArtifacts={"S3ModelArtifacts": uri})
        data = (each.ml / "output" / "data" for each in self.machines)
        output = packed(data, first.folder / "output.tar.gz")
        if output:
            upload(self.cloud, region, output, f"{base}/output/output.tar.gz")
        checkpoints = self.request.get("CheckpointConfig")
        if checkpoints:
            folder = first.path(checkpoints.get("LocalPath", "/opt/ml/checkpoints"))
            upload(self.cloud, region, folder, checkpoints["S3Uri"])

    def failure(self, machine: Machine) -> str:
        path = machine.ml / "output" / "failure"
        return path.read_text(errors="replace").strip() if path.exists() else ""

    def finish(self, outcome: Outcome) -> None:
        self._publish_metrics()
        end = now()
        fields: dict[str, Any] = {"TrainingEndTime": end}
        if self._started:
            seconds = math.ceil((end - self._started).total_seconds())
            fields |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
        self.phase(outcome.secondary, outcome.reason or f"Training job {outcome.status.lower()}")
        self.record.update(**fields)
        super().finish(outcome)

    def _fetch(self, source: Fields, folder: Path, number: int) -> None:
        keys = keys_under(self.cloud, self.record.region, source["S3Uri"])
        if source.get("S3DataDistributionType") == "ShardedByS3Key":
            keys = keys[number :: self.instances]
            if not keys:
                folder.mkdir(parents=True)
                return
        download(self.cloud, self.record.region, source["S3Uri"], folder, keys=keys)

    def _resource_config(self, machine: Machine) -> Fields:
        config = self.request["ResourceConfig"]
        hosts = [each.host for each in self.machines]
        group = {"instance_type": config.get("InstanceType"), "hosts": hosts}
        return {
            "current_host": machine.host,
            "hosts": hosts,
            "network_interface_name": "lo",
            "current_instance_type": config.get("InstanceType"),
            "current_group_name": "homogeneousCluster",
            "instance_groups": [{"instance_group_name": "homogeneousCluster", **group}],
        }

    def _publish_metrics(self) -> None:
        values = {name: values for name, values in self._metrics.values.items() if values}
        self.record.update(
            FinalMetricDataList=[
                {"MetricName": name, "Value": seen[-1][1], "Timestamp": now()}
                for name, seen in values.items()
            ]
        )
        data = [
            {
                "MetricName": name,
                "Dimensions": [{"Name": "TrainingJobName", "Value": self.record.name}],
                "Timestamp": time_seen,
                "Value": value,
            }
            for name, seen in values.items()
            for time_seen, value in seen
        ]
        cloudwatch = self.cloud.client("cloudwatch", self.record.region)
        for start in range(0, len(data), 500):
            # Where CloudWatch is away figures are missing there; the job has ended all the same.
            with suppress(ClientError, BotoCoreError):
                cloudwatch.put_metric_data(
                    Namespace=self.log_group, MetricData=data[start : start + 500]
                )


def _channel(channel: Fields) -> Fields:
    return {
        "TrainingInputMode": channel.get("InputMode", "File"),
        "ContentType": channel.get("ContentType"),
        "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
            "S3DataDistributionType", "FullyReplicated"
        ),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
