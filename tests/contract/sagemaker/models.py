"""Models of the container in `model_server.py`, and endpoints of them, as people ask for them."""

import io
import tarfile
from typing import Any

from tests.contract.sagemaker.conftest import BUCKET

MODEL_IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/model:1"


def put_model_data(s3: Any, key: str, factor: float) -> str:
    """Write a model that multiplies by `factor`; return its address."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        content = str(factor).encode()
        entry = tarfile.TarInfo("factor")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    s3.put_object(Bucket=BUCKET, Key=f"{key}/model.tar.gz", Body=packed.getvalue())
    return f"s3://{BUCKET}/{key}/model.tar.gz"


def variant(name: str, model: str, **changes: Any) -> Any:
    return {
        "VariantName": name,
        "ModelName": model,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
        **changes,
    }
