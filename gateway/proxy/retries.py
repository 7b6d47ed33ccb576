"""Whether a call that failed is sent once more. Otherwise a broken target would double the load of all others.

The budget is that of Finagle's `RetryBudget`: a share of recent calls, and a few each second so that a quiet route can
retry at all. The bound of three attempts is that of the SRE book ("Handling Overload", "Deciding to Retry").
"""

import time
from collections.abc import Callable

import msgspec

from gateway.contract import HandlingConfig

_SECONDS = 10
# Of one call, those included that never reached a backend.
_MOST_BEGUN = 20
# Work that costs money each time, however it ends for the caller.
_ONCE = frozenset(("image_generation", "image_edit", "audio_speech", "video_generation"))
# With these statuses a server says that it did not begin.
_UNDONE = frozenset((401, 402, 403, 404, 405, 429))


def may_repeat(mode: str, status: int = 0) -> bool:
    """Whether a call of this mode may be sent again after a backend got it and answered with `status`; 0: not at all.

    Nothing says that a call which brought no answer was not worked on, so a call that makes pictures or speech is sent
    again only after a refusal. Chats and embeddings are sent again: they leave nothing behind.
    """
    return mode not in _ONCE or status in _UNDONE


class RetryBudget:
    """The calls of one route in the last ten seconds, and how many of these were retries."""

    __slots__ = ("_at", "_calls", "_clock", "_retries", "calls", "retries")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = int(clock())
        # Of each of the last seconds.
        self._calls = [0] * _SECONDS
        self._retries = [0] * _SECONDS
        self.calls = 0
        self.retries = 0

    def called(self) -> None:
        """Count a call, which is not a retry."""
        now = int(self._clock())
        if now != self._at:
            self._forget(now)
        self._calls[now % _SECONDS] += 1
        self.calls += 1

    def allows(self, percent: int, per_second: int) -> bool:
        """Take a retry from the budget; False if it has none left.

        Args:
            percent: of the calls of the last ten seconds.
            per_second: retries beside these.
        """
        now = int(self._clock())
        if now != self._at:
            self._forget(now)
        if self.retries >= self.calls * percent / 100 + per_second * _SECONDS:
            return False
        self._retries[now % _SECONDS] += 1
        self.retries += 1
        return True

    def _forget(self, now: int) -> None:
        """Another second has begun: forget what is too old."""
        for past in range(max(self._at, now - _SECONDS) + 1, now + 1):
            place = past % _SECONDS
            self.calls -= self._calls[place]
            self.retries -= self._retries[place]
            self._calls[place] = self._retries[place] = 0
        self._at = now


class Retries(msgspec.Struct):
    """The attempts of one call, which its route's budget has counted.

    `told` is called after each failed attempt: empty if the call is sent once more, else why it is not (attempts, once
    or budget).
    """

    _budget: RetryBudget
    _handling: HandlingConfig
    # What kind of work it is.
    _mode: str
    _told: Callable[[str], None]
    # Of the model that is asked now, if that is another one.
    _other: HandlingConfig | None = None
    _begun: int = 0
    _sent: int = 0
    _status: int = 0
    # The last attempt came as far as the backend.
    _was_sent: bool = False
    # Some backend may have done work that costs each time.
    may_be_done: bool = False

    def was_sent(self, status: int = 0) -> None:
        """A backend got the call and failed it, with an answer of this status; 0: without an answer."""
        self._was_sent = True
        self._sent += 1
        self._status = status
        self.may_be_done |= not may_repeat(self._mode, status)

    def may_ask_another_model(self) -> bool:
        """Whether the call may go on to another model. That is no retry: it costs nothing of the budget."""
        may_go_on = not self._was_sent or may_repeat(self._mode, self._status)
        self._begun = self._sent = 0
        self._was_sent = False
        if not may_go_on:
            self._told("once")
        return may_go_on

    def on(self, handling: HandlingConfig) -> "Retries":
        """The same call, whose further attempts go to another model's route. The budget stays that of the first."""
        self._other = handling
        return self

    def may_begin(self) -> bool:
        """Whether another attempt may begin. A backend that never got the call leaves the budget as it is."""
        self._begun += 1
        if not self._was_sent:
            return self._begun <= _MOST_BEGUN
        self._was_sent = False
        why = ""
        if self._sent >= (self._other or self._handling).most_attempts or self._begun > _MOST_BEGUN:
            why = "attempts"
        elif not may_repeat(self._mode, self._status):
            why = "once"
        elif not self._budget.allows(self._handling.retry_percent, self._handling.retries_per_second):
            why = "budget"
        self._told(why)
        return not why
