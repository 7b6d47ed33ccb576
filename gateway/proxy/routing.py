"""Which backends to try, in which order, and which to skip for a while."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import structlog

from gateway.proxy.alarms import Alarms
from gateway.proxy.gates import Gate
from gateway.proxy.index import Backend, Route
from gateway.proxy.metrics import Metrics
from gateway.proxy.retries import Retries, RetryBudget
from gateway.proxy.sessions import by_session

_log = structlog.get_logger()
_FAILURES_TO_EJECT = 3
_FIRST_EJECTION_SECONDS = 1.0
_LONGEST_EJECTION_SECONDS = 30.0
# How long calls stay away after a failed probe; the next probe comes earlier.
_HELD_SECONDS = 10.0
# The longest pause after a 429, whatever its Retry-After says.
_LONGEST_PAUSE_SECONDS = 60.0
# To one address of a target, if neither its route nor the machine says otherwise. Envoy's default for a cluster.
MOST_CONNECTIONS = 1024


class Breaker:
    """Ejects one backend after three failures in a row. Then single calls probe it, less and less often."""

    __slots__ = (
        "_ejection_seconds", "_failed_probes", "_probing_until", "ejected_until", "failures", "heard", "heard_before",
        "held_until", "is_reachable", "paused_until",
    )  # fmt: skip

    def __init__(self) -> None:
        self.failures = 0
        # True if its answers failed; False if it was unreachable.
        self.is_reachable = True
        self.ejected_until: float | None = None
        self._ejection_seconds = _FIRST_EJECTION_SECONDS
        self._probing_until = 0.0
        # The end of the pause that its own Retry-After requested, which is not a failure.
        self.paused_until = 0.0
        # Whole answers, to see whether it is idle.
        self.heard = self.heard_before = 0
        self._failed_probes = 0
        # Calls stay away until then because a probe failed (gateway.proxy.probes).
        self.held_until = 0.0

    @property
    def is_probing(self) -> bool:
        """Whether a call in progress is probing whether the backend is back."""
        return self.ejected_until is not None

    def admits(self, now: float) -> bool:
        """Whether a call may go to this backend now. After an ejection, one call at a time may, as a probe."""
        if now < self.paused_until:
            return False
        if self.ejected_until is None:
            return True
        if now < max(self.ejected_until, self.held_until, self._probing_until):
            return False
        # If the probe never ends, allow another.
        self._probing_until = now + self._ejection_seconds
        return True

    def answered(self) -> bool:
        """The backend began to answer: allow calls until its next failure. True if it was ejected."""
        if self.ejected_until is None:
            return False
        self.failures, self.ejected_until, self._probing_until = _FAILURES_TO_EJECT - 1, None, 0.0
        return True

    def succeeded(self) -> None:
        """The backend answered in full: trust it as before."""
        self.failures, self._ejection_seconds, self.paused_until = 0, _FIRST_EJECTION_SECONDS, 0.0
        self.heard += 1

    def probe_answered(self, now: float) -> bool:
        """A probe was answered: a server runs there. True if this ends an ejection, whose time is over.

        It proves nothing about answers to calls: if these failed, a call has to show that they are right again.
        """
        self._failed_probes, self.held_until = 0, 0.0
        if self.ejected_until is None or self.is_reachable or now < self.ejected_until:
            return False
        return self.answered()

    def probe_failed(self, now: float) -> bool:
        """A probe was not answered: no call need try for a while. True if the third one in a row ejects the backend."""
        if self.ejected_until is not None:
            self.is_reachable, self.held_until = False, now + _HELD_SECONDS
            return False
        self._failed_probes += 1
        if self._failed_probes < _FAILURES_TO_EJECT:
            return False
        self._failed_probes, self.failures = 0, _FAILURES_TO_EJECT - 1
        return self.failed(now)

    def failed(self, now: float, *, is_reachable: bool = False) -> bool:
        """Count a failure. True if it ejects the backend."""
        self.is_reachable = is_reachable
        if self.ejected_until is not None and now < self.ejected_until:
            # This call was already in progress at the ejection.
            return False
        self.failures += 1
        if self.ejected_until is None and self.failures < _FAILURES_TO_EJECT:
            return False
        self.ejected_until = now + self._ejection_seconds
        self._ejection_seconds = min(self._ejection_seconds * 2, _LONGEST_EJECTION_SECONDS)
        self._probing_until = 0.0
        return True


class Router:
    """Remembers how backends behave, also across revisions, except for backends whose address changed.

    A backend that lacks one model may well have others, so 404s count only for that model.
    """

    def __init__(
        self,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        *,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        """`most_connections` is the bound for each address of a target whose route states none."""
        self._most_connections = most_connections
        self._gates: dict[tuple[str, str], Gate] = {}
        # By model; and whom to tell what becomes of its calls that fail.
        self._budgets: dict[str, tuple[RetryBudget, Callable[[str], None]]] = {}
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._of_models: dict[tuple[str, str, str], Breaker] = {}
        self._metrics = metrics
        self._clock = clock
        self.alarms = Alarms(metrics, clock)

    def candidates(self, route: Route, session: bytes = b"") -> Iterator[Backend]:
        """The backends to try, in order: by priority, then by weighted chance, without the ejected ones.

        With a session (gateway.proxy.sessions), chance is always the same for this session.

        Backends that were ejected for their answers, or that requested a pause, come last: an answer that may be wrong
        or late is better than none, and no caller can make a model unavailable to others by making it fail.
        """
        only = route.only_backend
        if only is not None and not self._of_models:
            breaker = self._breakers.get(only.name)
            if breaker is None or (breaker.ejected_until is None and not breaker.paused_until):
                return iter((only,))
        return self._in_order(route, session)

    def _in_order(self, route: Route, session: bytes) -> Iterator[Backend]:
        last = []
        for group in route.groups:
            for backend in by_session(group, session) if session else _shuffled(group):
                of_model = (
                    self._of_models.get((*backend.name, route.config.model)) if self._of_models else None
                )
                breaker, now = self._breaker(backend), self._clock()
                if (of_model is None or of_model.admits(now)) and breaker.admits(now):
                    yield backend
                elif breaker.is_reachable:
                    last.append(backend)
        yield from sorted(last, key=lambda backend: self._breaker(backend).paused_until)

    def gate(self, backend: Backend) -> Gate:
        """What bounds the calls in progress at this backend."""
        gate = self._gates.get(backend.name)
        if gate is None:
            gate = self._gates[backend.name] = Gate(
                backend.handling.most_connections or self._most_connections
            )
        return gate

    def busy(self, backends: Iterable[Backend]) -> None:
        """All connections to these backends are in use, and no other one took the call at once."""
        for backend in backends:
            self._metrics.backend_busy.labels(backend.id).inc()

    def refused_as_busy(self, route: Route) -> None:
        """A call was refused because all connections to all backends of its route are in use."""
        self._metrics.busy_refusals.labels(route.config.model).inc()

    def retries(self, route: Route, mode: str) -> Retries:
        """Count a call, of this kind of work, and say later whether it is sent once more."""
        config = route.config
        known = self._budgets.get(config.model)
        if known is None:
            counted = partial(self._metrics.count_retry, config.model)
            known = self._budgets[config.model] = RetryBudget(self._clock), counted
        budget, told = known
        budget.called()
        return Retries(budget, config.handling, mode, told)

    def connections(self) -> dict[str, tuple[int, int]]:
        """By target, those in use and those who wait for one."""
        found: dict[str, tuple[int, int]] = {}
        for (target_id, _), gate in self._gates.items():
            in_use, waiting = found.get(target_id, (0, 0))
            found[target_id] = in_use + gate.in_use, waiting + len(gate.waiting)
        return found

    def seconds_until_probe(self, route: Route) -> float:
        """Seconds until the first ejected backend of a route may be tried again."""
        breakers = map(self._breaker, _backends(route))
        waits = [max(one.ejected_until or 0.0, one.held_until) - self._clock() for one in breakers]
        return max(1.0, min(waits, default=1.0))

    def is_any_ejected(self, route: Route) -> bool:
        """Whether any backend of a route is skipped because it failed."""
        return any(self._breaker(backend).ejected_until is not None for backend in _backends(route))

    def succeeded(self, backend: Backend, model: str = "") -> None:
        """The backend answered in full, which also began."""
        breaker = self._breakers.get(backend.name) or self._breaker(backend)
        if breaker.ejected_until is not None:
            self.answered(backend)
        breaker.succeeded()
        self.alarms.served(backend.id)
        if self._of_models and (of_model := self._of_models.get((*backend.name, model))) is not None:
            of_model.answered()
            of_model.succeeded()

    def answered(self, backend: Backend) -> None:
        """The backend began a real answer."""
        if self._breaker(backend).answered():
            self._metrics.backend_ejected.labels(backend.id).set(0)
            _log.info("backend_back", backend=backend.id)

    def failed(self, backend: Backend, reason: str, *, is_reachable: bool = False) -> None:
        """The backend did not answer, or reported that it cannot; or, if it `is_reachable`, it answered wrongly."""
        self._metrics.backend_failures.labels(backend.id, reason).inc()
        self._count(backend, reason, is_reachable=is_reachable)

    def lacks(self, backend: Backend, model: str) -> None:
        """The backend answered 404 for a model that another backend has."""
        self._metrics.backend_failures.labels(backend.id, "404").inc()
        breaker = self._of_models.setdefault((*backend.name, model), Breaker())
        if breaker.failed(self._clock(), is_reachable=True):
            _log.warning("backend_lacks_model", backend=backend.id, model=model)

    def is_ejected(self, backend: Backend) -> bool:
        """Whether calls avoid this backend because it failed."""
        breaker = self._breakers.get(backend.name)
        return breaker is not None and breaker.ejected_until is not None

    def was_idle(self, backend: Backend) -> bool:
        """Whether it answered no call since this was asked last."""
        breaker = self._breaker(backend)
        was_idle = breaker.heard == breaker.heard_before
        breaker.heard_before = breaker.heard
        return was_idle

    @property
    def ejected(self) -> int:
        """How many backends calls avoid now because they failed."""
        return sum(breaker.ejected_until is not None for breaker in self._breakers.values())

    def probed(self, backend: Backend, result: str) -> None:
        """A probe (gateway.proxy.probes) found the backend `up` or `down`, or nothing: `unknown`."""
        self._metrics.backend_probes.labels(backend.id, result).inc()
        breaker = self._breaker(backend)
        if result == "up" and breaker.probe_answered(self._clock()):
            self._metrics.backend_ejected.labels(backend.id).set(0)
            _log.info("backend_back", backend=backend.id, by="probe")
        elif result == "down" and breaker.probe_failed(self._clock()):
            self._metrics.backend_ejected.labels(backend.id).set(1)
            _log.warning("backend_ejected", backend=backend.id, reason="probe")

    def doubted(self, backend: Backend, reason: str) -> None:
        """The backend failed a call that no other answered either, so the call may be at fault.

        This ejects no backend: otherwise one bad call would make a model unavailable to everyone. But a probe fails.
        """
        self._metrics.backend_failures.labels(backend.id, reason).inc()
        if self._breaker(backend).is_probing:
            self._count(backend, reason, is_reachable=True)

    def limited(self, backend: Backend, seconds: float) -> None:
        """The backend answered 429 with a time to retry: until then, at most a minute, all others are tried first."""
        self._metrics.backend_failures.labels(backend.id, "429").inc()
        if seconds > 0:
            until = self._clock() + min(seconds, _LONGEST_PAUSE_SECONDS)
            breaker = self._breaker(backend)
            breaker.paused_until = max(breaker.paused_until, until)

    def over_quota(self, backend: Backend) -> None:
        """A call passed the backend over because our quota at its provider is used up. Its breaker does not care."""
        self._metrics.backend_over_quota.labels(backend.id).inc()

    def apply(self, routes: Mapping[str, Route]) -> None:
        """Follow a configuration: bounds of its routes, and no memory of what no route names anymore."""
        self.keep_only(frozenset(one.name for route in routes.values() for one in _backends(route)))
        for model in self._budgets.keys() - routes.keys():
            del self._budgets[model]
        for route in routes.values():
            for backend in _backends(route):
                if (gate := self._gates.get(backend.name)) is not None:
                    gate.most = backend.handling.most_connections or self._most_connections

    def keep_only(self, backends: frozenset[tuple[str, str]]) -> None:
        """Forget backends that no route names anymore."""
        for name in self._gates.keys() - backends:
            # Calls in progress there leave the gate that they know.
            del self._gates[name]
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
        breaker = self._breakers.get(backend.name)
        if breaker is None:
            breaker = self._breakers[backend.name] = Breaker()
        return breaker


def _backends(route: Route) -> list[Backend]:
    return [backend for group in route.groups for backend in group]


def _shuffled(group: tuple[Backend, ...]) -> list[Backend]:
    """Weighted order without repetition."""
    if len(group) == 1:
        return list(group)
    keyed = [(random.random() ** (1.0 / backend.share), backend) for backend in group]  # noqa: S311
    return [backend for _, backend in sorted(keyed, key=lambda pair: pair[0], reverse=True)]
