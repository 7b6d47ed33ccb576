"""Several worker processes of one gateway: they share its port, its identity and its limits in Redis.

The first process is the supervisor. It holds the lock on the state directory, starts the workers, starts one that ends
again, passes signals on, and ends when all workers have. Each worker has a configuration and a spool of its own: the
first in the state directory itself, the others in `workers/<number>`. All of them inherit the lock, so that nothing
else can use these directories while any worker lives.

If fewer workers run than before, spools are left over. The supervisor has each of them sent by a process that does
nothing else.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from gateway.contract import CONFIG_PATH
from gateway.contract.versions import READABLE, VERSIONS_HEADER, spoken
from gateway.proxy.backoff import Backoff
from gateway.proxy.control import Control
from gateway.proxy.http.errors import TransportError
from gateway.proxy.metrics import Metrics
from gateway.proxy.segments import SUFFIX
from gateway.proxy.settings import Settings
from gateway.proxy.siblings import forget_reports
from gateway.proxy.spool import Spool
from gateway.proxy.uploader import Uploader

_log = structlog.get_logger()
_FOLDER = "workers"
# In the environment of a worker: its number, and the descriptor of the lock.
WORKER, LOCK = "GATEWAY_WORKER", "GATEWAY_WORKER_LOCK"
# Between starts of a worker that ends again and again.
_AGAIN_SECONDS = 0.5, 30.0
# A worker that has run for so long starts again at once.
_STEADY_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1


def state_dir_of(settings: Settings, worker: int) -> Path:
    """The directory of one worker. Without other workers, the gateway is the first."""
    return settings.state_dir if worker <= 1 else settings.state_dir / _FOLDER / str(worker)


def left_over(settings: Settings) -> list[int]:
    """The workers that no longer run and whose spools still hold usage."""
    return [
        int(path.name)
        for path in sorted((settings.state_dir / _FOLDER).glob("*"))
        if path.name.isdigit() and int(path.name) > settings.workers and any(path.glob(f"spool/*{SUFFIX}"))
    ]


def settings_of_worker(settings: Settings, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this worker, with its own directory. Ends the process if no supervisor has started it."""
    if not _has_lock(settings.state_dir / "lock", environ.get(LOCK, "")):
        sys.exit(f"gateway: {WORKER} is set by the gateway itself. Set GATEWAY_WORKERS instead.")
    directory = state_dir_of(settings, settings.worker)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return replace(settings, state_dir=directory)


def _has_lock(path: Path, descriptor: str) -> bool:
    """Whether this process has inherited the descriptor that locks a file."""
    try:
        held, named = os.fstat(int(descriptor)), path.stat()
        # Succeeds for the descriptor that already has the lock, and for no other.
        fcntl.flock(int(descriptor), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (OSError, ValueError, OverflowError):
        return False
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)


async def supervise(settings: Settings, lock: int) -> int:
    """Run the workers until a signal ends them. Returns the exit code: 0 if all of them ended well."""
    supervisor = _Supervisor(settings, lock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    forget_reports(settings.state_dir)
    work = [supervisor.keep_running(number) for number in range(1, settings.workers + 1)]
    work += [supervisor.send(number) for number in left_over(settings)]
    _log.info("workers_start", workers=settings.workers)
    codes = await asyncio.gather(*work)
    _log.info("workers_ended")
    return max(codes)


class _Supervisor:
    """Starts processes and ends them."""

    def __init__(self, settings: Settings, lock: int) -> None:
        self._settings = settings
        self._lock = lock
        self._running: set[asyncio.subprocess.Process] = set()
        self._ending = asyncio.Event()

    def stop(self) -> None:
        """Let all workers finish. The second time, they do not wait for their calls."""
        self._ending.set()
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    async def keep_running(self, worker: int) -> int:
        """Start a worker, and again whenever it ends, until `stop`. Returns 0 if it ended well at last."""
        backoff = Backoff(*_AGAIN_SECONDS)
        while not self._ending.is_set():
            began = time.monotonic()
            code = await self._run(worker)
            if self._ending.is_set():
                return int(code != 0)
            if time.monotonic() - began >= _STEADY_SECONDS:
                backoff.succeeded()
            wait = backoff.next_wait()
            _log.error("worker_ended", worker=worker, code=code, again_in_seconds=round(wait, 1))
            forget_reports(self._settings.state_dir, worker)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), wait)
        return 0

    async def send(self, worker: int) -> int:
        """Send what is left over of a worker. If the process fails, the next start of the gateway tries again."""
        _log.info("left_over_usage", worker=worker)
        if await self._run(worker) and not self._ending.is_set():
            _log.error("left_over_usage_not_sent", worker=worker)
        return 0

    async def _run(self, worker: int) -> int:
        """Run one process to its end. Returns its exit code."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.proxy",
            env={**os.environ, WORKER: str(worker), LOCK: str(self._lock)},
            pass_fds=(self._lock,),
            # A signal from a terminal comes to the supervisor alone.
            start_new_session=True,
            preexec_fn=_end_with_parent(os.getpid()),
        )
        self._running.add(process)
        if self._ending.is_set():
            process.send_signal(signal.SIGTERM)
        try:
            return await process.wait()
        finally:
            self._running.discard(process)


def _end_with_parent(parent: int) -> Callable[[], None]:
    """A function that a new process calls: the kernel is to end it when the supervisor is killed."""
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask


async def send_left_over(settings: Settings) -> None:
    """Send all usage in the spool of this worker, which serves no calls. Returns when the control plane has it."""
    metrics = Metrics()
    spool = Spool(settings.state_dir / "spool")
    spool.start()
    headers = {"authorization": f"Bearer {settings.token}", "content-type": "application/json"}
    async with Control(settings.control_url, headers) as control:
        sending = asyncio.create_task(_send(spool, control, settings.state_dir / "rejected", metrics))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, sending.cancel)
        await asyncio.wait([sending])
    await asyncio.to_thread(spool.close)
    if not sending.cancelled():
        sending.result()
    _log.info("left_over_usage_ended", spool_pending=spool.pending)


async def _send(spool: Spool, control: Control, rejected: Path, metrics: Metrics) -> None:
    """Send a spool in the version of the contract that the control plane speaks, which is asked first."""
    backoff = Backoff()
    # Beyond every revision, so the answer is short and comes at once.
    nothing = {"after": str(10**17), "wait": "0"}
    while True:
        try:
            async with control.get(CONFIG_PATH, query=nothing, headers={VERSIONS_HEADER: READABLE}) as answer:
                answer.require_useful()
                version = spoken(answer.headers)
                break
        except (TransportError, TimeoutError):
            await asyncio.sleep(backoff.next_wait())
    await Uploader(spool, control, rejected, metrics, lambda: version).send_all()
