"""The errors that AWS's built-in algorithms end with, under the names that AWS gives them."""


class BaseToolkitError(Exception):
    """Ends a training job; the message becomes part of its FailureReason."""


class UserError(BaseToolkitError):
    """The request or the data is wrong."""


class AlgorithmError(BaseToolkitError):
    """The algorithm itself failed."""
