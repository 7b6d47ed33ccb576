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
# After a 429, whatever its Retry-After says.
_LONGEST_PAUSE_SECONDS = 60.0


class Breaker:
    """Ejects one backend after three failures in a row; then single calls probe it, each time less often."""

    def __init__(self) -> None:
        self.failures = 0
        # It failed by what it answered, not by being away.
        self.is_reachable = True
        self.ejected_until: float | None = None
        self._ejection_seconds = _FIRST_EJECTION_SECONDS
        self._probing_until = 0.0
        # By its own Retry-After; it has not failed.
        self.paused_until = 0.0

    @property
    def is_probing(self) -> bool:
        """Whether the call that is under way there tries whether it is back."""
        return self.ejected_until is not None

    def admits(self, now: float) -> bool:
        """Whether a call may be sent there now. After an ejection one call at a time may, as a probe."""
        if now < self.paused_until:
            return False
        if self.ejected_until is None:
            return True
        if now < self.ejected_until or now < self._probing_until:
            return False
        # If the probe never ends, another follows.
        self._probing_until = now + self._ejection_seconds
        return True

    def answered(self) -> bool:
        """The backend began to answer: let calls through until its next failure. True if it was ejected."""
        if self.ejected_until is None:
            return False
        self.failures, self.ejected_until, self._probing_until = _FAILURES_TO_EJECT - 1, None, 0.0
        return True

    def succeeded(self) -> None:
        """The backend answered in full: trust it as before."""
        self.failures, self._ejection_seconds, self.paused_until = 0, _FIRST_EJECTION_SECONDS, 0.0

    def failed(self, now: float, *, is_reachable: bool = False) -> bool:
        """Count a failure. True if the backend is ejected by it."""
        self.is_reachable = is_reachable
        if self.ejected_until is not None and now < self.ejected_until:
            # A call that was under way when it was ejected.
            return False
        self.failures += 1
        if self.ejected_until is None and self.failures < _FAILURES_TO_EJECT:
            return False
        self.ejected_until = now + self._ejection_seconds
        self._ejection_seconds = min(self._ejection_seconds * 2, _LONGEST_EJECTION_SECONDS)
        self._probing_until = 0.0
        return True


class Router:
    """Remembers how backends behave; survives new revisions, except for backends whose address changed.

    A backend that does not have one model may well have others: 404s are counted for the model alone.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._of_models: dict[tuple[str, str, str], Breaker] = {}
        self._metrics = metrics
        self._clock = clock
        self.alarms = Alarms(metrics, clock)

    def candidates(self, route: Route) -> Iterator[Backend]:
        """The backends to try, in order: by priority, within it by weighted chance; not the ejected ones.

        Last come those that are ejected for their answers, or asked for a pause: an answer that is perhaps wrong or
        late is better than none, and no caller can take a model from all others by making it fail.
        """
        last = []
        for group in route.groups:
            for backend in _shuffled(group):
                of_model = self._of_models.get((*_name(backend), route.config.model))
                breaker, now = self._breaker(backend), self._clock()
                if (of_model is None or of_model.admits(now)) and breaker.admits(now):
                    yield backend
                elif breaker.is_reachable:
                    last.append(backend)
        yield from sorted(last, key=lambda backend: self._breaker(backend).paused_until)

    def seconds_until_probe(self, route: Route) -> float:
        """When the first ejected backend of a route may be tried again."""
        waits = [
            (self._breaker(backend).ejected_until or 0.0) - self._clock() for backend in _backends(route)
        ]
        return max(1.0, min(waits, default=1.0))

    def is_any_ejected(self, route: Route) -> bool:
        """Whether some backend of a route is not asked because it failed."""
        return any(self._breaker(backend).ejected_until is not None for backend in _backends(route))

    def succeeded(self, backend: Backend, model: str = "") -> None:
        """The backend answered in full."""
        self._breaker(backend).succeeded()
        self.alarms.served(backend.id)
        if (of_model := self._of_models.get((*_name(backend), model))) is not None:
            of_model.answered()
            of_model.succeeded()

    def answered(self, backend: Backend) -> None:
        """The backend began an answer that is not an excuse."""
        if self._breaker(backend).answered():
            self._metrics.backend_ejected.labels(backend.id).set(0)
            _log.info("backend_back", backend=backend.id)

    def failed(self, backend: Backend, reason: str, *, is_reachable: bool = False) -> None:
        """The backend did not answer, or said that it cannot; or, if it `is_reachable`, not as it should."""
        self._metrics.backend_failures.labels(backend.id, reason).inc()
        self._count(backend, reason, is_reachable=is_reachable)

    def lacks(self, backend: Backend, model: str) -> None:
        """The backend said 404 to a model that another one has."""
        self._metrics.backend_failures.labels(backend.id, "404").inc()
        breaker = self._of_models.setdefault((*_name(backend), model), Breaker())
        if breaker.failed(self._clock(), is_reachable=True):
            _log.warning("backend_lacks_model", backend=backend.id, model=model)

    def doubted(self, backend: Backend, reason: str) -> None:
        """The backend failed a call that no other answered either, so that it may be the call's fault.

        That ejects nobody, or one caller's bad call would take a model from everybody. But a probe has failed.
        """
        self._metrics.backend_failures.labels(backend.id, reason).inc()
        if self._breaker(backend).is_probing:
            self._count(backend, reason, is_reachable=True)

    def limited(self, backend: Backend, seconds: float) -> None:
        """The backend said 429, and when to come back: until then, a minute at most, all others are asked first."""
        self._metrics.backend_failures.labels(backend.id, "429").inc()
        if seconds > 0:
            until = self._clock() + min(seconds, _LONGEST_PAUSE_SECONDS)
            breaker = self._breaker(backend)
            breaker.paused_until = max(breaker.paused_until, until)

    def keep_only(self, backends: frozenset[tuple[str, str]]) -> None:
        """Forget backends that no route names any more."""
        for name in [name for name in self._breakers if name not in backends]:
            if self._breakers.pop(name).ejected_until is not None:
                self._metrics.backend_ejected.labels(name[0]).set(0)
        for place in [place for place in self._of_models if place[:2] not in backends]:
            del self._of_models[place]
        self.alarms.keep_only({backend_id for backend_id, _ in backends})

    def _count(self, backend: Backend, reason: str, *, is_reachable: bool) -> None:
        if self._breaker(backend).failed(self._clock(), is_reachable=is_reachable):
            self._metrics.backend_ejected.labels(backend.id).set(1)
            _log.warning("backend_ejected", backend=backend.id, reason=reason)

    def _breaker(self, backend: Backend) -> Breaker:
        return self._breakers.setdefault(_name(backend), Breaker())


def _name(backend: Backend) -> tuple[str, str]:
    return backend.id, backend.config.url


def _backends(route: Route) -> list[Backend]:
    return [backend for group in route.groups for backend in group]


def _shuffled(group: tuple[Backend, ...]) -> list[Backend]:
    """Weighted order without repetition."""
    if len(group) == 1:
        return list(group)
    keyed = [(random.random() ** (1.0 / backend.config.weight), backend) for backend in group]  # noqa: S311
    return [backend for _, backend in sorted(keyed, key=lambda pair: pair[0], reverse=True)]
