"""Names that inference scripts import to read a request's body."""

import xgboost as xgb
from sagemaker_algorithm_toolkit.exceptions import UserError

from sagemaker_xgboost_container.data_utils import (
    CSV,
    csv_dmatrix,
    get_content_type,
    libsvm_dmatrix,
)


def _text(body: str | bytes) -> str:
    return (body.decode() if isinstance(body, bytes) else body).strip()


def csv_to_dmatrix(input: str | bytes, dtype: object = None) -> xgb.DMatrix:  # noqa: ARG001
    """Return the rows of a csv without header and label."""
    return csv_dmatrix(_text(input))


def libsvm_to_dmatrix(string_like: str | bytes) -> xgb.DMatrix:
    """Return the rows of libsvm text."""
    return libsvm_dmatrix(_text(string_like))


def decode(obj: str | bytes, content_type: str) -> xgb.DMatrix:
    """Return the rows of a request's body.

    Raises:
        UnsupportedFormatError: The type is neither csv nor libsvm.
    """
    from sagemaker_inference.errors import UnsupportedFormatError

    try:
        kind = get_content_type(content_type)
    except UserError:
        raise UnsupportedFormatError(content_type) from None
    return csv_to_dmatrix(obj) if kind == CSV else libsvm_to_dmatrix(obj)
