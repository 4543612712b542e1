"""What services raise. A caller decides on the class; a person reads ``message``."""


class PortalError(Exception):
    """``message``: what happened and what to do, one or two short sentences."""

    status = 400

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(PortalError):
    status = 404


class Forbidden(PortalError):
    """``reason``: in the words of the log and the metrics."""

    status = 403
    reason = "forbidden"


class Conflict(PortalError):
    """The thing is no longer in a state that allows the act."""

    status = 409


class Invalid(PortalError):
    """``errors``: field name → what is wrong with it."""

    status = 422

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(dict.fromkeys(errors.values())))
        self.errors = errors


class TooMany(PortalError):
    """Asked too often, or for too much at once; ``seconds``: how long to wait."""

    status = 429

    def __init__(
        self, seconds: int, message: str = "Too many attempts. Wait a moment and try again."
    ) -> None:
        super().__init__(message)
        self.seconds = seconds


class TooManyJobs(PortalError):
    """A user has as many open jobs as one user may have."""

    status = 429


class Unavailable(PortalError):
    """A part the portal stands on does not answer now; trying again later may help."""

    status = 503


class SettingsError(PortalError):
    """A variable's name and what is wrong with its value, or with what it names."""
