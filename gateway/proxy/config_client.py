"""Keeps this gateway's configuration current: long polls, a copy on disk, acknowledgements."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import aiohttp
import structlog

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
from gateway.proxy.index import Index
from gateway.proxy.metrics import Metrics
from gateway.proxy.spool import sync_directory

_log = structlog.get_logger()
_POLL_SECONDS = 25
_ACK_SECONDS = 5.0
_OLD_NEWS_SECONDS = 2.0


class ConfigClient:
    """Fetches snapshots, keeps the newest on disk, puts it in force, and says so to the control plane."""

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
        self._file = file
        self._apply = apply
        self._describe = describe
        self._metrics = metrics
        self._revision = 0
        self._is_confirmed = False  # the control plane has told this process what it knows
        self._problem = ""
        self._changed = asyncio.Event()

    def load_from_disk(self) -> None:
        """Put the snapshot of an earlier process in force, if there is a readable one."""
        try:
            body = self._file.read_bytes()
            index = Index(decode(ConfigSnapshot, body))
        except FileNotFoundError:
            return
        except (OSError, ContractError) as error:
            self._note_problem(f"The snapshot on disk cannot be used: {error}")
            return
        self._revision = index.revision
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
        known = self._revision if self._is_confirmed else 0
        question = {"after": str(known), "wait": str(_POLL_SECONDS)}
        timeout = aiohttp.ClientTimeout(sock_connect=3, sock_read=_POLL_SECONDS + 15)
        async with self._session.get(CONFIG_PATH, params=question, timeout=timeout) as answer:
            if answer.status == 204:
                self._metrics.control_up.set(1)
                if self._is_behind(answer.headers.get(REVISION_HEADER, "")):
                    await asyncio.sleep(_OLD_NEWS_SECONDS)
                return
            answer.raise_for_status()
            body = await answer.read()
        # Compiling many keys takes a while: not in the event loop.
        index = await asyncio.to_thread(lambda: Index(decode(ConfigSnapshot, body)))
        self._metrics.control_up.set(1)
        oldest_news = self._revision + 1 if self._is_confirmed else self._revision
        self._is_confirmed = True
        if index.revision < oldest_news:
            self._is_behind(str(index.revision))
            await asyncio.sleep(_OLD_NEWS_SECONDS)  # it answers at once whatever we know: do not press it
            return
        self._revision, self._problem = index.revision, ""
        self._apply(index)  # first of all: a revoked key must not wait for the disk
        _log.info("config_applied", revision=index.revision, keys=len(index.keys), routes=len(index.routes))
        try:
            await asyncio.to_thread(write_atomically, self._file, body)
        except OSError as error:
            self._note_problem(f"Revision {index.revision} serves, but cannot be kept on disk: {error}")
        self._changed.set()  # acknowledged once it would also survive a restart

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


def write_atomically(path: Path, body: bytes) -> None:
    """Replace a file so that a crash leaves either the old content or the new one."""
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)
