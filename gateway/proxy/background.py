"""Work beside calls, such as sending usage and asking for configuration: it never ends, whatever goes wrong."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from gateway.proxy.metrics import Metrics

_log = structlog.get_logger()
_AGAIN_SECONDS = 1.0
# After the last failure.
_SHOWN_SECONDS = 600.0


class Background:
    """Runs loops again after an error that nobody foresaw, counts these, and says for ten minutes which loop failed."""

    def __init__(self, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._metrics = metrics
        self._clock = clock
        # By the name of the work: when it failed last, and with what kind of error.
        self._failed: dict[str, tuple[float, str]] = {}

    async def keep_running(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run a loop forever. An exception does not end it."""
        while True:
            try:
                await work()
            except Exception as error:
                _log.exception("background_work_failed", work=name)
                self._metrics.background_failures.labels(name).inc()
                self._failed[name] = self._clock(), type(error).__name__
            await asyncio.sleep(_AGAIN_SECONDS)

    @property
    def problem(self) -> str:
        """What failed lately, in words for operators; empty for nothing."""
        since = self._clock() - _SHOWN_SECONDS
        return " ".join(
            f"The gateway failed at its own work ({name}: {kind}). Its log says where (background_work_failed)."
            for name, (at, kind) in self._failed.items()
            if at >= since
        )
