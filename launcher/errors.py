"""What the launcher says when it cannot go on."""


class LauncherError(Exception):
    """Something on this machine is in the way; the message says what it is and what to do about it."""
