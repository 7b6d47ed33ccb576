"""`python -m gateway.proxy`: one gateway process, until SIGTERM or SIGINT.

The first signal lets calls in progress finish (`GATEWAY_DRAIN_SECONDS`) while new ones are refused; a second
one does not wait.
"""

import asyncio
import contextlib
import ctypes
import gc
import resource
import signal
import socket
import sys
import time
from pathlib import Path

import structlog
import uvloop

from gateway.contract import CONTRACT_VERSION, REGION_HEADER
from gateway.proxy import workers
from gateway.proxy.app import App
from gateway.proxy.background import Background
from gateway.proxy.config_client import ConfigClient
from gateway.proxy.config_proof import Verifier
from gateway.proxy.config_reports import ConfigReports
from gateway.proxy.config_store import ConfigStore
from gateway.proxy.connections import Connections
from gateway.proxy.control import Control
from gateway.proxy.handover import handed_over
from gateway.proxy.http.server import HttpServer
from gateway.proxy.intake import BodyBudget
from gateway.proxy.limits import MemoryLimiter
from gateway.proxy.limits_redis import RedisLimiter
from gateway.proxy.logs import configure_logging
from gateway.proxy.metrics import Metrics
from gateway.proxy.ownership import NotOurs, own
from gateway.proxy.probes import Prober
from gateway.proxy.refused_calls import RefusalSender
from gateway.proxy.routing import MOST_CONNECTIONS, Router
from gateway.proxy.settings import Settings, SettingsError, read_settings
from gateway.proxy.siblings import Siblings
from gateway.proxy.spool import Spool
from gateway.proxy.state import State
from gateway.proxy.uploader import Uploader
from gateway.proxy.vault import Vault

_log = structlog.get_logger()
_LAST_UPLOAD_SECONDS = 3.0
_CLOSE_SECONDS = 5.0
_LATE_REQUESTS_SECONDS = 1.0
_MOST_CONNECTIONS = 4096
_OTHER_FILES = 256
_TRIM_SECONDS = 2.0
# Bytes of larger bodies held at once.
_WORTH_TRIMMING = 4 * 1024 * 1024
# Objects between collections of the youngest; and how many of those between collections of the older ones.
_COLLECT_AFTER = (10_000, 20, 20)
# How long a thread that reads a large body may keep the event loop waiting.
_SWITCH_SECONDS = 0.001


def main() -> None:
    """Read the settings, take the state directory, and serve."""
    try:
        settings = read_settings()
        listening = handed_over(workers=settings.workers)
    except SettingsError as error:
        sys.exit(f"gateway: {error}")
    sys.setswitchinterval(_SWITCH_SECONDS)
    configure_logging(settings.log_level, settings.gateway_id, settings.worker)
    if settings.worker:
        of_worker = workers.settings_of_worker(settings)
        is_serving = settings.worker <= settings.workers
        uvloop.run(
            serve(of_worker, gateway_dir=settings.state_dir)
            if is_serving
            else workers.send_left_over(of_worker)
        )
        return
    if listening is None:
        _require_free_port(settings)
    try:
        with own(settings.state_dir) as lock:
            if settings.workers > 1 or workers.left_over(settings):
                sys.exit(uvloop.run(workers.supervise(settings, lock)))
            uvloop.run(serve(settings, listening=listening))
    except NotOurs as error:
        sys.exit(f"gateway: {error}")


async def serve(
    settings: Settings, *, gateway_dir: Path | None = None, listening: socket.socket | None = None
) -> None:
    """Run one gateway, or one worker of the gateway with the directory `gateway_dir`, until a signal ends it.

    `listening` is the socket that it was handed over, if any.
    """
    metrics = Metrics()
    spool = Spool(settings.state_dir / "spool")
    spool.start()
    metrics.spool_torn.inc(spool.torn)
    headers = {"authorization": f"Bearer {settings.token}", "content-type": "application/json"}
    headers[REGION_HEADER] = settings.region
    async with (
        Connections(metrics, most=_connections()) as upstream,
        Control(settings.control_url, headers) as control,
    ):
        # No single backend gets all connections.
        router = Router(metrics, most_connections=min(MOST_CONNECTIONS, _connections() // 2))
        shared = _shared_limiter(settings, metrics)
        limiter = shared or MemoryLimiter()
        bodies = BodyBudget(settings.body_memory_mib * 1024**2)
        answers = BodyBudget(settings.answer_memory_mib * 1024**2)
        vault = Vault(settings.state_dir, settings.credentials_dir)
        state = State(
            settings, upstream, spool, limiter, metrics, router, time.time(), bodies, answers, vault
        )
        spool.groups.calls_in_progress = lambda: state.active
        if gateway_dir is not None and settings.workers > 1:
            state.siblings = Siblings(gateway_dir, settings.worker, state.own_metrics_text)
        verifier = Verifier(settings.config_keys, settings.gateway_id)
        if not settings.config_keys:
            _log.warning("config_signatures_not_checked", reason="GATEWAY_CONFIG_KEYS is not set")
        reports = ConfigReports(control, settings.gateway_id, state.describe, metrics)
        state.config_problem = lambda: reports.problem
        store = ConfigStore(settings.state_dir / "snapshot.json", verifier)
        config = ConfigClient(control, store, state.apply, reports, metrics, vault)
        config.load_from_disk()
        gc.collect()
        # These objects stay alive: each collection that scans them takes 25 ms.
        gc.freeze()
        # A call leaves no cycles, so little of what is new is garbage.
        gc.set_threshold(*_COLLECT_AFTER)
        uploader = Uploader(
            spool,
            control,
            settings.state_dir / "rejected",
            metrics,
            lambda: _spoken(state),
        )
        refusals = RefusalSender(state.refused, control, lambda: _spoken(state))
        work = {
            "configuration": config.poll,
            "reports": reports.run,
            "refusals": refusals.run,
            "usage": uploader.run,
            "probes": Prober(upstream, router, vault, lambda: state.index).run,
            "memory": lambda: _return_memory(bodies, answers),
            **({"limits": shared.maintain} if shared else {}),
        }
        beside = Background(metrics)
        state.background_problem = lambda: beside.problem
        background = [asyncio.create_task(beside.keep_running(name, one)) for name, one in work.items()]
        await _serve_http(settings, state, listening)
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        if shared:
            await shared.close()
        with contextlib.suppress(TimeoutError, OSError):
            await asyncio.wait_for(uploader.send_all(), _LAST_UPLOAD_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(refusals.send(is_last=True), _LAST_UPLOAD_SECONDS)
        await asyncio.to_thread(spool.close)
        _log.info("gateway_ended", spool_pending=spool.pending)


def _spoken(state: State) -> int:
    """The version of the contract that the control plane speaks."""
    return state.index.snapshot.contract_version if state.index else CONTRACT_VERSION


def _shared_limiter(settings: Settings, metrics: Metrics) -> RedisLimiter | None:
    """The limiter that counts in Redis, if the settings name one."""
    if not settings.redis_url:
        return None
    return RedisLimiter(
        settings.redis_url,
        metrics,
        fails_open=settings.limits_fail_open,
        lease_seconds=settings.limits_lease_seconds,
    )


async def _serve_http(settings: Settings, state: State, listening: socket.socket | None) -> None:
    """Answer requests until a signal arrives; then finish those in progress."""
    server = HttpServer(App(state).serve, head_seconds=settings.head_seconds, most_connections=_connections())
    try:
        if listening is not None:
            await server.listen_on(listening)
        else:
            await server.listen(settings.host, settings.port, reuse_port=settings.worker > 0)
    except OSError as error:
        sys.exit(_cannot_listen(settings, error))
    signals = _Signals()
    await signals.first.wait()
    if listening is not None:
        # Whoever connects from now on waits for the next gateway. Who has connected may still send its request.
        server.stop_listening()
        server.is_ending = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(signals.second.wait(), _LATE_REQUESTS_SECONDS)
    _log.info("gateway_draining", active=state.active, seconds=settings.drain_seconds)
    state.is_draining = server.is_ending = True
    if state.active:
        waits = {asyncio.create_task(state.idle.wait()), asyncio.create_task(signals.second.wait())}
        _, unfinished = await asyncio.wait(
            waits, timeout=settings.drain_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for wait in unfinished:
            wait.cancel()
    for end_now in list(state.serving):
        end_now()
    await server.close(_CLOSE_SECONDS)


def _connections() -> int:
    """How many clients may be connected. Each may also need a connection to a backend."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _MOST_CONNECTIONS + _OTHER_FILES
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(64, min(_MOST_CONNECTIONS, (soft - _OTHER_FILES) // 2))


async def _return_memory(*budgets: BodyBudget) -> None:
    """Return memory to the system after large bodies and answers: the C library keeps freed memory.

    Never returns.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
    while trim is not None:
        await asyncio.sleep(_TRIM_SECONDS)
        for budget in budgets:
            if budget.highest >= _WORTH_TRIMMING and budget.used <= budget.highest // 4:
                budget.highest = budget.used
                await asyncio.to_thread(trim, 0)
    await asyncio.Event().wait()


class _Signals:
    """SIGTERM and SIGINT as events."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._came)

    def _came(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


def _require_free_port(settings: Settings) -> None:
    """End the process if the port is in use, before it touches anything."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        sys.exit(_cannot_listen(settings, error))


def _cannot_listen(settings: Settings, error: OSError) -> str:
    where = f"{settings.host}:{settings.port}"
    return f"gateway: cannot listen on {where}: {error.strerror}. Choose another GATEWAY_PORT."


if __name__ == "__main__":
    main()
