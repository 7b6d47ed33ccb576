"""Deliberate failures, so that tests can show how others recover. Only with `--allow-faults`.

A fault is written `status=503`, `die-after=3` (drop the connection after three pieces of the answer),
`end-after=3` (end a stream there as if it were complete), `stall-after=3` (stop there and wait for the caller
to go away), `no-usage` (never send the token counts) or `exit` (end the process). It comes with one call in
the header `x-engine-fault`, or by `POST /faults {"fault": "…", "calls": 2}` for the next calls of any client,
as a gateway does not pass its clients' headers on.
"""

import random
from dataclasses import dataclass

HEADER = "x-engine-fault"
_KINDS = {
    "status": True,
    "die-after": True,
    "end-after": True,
    "stall-after": True,
    "no-usage": False,
    "exit": False,
}


@dataclass(frozen=True)
class Fault:
    """One way to fail; `number` is a status or a count of pieces."""

    kind: str = ""
    number: int = 0


NO_FAULT = Fault()


def parse(text: str) -> Fault:
    """Read a fault. Raises ValueError that lists the possible ones."""
    kind, _, number = text.partition("=")
    if kind not in _KINDS or _KINDS[kind] != number.isdigit():
        raise ValueError(
            f"{text!r} is not a fault; use status=503, die-after=3, end-after=3, stall-after=3, no-usage "
            "or exit"
        )
    return Fault(kind, int(number or 0))


class Faults:
    """Decides which call fails, and how."""

    def __init__(self, *, allowed: bool, fail_rate: float) -> None:
        self.allowed = allowed
        self._fail_rate = fail_rate
        self._dice = random.Random(0)  # noqa: S311  the same calls fail in every run
        self._next = NO_FAULT
        self._calls = 0

    def plan(self, fault: Fault, calls: int) -> None:
        """Let the next `calls` calls fail with `fault`."""
        self._next, self._calls = fault, calls

    def draw(self, header: str | None) -> Fault:
        """The fault of the call that arrives now. Raises ValueError for a header that names no fault."""
        if self.allowed and header:
            return parse(header)
        if self._calls > 0:
            self._calls -= 1
            return self._next
        if self._dice.random() < self._fail_rate:
            return Fault("status", 503)
        return NO_FAULT
