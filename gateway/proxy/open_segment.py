"""The segment file that is being written.

Syncing a file that has become longer also writes the file system's journal, which takes longer than the data. So a
segment grows in steps: zeros behind its records are space for the next ones. Readers ignore the zeros, and `close`
cuts them off.
"""

import contextlib
import errno
import os
from pathlib import Path

# Zeros written at a time: as many bytes as the segment has or is expected to get, within these bounds.
_LEAST_AHEAD = 16 * 1024
_MOST_AHEAD = 512 * 1024


class OpenSegment:
    """A new segment file. Used by one thread at a time."""

    def __init__(self, path: Path, expected: int = 0) -> None:
        """Create the file, which will probably get `expected` bytes. Raises FileExistsError, or another OSError."""
        self.path = path
        self._ahead = expected
        # Bytes of the records on disk.
        self.size = 0
        # Bytes of the file.
        self._room = 0
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, records: bytes) -> bool:
        """Write records behind the others, and sync them. Returns whether the disk had to give space for that.

        Raises OSError: then call `undo`.
        """
        size = len(records)
        is_longer = self.size + size > self._room
        if is_longer:
            records += bytes(min(max(self.size, self._ahead, _LEAST_AHEAD), _MOST_AHEAD))
        rest = memoryview(records)
        written = 0
        # The zeros may be missing, if the disk is nearly full.
        while written < size:
            written += os.pwrite(self.descriptor, rest[written:], self.size + written)
        os.fdatasync(self.descriptor)
        self._room = max(self._room, self.size + written)
        self.size += size
        return is_longer

    def write_ahead(self, records: bytes) -> bool:
        """Write records behind the others, into space that is on disk already, and sync nothing. False without space.

        They count once they are synced and `advance` is called; until then `write` begins at the same place. Raises
        OSError if not all of them were written.
        """
        if self.size + len(records) > self._room:
            return False
        if os.pwrite(self.descriptor, records, self.size) != len(records):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return True

    def advance(self, size: int) -> None:
        """Count `size` bytes that were written ahead and are on disk."""
        self.size += size

    def undo(self) -> None:
        """Remove what a failed `write` has left. Raises OSError: then the file has an incomplete tail, so close it."""
        os.ftruncate(self.descriptor, self.size)
        self._room = self.size

    def close(self) -> bool:
        """Close the file; without records it is deleted. Returns whether it has records."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, self.size)
        os.close(self.descriptor)
        if not self.size:
            with contextlib.suppress(OSError):
                self.path.unlink()
        return self.size > 0
