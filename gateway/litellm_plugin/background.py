"""The plugin's own event loop, in a thread: configuration, limits, and the spool of usage.

LiteLLM's loop is busy for many milliseconds at a time, and what happens here must not wait for it. Calls hand work over
with `do`, and read `index`, which is immutable, directly.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from msgspec import UNSET

from gateway.contract import CONTRACT_VERSION, CONTRACT_VERSIONS, Ack
from gateway.contract.usage import RefusedRevision
from gateway.proxy.background import Background as OwnWork
from gateway.proxy.config_client import ConfigClient
from gateway.proxy.config_proof import Verifier
from gateway.proxy.config_reports import ConfigReports
from gateway.proxy.config_store import ConfigStore
from gateway.proxy.control import Control
from gateway.proxy.errors import unavailable, usage_not_recorded
from gateway.proxy.ids import rfc3339
from gateway.proxy.index import Index
from gateway.proxy.limits import Limiter, MemoryLimiter
from gateway.proxy.limits_redis import RedisLimiter
from gateway.proxy.metrics import Metrics
from gateway.proxy.ownership import NotOurs, own
from gateway.proxy.refusals import Refusals
from gateway.proxy.settings import Settings, SettingsError, read_settings
from gateway.proxy.spool import Spool
from gateway.proxy.uploader import Uploader
from gateway.proxy.vault import Vault
from gateway.proxy.version import code_version

T = TypeVar("T")
_held: Final = contextlib.ExitStack()
_LAST_UPLOAD_SECONDS = 3.0
_START_SECONDS = 30.0
_SWEEP_SECONDS = 5.0


class CannotStart(RuntimeError):
    """The plugin cannot start. The message says why, and what to do."""


def taken_settings() -> Settings:
    """The settings from the environment, with the lock on their state directory until the process ends.

    Raises CannotStart, also if another process has that directory, such as another worker of the same LiteLLM.
    """
    try:
        settings = read_settings()
        if settings.workers > 1:
            raise SettingsError("GATEWAY_WORKERS must be 1: run several LiteLLM proxies instead.")
        if "FORWARDED_ALLOW_IPS" not in os.environ:
            raise SettingsError(
                "Set FORWARDED_ALLOW_IPS to the addresses of your own proxies, or to `none`: without it, LiteLLM's "
                "server believes any X-Forwarded-For from this machine."
            )
        _held.enter_context(own(settings.state_dir))
    except (SettingsError, NotOurs) as error:
        raise CannotStart(f"Quartermaster's plugin cannot start: {error}") from error
    return settings


class Background:
    """What runs beside LiteLLM. `start` it once; `close` writes and sends what is left."""

    def __init__(self, settings: Settings, sweep: Callable[[], Awaitable[None]]) -> None:
        """Prepare the loop.

        Args:
            settings: those of a gateway; its port and workers mean nothing here.
            sweep: called every few seconds in this loop.
        """
        self.settings = settings
        self.metrics = Metrics()
        self.spool = Spool(settings.state_dir / "spool")
        self.vault = Vault(settings.state_dir, settings.credentials_dir)
        self.limiter: Limiter = MemoryLimiter()
        self.refusals = Refusals()
        self.index: Index | None = None
        # Why some targets are not in LiteLLM's routes.
        self.route_problem = ""
        self.active = 0
        self._sweep = sweep
        self._beside = OwnWork(self.metrics)
        self._started_at = time.time()
        self._loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="quartermaster", daemon=True)

    def start(self) -> None:
        """Start the thread. Returns when the spool is open and an earlier configuration is in force."""
        self._thread.start()
        self._is_up.wait(_START_SECONDS)

    def close(self) -> None:
        """Send what is in the spool, for a few seconds at most, and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(2 * _LAST_UPLOAD_SECONDS)

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work in this loop and wait for it. It is not ended if its caller is."""
        return await asyncio.shield(asyncio.wrap_future(self.submit(work)))

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run work in this loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def ready_index(self) -> Index:
        """The configuration in force. Raises Refusal (503) before the first one, or if usage cannot be recorded."""
        if self.index is None:
            raise unavailable("The gateway has no configuration yet. Try again in a moment.", "not_ready")
        if not self.spool.is_writable:
            raise usage_not_recorded()
        return self.index

    def describe(self, problem: str, refused: RefusedRevision | None = None) -> Ack:
        """The report for the console."""
        spool = "The usage spool cannot be written." if not self.spool.is_writable else ""
        problems = (spool, self.spool.problem, self.limiter.problem, self.route_problem, self._beside.problem)
        own = " ".join(filter(None, problems))
        version = self.index.snapshot.contract_version if self.index else CONTRACT_VERSION
        return Ack(
            revision=self.index.revision if self.index else 0,
            started_at=rfc3339(self._started_at),
            spool_pending=self.spool.pending,
            counters={**self.metrics.totals, "active": self.active, **self.refusals.counters()},
            version=code_version(),
            problem=problem or own,
            contract_version=version,
            refused=refused,
            reads=list(CONTRACT_VERSIONS),
            signing_keys=[pin.fingerprint for pin in self.settings.config_keys],
            # A console of version 1 accepts no field that it does not know.
            kind="litellm" if version > 1 else UNSET,
        )

    def _apply(self, index: Index) -> None:
        index.serve_from(self.settings.region)
        self.index = index
        if index.gone_limits is None:
            self.limiter.forget_all_but(index.limit_ids)
        else:
            self.limiter.forget(index.gone_limits)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        settings = self.settings
        self.spool.start()
        shared = None
        if settings.redis_url:
            self.limiter = shared = RedisLimiter(
                settings.redis_url,
                self.metrics,
                fails_open=settings.limits_fail_open,
                lease_seconds=settings.limits_lease_seconds,
            )
        headers = {"authorization": f"Bearer {settings.token}", "content-type": "application/json"}
        async with Control(settings.control_url, headers) as control:
            verifier = Verifier(settings.config_keys, settings.gateway_id)
            store = ConfigStore(settings.state_dir / "snapshot.json", verifier)
            reports = ConfigReports(control, settings.gateway_id, self.describe, self.metrics)
            config = ConfigClient(control, store, self._apply, reports, self.metrics, self.vault)
            config.load_from_disk()
            uploader = Uploader(
                self.spool,
                control,
                settings.state_dir / "rejected",
                self.metrics,
                lambda: self.index.snapshot.contract_version if self.index else CONTRACT_VERSION,
            )
            work = {
                "configuration": config.poll,
                "reports": reports.run,
                "usage": uploader.run,
                "calls": self._sweep_often,
                **({"limits": shared.maintain} if shared else {}),
            }
            background = [
                asyncio.create_task(self._beside.keep_running(name, one)) for name, one in work.items()
            ]
            self._is_up.set()
            await self._ending.wait()
            # The interpreter may be ending, and then takes no work for its threads any more.
            self._loop.set_default_executor(_Inline())
            for task in background:
                task.cancel()
            await asyncio.wait(background)
            if shared:
                await shared.close()
            with contextlib.suppress(TimeoutError, OSError):
                await asyncio.wait_for(uploader.send_all(), _LAST_UPLOAD_SECONDS)
            await asyncio.to_thread(self.spool.close)

    async def _sweep_often(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            await self._sweep()


class _Inline(ThreadPoolExecutor):
    """Does work at once, in the thread that hands it over."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done
