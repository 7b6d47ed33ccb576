"""The configuration on a gateway's disk: the last complete one, and all changes since."""

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import structlog

from gateway.contract import ContractError
from gateway.contract.stream import ConfigHead, Unpacker
from gateway.contract.versions import PartReader, read_snapshot
from gateway.proxy.config_build import IndexBuilder, NarrowingBuilder
from gateway.proxy.config_proof import Verifier
from gateway.proxy.disk_reserve import require_room
from gateway.proxy.index import Index
from gateway.proxy.segments import sync_directory

_log = structlog.get_logger()
_AT_ONCE = 64 * 1024
_GZIP = b"\x1f\x8b"
# Changes up to this many bytes are always kept.
SMALLEST_LIMIT = 4 * 1024 * 1024


class ConfigStore:
    """Two files: `path`, which is replaced as a whole, and a file of changes beside it, to which messages are appended.

    A crash leaves the old or the new state of either. Changes that do not begin where the other file ends are
    old, and are skipped. Of those that begin beyond that, only what they take away counts, as when they came
    (NarrowingBuilder). Reading ends at a message that was cut off, or is not genuine.
    """

    def __init__(self, path: Path, verifier: Verifier | None = None) -> None:
        self._path = path
        self.verifier = verifier or Verifier()
        self._changes = path.with_suffix(".changes")
        self._draft = path.with_suffix(".new")

    def load(self) -> Index | None:
        """The newest index that the files give; None if nothing was ever kept.

        Raises OSError, and ContractError if even the whole configuration cannot be used.
        """
        # A killed process may have left a large draft.
        self._draft.unlink(missing_ok=True)
        # Reading makes millions of objects, and none of them is in a cycle.
        with _no_collections():
            return self._load()

    def _load(self) -> Index | None:
        try:
            with self._path.open("rb") as file:
                if file.read(2) == _GZIP:
                    index = self._last_of(file, None)
                else:
                    self.verifier.require_none_given()
                    file.seek(0)
                    return Index(read_snapshot(file.read()))
        except FileNotFoundError:
            return None
        if index is None:
            raise ContractError("The configuration was cut off.")
        try:
            with self._changes.open("rb") as file:
                return self._last_of(file, index) or index
        except FileNotFoundError:
            return index
        except ContractError as error:
            _log.warning("config_changes_not_used", reason=str(error))
            return index

    def _last_of(self, file: BinaryIO, index: Index | None) -> Index | None:
        """Apply the messages of a file to `index`; return the index of the last complete one, None if there is none.

        Raises ContractError if it finds an error before any complete message.
        """
        file.seek(0)
        last: Index | None = None
        builder: IndexBuilder | None = IndexBuilder(index)
        reader = PartReader()
        try:
            for line in _lines(file):
                part = reader.read(line)
                if isinstance(part, ConfigHead):
                    builder = self._builder_for(part, index)
                if builder is None:
                    continue
                builder.take_part(part, line)
                if builder.is_ended:
                    last = index = builder.index()
                    builder = IndexBuilder(index)
        except ContractError as error:
            if last is None:
                raise
            _log.warning("config_on_disk_ends_early", revision=last.revision, reason=str(error))
        return last

    def _builder_for(self, head: ConfigHead, index: Index | None) -> IndexBuilder | None:
        """What applies the message with this head to `index`; None if it is older."""
        proof = self.verifier.proof(None)
        if index is None or head.after == index.revision:
            return IndexBuilder(index, proof=proof)
        if head.after is None or head.after < index.revision:
            return None
        return NarrowingBuilder(index, head.after, proof=proof)

    def draft(self) -> BinaryIO:
        """A file for a complete configuration that is arriving; `keep` makes it the stored one, `drop` deletes it.

        Raises OSError, also if the disk has only the space that usage may need.
        """
        self.require_room(0)
        descriptor = os.open(self._draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        return os.fdopen(descriptor, "wb")

    def require_room(self, size: int) -> None:
        """Raises OSError (no space) if `size` bytes would take space that usage may need."""
        require_room(self._path.parent, size)

    def keep(self, draft: BinaryIO) -> None:
        """Replace the stored configuration by the draft. If this raises OSError, the old one stays."""
        try:
            with draft:
                draft.flush()
                os.fsync(draft.fileno())
            self._draft.replace(self._path)
        except OSError:
            self.drop(draft)
            raise
        self._changes.unlink(missing_ok=True)
        sync_directory(self._path.parent)

    def drop(self, draft: BinaryIO) -> None:
        """Delete a draft, so that a full disk gets its space back."""
        try:
            draft.close()
        # Closing fails too if the unwritten rest does not fit.
        except OSError as error:
            _log.debug("config_draft_not_closed", reason=str(error))
        self._draft.unlink(missing_ok=True)

    def keep_whole(self, body: bytes) -> None:
        """Replace the stored configuration by a `ConfigSnapshot`. If this raises OSError, the old one stays."""
        draft = self.draft()
        try:
            self.require_room(len(body))
            draft.write(body)
        except OSError:
            self.drop(draft)
            raise
        self.keep(draft)

    def add(self, changes: bytes) -> bool:
        """Add changes; False if there are now so many that everything should be fetched again.

        Raises OSError. A partial write is removed, as far as the disk permits.
        """
        self.require_room(len(changes))
        descriptor = os.open(self._changes, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            try:
                written = 0
                while written < len(changes):
                    written += os.write(descriptor, changes[written:])
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if size == 0:
            sync_directory(self._path.parent)
        return size + len(changes) <= max(SMALLEST_LIMIT, self._path.stat().st_size // 2)


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """Without the garbage collector, if it was on."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _lines(file: BinaryIO) -> Iterator[bytes]:
    unpacker = Unpacker()
    while piece := file.read(_AT_ONCE):
        yield from unpacker.feed(piece)
