"""Disk space reserved for usage. The gateway frees it when the disk is full, so that calls in progress can
still be recorded, and reserves it again when there is room.
"""

import contextlib
import errno
import os
from pathlib import Path

RESERVE_BYTES = 4 * 1024 * 1024  # about 9,000 records
_PROBE_BYTES = 16 * 1024
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Reserve:
    """A file that only occupies space."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "reserve"

    def give_up(self, error: OSError) -> bool:
        """Make room if `error` says that the disk is full. True if there was a reserve to give up."""
        if error.errno not in _FULL:
            return False
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def check(self) -> None:
        """Create the reserve if it is missing, and check that a new file can be written.

        Raises OSError with the reason why usage could not be recorded now.
        """
        if not self._path.exists():
            self._take(self._path, RESERVE_BYTES)
        probe = self._directory / "probe"
        try:
            self._take(probe, _PROBE_BYTES)
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()

    def _take(self, path: Path, size: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            try:
                os.posix_fallocate(descriptor, 0, size)
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise
                os.write(descriptor, bytes(size))
            os.write(descriptor, b"reserve\n")
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)


def require_room(directory: Path, size: int) -> None:
    """Raises OSError (no space) if a file of `size` bytes would take space that usage may need."""
    disk = os.statvfs(directory)
    if disk.f_bavail * disk.f_frsize < size + 2 * RESERVE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))
