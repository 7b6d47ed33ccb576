"""Which backend to try, in which order, and which to leave alone for a while."""

import random
import time
from collections.abc import Callable, Iterator

import structlog

from gateway.proxy.alarms import Alarms
from gateway.proxy.index import Backend, Route
from gateway.proxy.metrics import Metrics

_log = structlog.get_logger()
_FAILURES_TO_EJECT = 3
_FIRST_EJECTION_SECONDS = 1.0
_LONGEST_EJECTION_SECONDS = 30.0


class Breaker:
    """Ejects one backend after three failures in a row; then single calls probe it, each time less often."""

    def __init__(self) -> None:
        self.failures = 0
        self.ejected_until: float | None = None
        self._ejection_seconds = _FIRST_EJECTION_SECONDS
        self._probing_until = 0.0

    def admits(self, now: float) -> bool:
        """Whether a call may be sent there now. After an ejection one call at a time may, as a probe."""
        if self.ejected_until is None:
            return True
        if now < self.ejected_until or now < self._probing_until:
            return False
        self._probing_until = now + self._ejection_seconds  # if the probe never ends, another follows
        return True

    def answered(self) -> bool:
        """The backend began to answer: let calls through until its next failure. True if it was ejected."""
        if self.ejected_until is None:
            return False
        self.failures, self.ejected_until, self._probing_until = _FAILURES_TO_EJECT - 1, None, 0.0
        return True

    def succeeded(self) -> None:
        """The backend answered in full: trust it as before."""
        self.failures, self._ejection_seconds = 0, _FIRST_EJECTION_SECONDS

    def failed(self, now: float) -> bool:
        """Count a failure. True if the backend is ejected by it."""
        if self.ejected_until is not None and now < self.ejected_until:
            return False  # a call that was under way when it was ejected
        self.failures += 1
        if self.ejected_until is None and self.failures < _FAILURES_TO_EJECT:
            return False
        self.ejected_until = now + self._ejection_seconds
        self._ejection_seconds = min(self._ejection_seconds * 2, _LONGEST_EJECTION_SECONDS)
        self._probing_until = 0.0
        return True


class Router:
    """Remembers how backends behave; survives new revisions, except for backends whose address changed."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._metrics = metrics
        self._clock = clock
        self.alarms = Alarms(metrics, clock)

    def candidates(self, route: Route) -> Iterator[Backend]:
        """The backends to try, in order: by priority, within it by weighted chance; not the ejected ones."""
        for group in route.groups:
            for backend in _shuffled(group):
                if self._breaker(backend).admits(self._clock()):
                    yield backend

    def seconds_until_probe(self, route: Route) -> float:
        """When the first ejected backend of a route may be tried again."""
        waits = [
            (self._breaker(backend).ejected_until or 0.0) - self._clock()
            for group in route.groups
            for backend in group
        ]
        return max(1.0, min(waits, default=1.0))

    def succeeded(self, backend: Backend) -> None:
        """The backend answered in full."""
        self._breaker(backend).succeeded()
        self.alarms.served(backend.id)

    def answered(self, backend: Backend) -> None:
        """The backend began an answer that is not an excuse."""
        if self._breaker(backend).answered():
            self._metrics.backend_ejected.labels(backend.id).set(0)
            _log.info("backend_back", backend=backend.id)

    def failed(self, backend: Backend, reason: str) -> None:
        """The backend did not answer, or said that it cannot."""
        self._metrics.backend_failures.labels(backend.id, reason).inc()
        if self._breaker(backend).failed(self._clock()):
            self._metrics.backend_ejected.labels(backend.id).set(1)
            _log.warning("backend_ejected", backend=backend.id, reason=reason)

    def keep_only(self, backends: frozenset[tuple[str, str]]) -> None:
        """Forget backends that no route names any more."""
        for name in [name for name in self._breakers if name not in backends]:
            if self._breakers.pop(name).ejected_until is not None:
                self._metrics.backend_ejected.labels(name[0]).set(0)
        self.alarms.keep_only({backend_id for backend_id, _ in backends})

    def _breaker(self, backend: Backend) -> Breaker:
        return self._breakers.setdefault((backend.id, backend.config.url), Breaker())


def _shuffled(group: tuple[Backend, ...]) -> list[Backend]:
    """Weighted order without repetition."""
    if len(group) == 1:
        return list(group)
    keyed = [(random.random() ** (1.0 / backend.config.weight), backend) for backend in group]  # noqa: S311
    return [backend for _, backend in sorted(keyed, key=lambda pair: pair[0], reverse=True)]
