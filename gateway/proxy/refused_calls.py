"""Counts refused calls by minute, key and reason, with a few samples, and sends them to the control plane.

Everything is in memory and bounded: about a kilobyte for each of at most `_MOST_GROUPS` groups of the minute and
`_MOST_WAITING` reports. What is beyond that is counted as dropped.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from gateway.contract import LimitConfig, encode
from gateway.contract.refusals import (
    MAX_REPORTS,
    MAX_SAMPLES,
    REFUSALS_PATH,
    RefusalBatch,
    RefusedReport,
    RefusedSample,
    RefusingLimit,
)
from gateway.proxy.control import Control, Patience
from gateway.proxy.http.errors import TransportError
from gateway.proxy.ids import new_call_id

_log = structlog.get_logger()
_MOST_GROUPS = 1000
_MOST_WAITING = 4000
_LOOK_SECONDS = 2.0
_MINUTE = 60
# A name of a model, and nothing that a prompt or a secret could hide in.
_MODEL = re.compile(r"[A-Za-z0-9._:/@+-]{1,200}")
# As keys and tokens of this product begin.
_SECRET = re.compile(r"qm[a-z]?_", re.IGNORECASE)
_PATIENCE = Patience(10.0)
# With these answers a batch can never succeed, or nobody reads it.
_HOPELESS = (400, 404, 405, 413, 422)

Group = tuple[str, str, int, str, str]


@dataclass(slots=True)
class _Counted:
    """The calls of one group so far."""

    limit: LimitConfig | None
    count: int = 0
    samples: list[RefusedSample] = field(default_factory=list)


class RefusedCalls:
    """What was refused and is not reported yet. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._minute = 0
        self._groups: dict[Group, _Counted] = {}
        self._waiting: deque[RefusedReport] = deque()
        # Calls that no report counts.
        self.dropped = 0

    def note(
        self,
        call_id: str,
        key_id: str,
        model: str,
        *,
        status: int,
        code: str,
        limit: LimitConfig | None = None,
    ) -> None:
        """Count one refused call.

        Args:
            call_id: the call.
            key_id: its key.
            model: the name that the client asked for; left out if it does not look like one.
            status: of the answer.
            code: of the answer.
            limit: the one that refused.
        """
        now = int(self._clock())
        self._turn(now)
        name = model if _MODEL.fullmatch(model) and not _SECRET.search(model) else ""
        group = (key_id, name, status, code, limit.id if limit else "")
        counted = self._groups.get(group)
        if counted is None:
            if len(self._groups) >= _MOST_GROUPS:
                self.dropped += 1
                return
            counted = self._groups[group] = _Counted(limit)
        counted.count += 1
        if len(counted.samples) < MAX_SAMPLES:
            counted.samples.append(RefusedSample(call_id=call_id, at=now))

    def take(self, *, is_last: bool = False) -> RefusalBatch | None:
        """The next batch of minutes that are over, or with `is_last` of this one too; None if there is nothing."""
        self._turn(int(self._clock()), is_over=is_last)
        if not self._waiting and not self.dropped:
            return None
        reports = [self._waiting.popleft() for _ in range(min(MAX_REPORTS, len(self._waiting)))]
        dropped, self.dropped = self.dropped, 0
        return RefusalBatch(reports=reports, dropped=dropped)

    def give_back(self, batch: RefusalBatch) -> None:
        """Keep a batch that could not be delivered for later, as far as there is room."""
        self._waiting.extendleft(reversed(batch.reports))
        self.dropped += batch.dropped
        self._bound()

    def _turn(self, now: int, *, is_over: bool = False) -> None:
        """Turn the groups of the last minute into reports, if it is over. A clock that jumps ends it too."""
        minute = now - now % _MINUTE
        if minute == self._minute and not is_over:
            return
        for (key_id, model, status, code, _), counted in self._groups.items():
            self._waiting.append(
                RefusedReport(
                    report_id=new_call_id(),
                    minute=self._minute,
                    key_id=key_id,
                    model=model,
                    status=status,
                    code=code,
                    count=counted.count,
                    limit=_described(counted.limit) if counted.limit else None,
                    samples=counted.samples,
                )
            )
        self._groups.clear()
        self._minute = minute
        self._bound()

    def _bound(self) -> None:
        while len(self._waiting) > _MOST_WAITING:
            self.dropped += self._waiting.popleft().count


def _described(limit: LimitConfig) -> RefusingLimit:
    return RefusingLimit(
        id=limit.id,
        scope=limit.scope,
        scope_id=limit.scope_id,
        kind=limit.kind,
        value=limit.value,
        model=limit.model,
    )


class RefusalSender:
    """Sends reports. `spoken` is the version of the contract that the control plane speaks now."""

    def __init__(self, refused: RefusedCalls, control: Control, spoken: Callable[[], int]) -> None:
        self._refused = refused
        self._control = control
        self._spoken = spoken

    async def run(self) -> None:
        """Send what is over, forever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.send()

    async def send(self, *, is_last: bool = False) -> None:
        """Send all that can be sent now. What the control plane cannot take now waits for the next time."""
        while (batch := self._refused.take(is_last=is_last)) is not None:
            if self._spoken() < 2:
                # Version 1 has no such message.
                continue
            status = await self._post(batch)
            if status in _HOPELESS:
                _log.warning("refusals_not_taken", status=status, reports=len(batch.reports))
            elif status != 204:
                self._refused.give_back(batch)
                return

    async def _post(self, batch: RefusalBatch) -> int:
        """The status of the answer; 0 without one."""
        try:
            async with self._control.post(REFUSALS_PATH, data=encode(batch), patience=_PATIENCE) as answer:
                return answer.status
        except (TransportError, TimeoutError) as error:
            _log.debug("refusals_not_delivered", reason=f"{type(error).__name__}: {error}")
            return 0
