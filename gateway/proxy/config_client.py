"""Keeps this gateway's configuration current: long polls, a copy on disk, acknowledgements."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import aiohttp
import structlog

from gateway.config_stream import CONFIG_TYPE, Unpacker
from gateway.contract import (
    CONFIG_PATH,
    REVISION_HEADER,
    Ack,
    ConfigSnapshot,
    ContractError,
    ack_path,
    decode,
    encode,
)
from gateway.proxy.backoff import Backoff
from gateway.proxy.config_build import IndexBuilder
from gateway.proxy.config_store import ConfigStore
from gateway.proxy.index import Index
from gateway.proxy.metrics import Metrics
from gateway.proxy.records import Keys

_log = structlog.get_logger()
_POLL_SECONDS = 25
_ACK_SECONDS = 5.0
_OLD_NEWS_SECONDS = 2.0
_CHANGES_ONLY_SECONDS = 6 * 3600.0  # then everything is fetched anew: what the ledger has seen used grows old
_RETIRED_AFTER_SECONDS = 5.0  # a call looks its key up at once
_AT_ONCE = 64 * 1024


class ConfigClient:
    """Fetches the configuration, puts it in force, keeps it on disk, and says so to the control plane."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        gateway_id: str,
        file: Path,
        apply: Callable[[Index], None],
        describe: Callable[[str], Ack],
        metrics: Metrics,
    ) -> None:
        self._session = session
        self._gateway_id = gateway_id
        self._store = ConfigStore(file)
        self._apply = apply
        self._describe = describe
        self._metrics = metrics
        self._index: Index | None = None
        self._is_confirmed = False  # the control plane has told this process everything
        self._everything_until = 0.0  # by the monotonic clock
        self._has_caught_up = False  # a copy from disk has what changed since
        self._retiring: set[asyncio.Task[None]] = set()
        self._problem = ""
        self._changed = asyncio.Event()

    @property
    def _revision(self) -> int:
        return self._index.revision if self._index else 0

    def load_from_disk(self) -> None:
        """Put the configuration of an earlier process in force, if there is a readable one."""
        try:
            index = self._store.load()
        except (OSError, ContractError) as error:
            self._note_problem(f"The snapshot on disk cannot be used: {error}")
            return
        if index is None:
            return
        self._index = index
        self._apply(index)
        _log.info("config_loaded_from_disk", revision=index.revision, issued_at=index.issued_at)

    async def poll(self) -> None:
        """Ask for newer revisions, for ever. Failures change nothing but the time of the next question."""
        backoff = Backoff()
        while True:
            try:
                await self._ask_once()
            except (aiohttp.ClientError, TimeoutError, ContractError, OSError) as error:
                self._metrics.control_up.set(0)
                if isinstance(error, ContractError):
                    self._note_problem(str(error))
                wait = backoff.next_wait()
                _log.warning(
                    "config_not_fetched",
                    reason=f"{type(error).__name__}: {error}",
                    serving_revision=self._revision,
                    again_in_seconds=round(wait, 1),
                )
                await asyncio.sleep(wait)
            else:
                backoff.succeeded()

    async def acknowledge(self) -> None:
        """Say what is in force: at once after a change, and every few seconds."""
        while True:
            self._changed.clear()  # before describing: a change meanwhile must wake us again
            if self._revision:
                await self._acknowledge_once()
            try:
                await asyncio.wait_for(self._changed.wait(), _ACK_SECONDS)
            except TimeoutError:
                continue

    async def _ask_once(self) -> None:
        # A copy from disk is current in everything but `used`, which the ledger has counted on meanwhile.
        if time.monotonic() > self._everything_until:
            self._is_confirmed = False
        question = {"after": "0", "wait": str(_POLL_SECONDS)}
        if self._index is not None and self._is_confirmed:
            question["after"] = str(self._revision)
            if self._index.state:
                question["state"] = self._index.state
        elif self._index is not None and self._index.state and not self._has_caught_up:
            # What was revoked meanwhile is told first: everything may take seconds to arrive.
            question = {"after": str(self._revision), "wait": "0", "state": self._index.state}
        headers = {"accept": f"{CONFIG_TYPE}, application/json"}
        timeout = aiohttp.ClientTimeout(sock_connect=3, sock_read=_POLL_SECONDS + 15)
        async with self._session.get(
            CONFIG_PATH, params=question, headers=headers, timeout=timeout
        ) as answer:
            if answer.status == 204:
                self._has_caught_up = True
                self._metrics.control_up.set(1)
                if self._is_behind(answer.headers.get(REVISION_HEADER, "")):
                    await asyncio.sleep(_OLD_NEWS_SECONDS)
                return
            answer.raise_for_status()
            self._has_caught_up = True
            try:
                if answer.content_type == CONFIG_TYPE:
                    await self._receive(answer.content)
                else:
                    await self._receive_whole(await answer.read())
            except ContractError:
                self._is_confirmed = False  # whatever it was: everything puts it right
                raise

    async def _receive_whole(self, body: bytes) -> None:
        """Take a `ConfigSnapshot`."""
        # Compiling many keys takes a while: not in the event loop.
        index = await asyncio.to_thread(lambda: Index(decode(ConfigSnapshot, body)))
        if await self._put_in_force(index, is_everything=True):
            await self._keep(lambda: self._store.keep_whole(body))

    async def _receive(self, content: aiohttp.StreamReader) -> None:
        """Take lines as they arrive, each of them a millisecond's work, so that calls go on in between."""
        unpacker, builder = Unpacker(), IndexBuilder(self._index)
        draft: BinaryIO | None = None
        begun = bytearray()  # until it is clear what this is; of changes all
        problem = ""
        try:
            async for piece in content.iter_chunked(_AT_ONCE):
                for line in unpacker.feed(piece):
                    builder.take(line)
                    await asyncio.sleep(0)
                if builder.head is None or builder.head.after is not None:
                    begun += piece
                elif not problem:
                    try:
                        if draft is None:
                            draft = self._store.draft()
                            piece = bytes(begun) + piece
                        self._store.require_room(len(piece))
                        await asyncio.to_thread(draft.write, piece)
                    except OSError as error:
                        problem = str(error)
                        if draft is not None:  # its room is for usage, now and not when all has come
                            self._store.drop(draft)
                            draft = None
            index = builder.index()
            is_everything = builder.head is not None and builder.head.after is None
            if not await self._put_in_force(index, is_everything=is_everything):
                return
            if problem:
                self._note_problem(f"Revision {index.revision} serves, but cannot be kept on disk: {problem}")
            elif not is_everything:
                await self._keep(lambda: self._add(bytes(begun)))
            elif draft is not None:
                kept, draft = draft, None
                await self._keep(lambda: self._store.keep(kept))
        finally:
            if draft is not None:
                self._store.drop(draft)

    async def _put_in_force(self, index: Index, *, is_everything: bool) -> bool:
        """Make it the configuration for all calls from now on; False if it is older than what is known."""
        self._metrics.control_up.set(1)
        oldest_news = self._revision + 1 if self._is_confirmed else self._revision
        if is_everything:
            self._is_confirmed = True
            spread = random.uniform(0.75, 1.25)  # noqa: S311 - so that gateways do not all ask at once
            self._everything_until = time.monotonic() + _CHANGES_ONLY_SECONDS * spread
        if index.revision < oldest_news:
            self._is_behind(str(index.revision))
            await asyncio.sleep(_OLD_NEWS_SECONDS)  # it answers at once whatever we know: do not press it
            return False
        if is_everything:
            self._retire(self._index)
        self._problem = ""
        self._index = index
        self._apply(index)  # before it is on disk: a revoked key must not wait for that
        _log.info("config_applied", revision=index.revision, keys=len(index.keys), routes=len(index.routes))
        return True

    async def _keep(self, write: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(write)
        except OSError as error:
            self._note_problem(f"Revision {self._revision} serves, but cannot be kept on disk: {error}")
        self._changed.set()  # acknowledged once it would also survive a restart

    def _add(self, changes: bytes) -> None:
        if not self._store.add(changes):
            self._everything_until = 0.0

    def _retire(self, index: Index | None) -> None:
        if index is not None and isinstance(index.keys, Keys):
            task = asyncio.get_running_loop().create_task(_give_back(index.keys))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _is_behind(self, theirs: str) -> bool:
        """Whether the control plane is behind us, restored from an older copy; reported if so."""
        if not theirs.isdigit() or int(theirs) >= self._revision:
            return False
        self._note_problem(
            f"The control plane is at revision {theirs}, this gateway at {self._revision}: its database "
            f"was probably restored. Raise its revision above {self._revision}."
        )
        return True

    def _note_problem(self, problem: str) -> None:
        if problem != self._problem:
            self._metrics.config_problems.inc()
            _log.error("config_problem", reason=problem)
        self._problem = problem
        self._changed.set()

    async def _acknowledge_once(self) -> None:
        body = encode(self._describe(self._problem))
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            async with self._session.post(ack_path(self._gateway_id), data=body, timeout=timeout) as answer:
                if answer.status >= 400:
                    _log.warning("ack_refused", status=answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.debug("ack_not_delivered", reason=f"{type(error).__name__}: {error}")


async def _give_back(keys: Keys) -> None:
    await asyncio.sleep(_RETIRED_AFTER_SECONDS)
    for _ in keys.records.retire():
        await asyncio.sleep(0)
