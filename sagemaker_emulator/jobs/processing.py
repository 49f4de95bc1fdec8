"""Processing jobs."""

from collections.abc import Sequence

from sagemaker_emulator.api.cloud import Fields
from sagemaker_emulator.api.errors import JobError
from sagemaker_emulator.api.records import now
from sagemaker_emulator.jobs.job import Job, Machine, Outcome, write_json
from sagemaker_emulator.jobs.storage import (
    download,
    keys_under,
    upload,
)


class ProcessingJob(Job):
    """A processing job: any command, with folders that come from S3 and go there."""

    log_group = "/aws/sagemaker/ProcessingJobs"

    @property
    def instances(self) -> int:
        return int(self.request["ProcessingResources"]["ClusterConfig"]["InstanceCount"])

    @property
    def image(self) -> str:
        return str(self.request["AppSpecification"]["ImageUri"])

    @property
    def argv(self) -> Sequence[str]:
        specification = self.request["AppSpecification"]
        entry = specification.get("ContainerEntrypoint")
        if not entry:
            raise JobError(
                "ClientError: AppSpecification has no ContainerEntrypoint, and an image's own "
                "entry point is not emulated"
            )
        return [*entry, *(specification.get("ContainerArguments") or [])]

    def heard(self, line: str) -> None:
        """Processing jobs have no metrics."""

    def phase(self, secondary: str, message: str) -> None:  # noqa: ARG002  # shown by training jobs
        if secondary == "Downloading":
            self.record.update(ProcessingStartTime=now())

    def prepare(self, machine: Machine) -> None:
        region, number = self.record.region, self.machines.index(machine)
        config = machine.ml / "config"
        config.mkdir(parents=True, exist_ok=True)
        described = {
            "ProcessingJobArn": self.record.arn,
            "ProcessingJobName": self.record.name,
            **self.request,
        }
        write_json(config / "processingjobconfig.json", described)
        hosts = [each.host for each in self.machines]
        write_json(config / "resourceconfig.json", {"current_host": machine.host, "hosts": hosts})
        for each in self.request.get("ProcessingInputs") or []:
            source = each["S3Input"]
            keys = keys_under(self.cloud, region, source["S3Uri"])
            if source.get("S3DataDistributionType") == "ShardedByS3Key" and keys:
                keys = keys[number :: self.instances]
            download(
                self.cloud, region, source["S3Uri"], machine.path(source["LocalPath"]), keys=keys
            )
        for output in self._outputs():
            machine.path(output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)

    def deliver(self, outcome: Outcome) -> None:
        if outcome.status == "Failed":
            return
        for output in self._outputs():
            target = output["S3Output"]
            for machine in self.machines:
                folder = machine.path(target["LocalPath"])
                upload(self.cloud, self.record.region, folder, target["S3Uri"])

    def failure(self, machine: Machine) -> str:
        path = machine.ml / "output" / "message"
        return path.read_text(errors="replace").strip() if path.exists() else ""

    def finish(self, outcome: Outcome) -> None:
        self.record.update(ProcessingEndTime=now())
        super().finish(outcome)

    def _outputs(self) -> Sequence[Fields]:
        outputs: Sequence[Fields] = self.request.get("ProcessingOutputConfig", {}).get(
            "Outputs", []
        )
        return outputs
