"""What the simulated server says no with."""

from scheduler.core.errors import DovetailError
from scheduler.core.messages import Cause


class RefusedError(DovetailError):
    """The server says no. `cause` as in messages: what the status code means for the writer."""

    def __init__(self, cause: Cause, message: str) -> None:
        self.cause = cause
        self.message = message
        super().__init__(message)
