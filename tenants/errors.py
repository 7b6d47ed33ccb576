"""What an action raises besides Django's PermissionDenied, ValidationError and DoesNotExist."""


class Conflict(Exception):
    """The deed is allowed but does not fit the present state: somebody was faster, or it is over. HTTP 409."""

    def __init__(self, message: str, *, code: str = "conflict") -> None:
        super().__init__(message)
        self.message, self.code = message, code
