"""Steps of pipelines as people write them, in JSON."""

import json
from collections.abc import Sequence
from typing import Any

from tests.contract.sagemaker.conftest import BUCKET
from tests.contract.sagemaker.requests import channel, processing_request, training_request

EXECUTION_ID = {"Get": "Execution.PipelineExecutionId"}


def definition(*steps: Any, parameters: Sequence[Any] = (), **changes: Any) -> str:
    document = {"Version": "2020-12-01", "Parameters": list(parameters), "Steps": list(steps)}
    return json.dumps(document | changes)


def joined(*values: Any) -> Any:
    return {"Std:Join": {"On": "/", "Values": list(values)}}


def processing(name: str, role: str, script: str, *, output: str = "", **changes: Any) -> Any:
    """A step that runs `script`; `output` is what it writes into, if anything."""
    arguments = processing_request("", role, "python", "-c", script)
    del arguments["ProcessingJobName"]
    if output:
        target = {
            "S3Uri": joined(f"s3://{BUCKET}", EXECUTION_ID, name),
            "LocalPath": "/opt/ml/processing/out",
            "S3UploadMode": "EndOfJob",
        }
        arguments["ProcessingOutputConfig"] = {
            "Outputs": [{"OutputName": output, "S3Output": target}]
        }
    arguments |= changes.pop("arguments", {})
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **changes}


def training(name: str, role: str, script: str, *, data: Any = None, **changes: Any) -> Any:
    """A step that trains with `script` on the files at `data`."""
    arguments = training_request("", role, BUCKET, "python", "-c", script)
    del arguments["TrainingJobName"]
    if data:
        arguments["InputDataConfig"] = [channel(data)]
    arguments |= changes.pop("arguments", {})
    return {"Name": name, "Type": "Training", "Arguments": arguments, **changes}


def source(uri: Any, path: str) -> Any:
    """An input of a processing step."""
    s3 = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": path.rpartition("/")[2], "S3Input": s3}


def condition(name: str, *conditions: Any, then: Any = (), otherwise: Any = (), **more: Any) -> Any:
    arguments = {
        "Conditions": list(conditions),
        "IfSteps": list(then),
        "ElseSteps": list(otherwise),
    }
    return {"Name": name, "Type": "Condition", "Arguments": arguments, **more}


def comparison(type_: str, left: Any, right: Any) -> Any:
    return {"Type": type_, "LeftValue": left, "RightValue": right}


def fail(name: str, message: Any, **more: Any) -> Any:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}, **more}
