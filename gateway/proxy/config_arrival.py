"""A configuration as it arrives: read between calls, and written to disk meanwhile if it is complete."""

import asyncio
import time
from typing import BinaryIO

from gateway.contract.signatures import NONCE_HEADER
from gateway.contract.stream import ConfigHead, Unpacker
from gateway.proxy.config_build import IndexBuilder
from gateway.proxy.config_store import ConfigStore
from gateway.proxy.control import ControlAnswer
from gateway.proxy.index import Index

# Seconds of work before a rest: timers cannot measure less than a millisecond.
_REST_AFTER_SECONDS = 0.002


class Arrival:
    """One message: everything or changes. The creator must call `close`, which deletes a copy that was not kept.

    With `can_wait` nothing else waits for the message, and reading takes at most half of the time: calls get the rest.
    """

    def __init__(self, store: ConfigStore, builder: IndexBuilder, *, can_wait: bool = False) -> None:
        self._store = store
        self._builder = builder
        self._can_wait = can_wait
        self._draft: BinaryIO | None = None
        # The message as received, unless it is everything.
        self.changes = bytearray()
        # Why the configuration cannot be kept on disk.
        self.problem = ""

    @property
    def head(self) -> ConfigHead | None:
        return self._builder.head

    @property
    def revision(self) -> int:
        """The revision of the message; 0 before its head came."""
        return self.head.revision if self.head else 0

    @property
    def is_everything(self) -> bool:
        return self.head is not None and self.head.after is None

    def index(self) -> Index:
        """The builder's index. Raises ContractError if the message was cut off, or makes no sense."""
        return self._builder.index()

    async def read(self, answer: ControlAnswer, *, only_changes: bool = False) -> None:
        """Read the lines of an answer as they arrive. Each takes about a millisecond, so calls can run in between.

        With `only_changes`, reading stops at the head of a complete configuration. Raises ContractError,
        TimeoutError and TransportError.
        """
        self._builder.proof = self._store.verifier.proof(answer.sent.get(NONCE_HEADER, ""))
        unpacker = Unpacker()
        worked_seconds = 0.0
        async for piece in answer.pieces():
            begun_at = time.perf_counter()
            for line in unpacker.feed(piece):
                self._builder.take(line)
                if only_changes and self.is_everything:
                    return
                worked_seconds += time.perf_counter() - begun_at
                if worked_seconds < _REST_AFTER_SECONDS:
                    await asyncio.sleep(0)
                else:
                    await asyncio.sleep(worked_seconds if self._can_wait else 0)
                    worked_seconds = 0.0
                begun_at = time.perf_counter()
            if not self.is_everything:
                self.changes += piece
            elif self.changes:
                begun = bytes(self.changes)
                self.changes.clear()
                await self.write(begun + piece)
            else:
                await self.write(piece)

    async def write(self, piece: bytes) -> None:
        """Add to the copy on disk. If the disk fails, the error goes into `problem`, and the copy is dropped."""
        if self.problem:
            return
        try:
            if self._draft is None:
                self._draft = self._store.draft()
            self._store.require_room(len(piece))
            await asyncio.to_thread(self._draft.write, piece)
        except OSError as error:
            self.problem = str(error)
            # Free its space for usage now, not only when everything has arrived.
            self.close()

    def keep(self) -> None:
        """Replace the file on disk by the copy. If this raises OSError, the file stays as it was."""
        draft, self._draft = self._draft, None
        if draft is not None:
            self._store.keep(draft)

    def close(self) -> None:
        """Drop the copy if it was not kept."""
        draft, self._draft = self._draft, None
        if draft is not None:
            self._store.drop(draft)
