"""How SageMaker says no: the codes and words that botocore raises in the caller."""


class ServiceError(Exception):
    """An answer of the API that is an error.

    `status` is that of HTTP; `members` are what the modelled exception carries besides its message.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        members: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members or {}

    @property
    def is_transient(self) -> bool:
        """Say whether the same call may succeed later."""
        return self.code == "ThrottlingException" or self.status in (500, 503)


class ValidationException(ServiceError):
    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


class ResourceNotFound(ServiceError):
    def __init__(self, message: str) -> None:
        super().__init__("ResourceNotFound", message)


class ResourceInUse(ServiceError):
    def __init__(self, message: str) -> None:
        super().__init__("ResourceInUse", message)


class ResourceLimitExceeded(ServiceError):
    def __init__(self, message: str) -> None:
        super().__init__("ResourceLimitExceeded", message)


class NotEmulated(ServiceError):
    """What this emulator does not do; never answered with a made-up success."""

    def __init__(self, what: str) -> None:
        super().__init__("NotEmulated", f"{what} is not emulated", status=501)


class JobError(Exception):
    """Why a job failed, in the words of its FailureReason."""
