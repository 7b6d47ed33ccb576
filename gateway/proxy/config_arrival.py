"""A configuration on its way in: read between calls, and written to disk while it comes if it holds everything."""

import asyncio
import time
from typing import BinaryIO

import aiohttp

from gateway.config_stream import ConfigHead, Unpacker
from gateway.proxy.config_build import IndexBuilder
from gateway.proxy.config_store import ConfigStore
from gateway.proxy.index import Index

_AT_ONCE = 64 * 1024
# Of work: timers know no less than a millisecond.
_REST_AFTER_SECONDS = 0.002


class Arrival:
    """One message, everything or changes. Whoever makes one calls `close`, which takes away what was not kept.

    With `can_wait` nothing else waits for it, and reading takes half of the time at most: the other half is for calls.
    """

    def __init__(self, store: ConfigStore, builder: IndexBuilder, *, can_wait: bool = False) -> None:
        self._store = store
        self._builder = builder
        self._can_wait = can_wait
        self._draft: BinaryIO | None = None
        # The message as it came, unless it is everything.
        self.changes = bytearray()
        # Why everything cannot be kept on disk.
        self.problem = ""

    @property
    def head(self) -> ConfigHead | None:
        return self._builder.head

    @property
    def is_everything(self) -> bool:
        return self.head is not None and self.head.after is None

    def index(self) -> Index:
        """As the builder's: raises ContractError if the message was cut off, or makes no sense."""
        return self._builder.index()

    async def read(self, content: aiohttp.StreamReader, *, only_changes: bool = False) -> None:
        """Take lines as they arrive, each of them a millisecond's work, so that calls go on in between.

        With `only_changes` reading ends at the head of everything. Raises ContractError and aiohttp.ClientError.
        """
        unpacker = Unpacker()
        worked_seconds = 0.0
        async for piece in content.iter_chunked(_AT_ONCE):
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
        """Add to the copy of everything. Trouble with the disk is noted in `problem`, and the copy dropped."""
        if self.problem:
            return
        try:
            if self._draft is None:
                self._draft = self._store.draft()
            self._store.require_room(len(piece))
            await asyncio.to_thread(self._draft.write, piece)
        except OSError as error:
            self.problem = str(error)
            # Its room is for usage, now and not when all has come.
            self.close()

    def keep(self) -> None:
        """Let the copy replace what was on disk. Raises OSError, and then that stays."""
        draft, self._draft = self._draft, None
        if draft is not None:
            self._store.keep(draft)

    def close(self) -> None:
        """Drop the copy, if there is one that was not kept."""
        draft, self._draft = self._draft, None
        if draft is not None:
            self._store.drop(draft)
