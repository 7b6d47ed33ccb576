"""Problems with our own account at a backend: reported to operators, never to a client.

Each is a metric, a line in the log and a sentence in the `Ack`, which the page of gateways shows. It ends when
that backend serves a call again, or after half an hour without another problem.
"""

import time
from collections.abc import Callable, Set
from dataclasses import dataclass

import structlog

from gateway.proxy.metrics import Metrics

_log = structlog.get_logger()
_QUIET_AFTER_SECONDS = 1800.0
_MOST_NAMED = 5  # in one Ack
_LOG_EVERY_SECONDS = 60.0

_WORDS = {
    "credentials": "refuses our credentials",
    "payment": "requires payment",
    "permission": "denies us permission",
    "quota": "says that our quota is used up",
}


@dataclass
class _Alarm:
    sentence: str
    since: float
    at: float
    logged_at: float


class Alarms:
    """What operators must look into now, by backend."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._alarms: dict[str, _Alarm] = {}
        self._metrics = metrics
        self._clock = clock

    def account_refused(self, backend_id: str, model: str, status: int, reason: str) -> None:
        """A backend refused our own account. `reason` is credentials, payment, permission or quota.

        Args:
            backend_id: id of the backend.
            model: public name of the model.
            status: HTTP status of the backend's answer.
            reason: credentials, payment, permission or quota.
        """
        self._metrics.account_trouble.labels(backend_id, reason).inc()
        sentence = f"Backend {backend_id} of {model} {_WORDS[reason]} (status {status})."
        if self._raise(backend_id, sentence):
            _log.error(
                "backend_refuses_our_account", backend=backend_id, model=model, status=status, reason=reason
            )

    def no_credential(self, backend_id: str, model: str, reason: str) -> None:
        """This gateway has no credential for a provider. `reason` is a sentence without any part of one."""
        if self._raise(backend_id, f"No credential for backend {backend_id} of {model}: {reason}."):
            _log.error("backend_without_credential", backend=backend_id, model=model, reason=reason)

    def _raise(self, backend_id: str, sentence: str) -> bool:
        """Note what is wrong with a backend. Returns whether it is time to log it."""
        now = self._clock()
        known = self._alarms.get(backend_id)
        is_new = known is None or known.sentence != sentence
        if known is None:
            known = self._alarms[backend_id] = _Alarm(sentence, now, now, now)
        is_logged = is_new or now - known.logged_at >= _LOG_EVERY_SECONDS
        if is_logged:
            known.logged_at = now
        known.sentence, known.at = sentence, now
        return is_logged

    def served(self, backend_id: str) -> None:
        """A backend served a call: any problem with our account is over."""
        if self._alarms and self._alarms.pop(backend_id, None) is not None:
            _log.info("backend_takes_our_account_again", backend=backend_id)

    def keep_only(self, backend_ids: Set[str]) -> None:
        """Forget backends that no route names anymore."""
        for backend_id in self._alarms.keys() - backend_ids:
            del self._alarms[backend_id]

    @property
    def problem(self) -> str:
        """What an operator should know now, in sentences; empty if all is well."""
        now = self._clock()
        for backend_id in [
            one for one, alarm in self._alarms.items() if now - alarm.at > _QUIET_AFTER_SECONDS
        ]:
            del self._alarms[backend_id]
        sentences = [alarm.sentence for alarm in self._alarms.values()]
        more = f" And {len(sentences) - _MOST_NAMED} others." if len(sentences) > _MOST_NAMED else ""
        return " ".join(sentences[:_MOST_NAMED]) + more
