"""The error that the launcher raises when it cannot continue."""


class LauncherError(Exception):
    """Something on this machine is in the way; the message names it and says what to do."""
