"""Every deliberate error of this project; anything else that escapes is a bug."""


class ProjectError(Exception):
    """Base class: `run.py` turns it into one line and exit code 1."""


class SettingsError(ProjectError):
    """A configuration file or `--set` holds something that it may not hold."""


class DataError(ProjectError):
    """The data cannot be read, or is not what the schema says."""


class ModelError(ProjectError):
    """A model bundle cannot be read, or cannot score what it was given."""


class PlatformError(ProjectError):
    """The stack, a server or a network that we depend on refused or timed out."""
