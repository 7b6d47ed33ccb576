"""How many calls may be in progress at one address of a target, and who waits for room there.

Each call in progress has a connection of its own, so this bounds the connections: a slow target cannot take those that
calls to others need.
"""

import asyncio
from collections.abc import Sequence


class Gate:
    """Bounds the calls in progress at one address. A place that becomes free goes to whoever waits longest."""

    __slots__ = ("in_use", "most", "waiting")

    def __init__(self, most: int) -> None:
        self.most = most
        self.in_use = 0
        # The oldest first.
        self.waiting: dict[asyncio.Future[Gate | None], None] = {}

    def take(self) -> bool:
        """Take a place. False if all are in use."""
        if self.in_use >= self.most:
            return False
        self.in_use += 1
        return True

    def leave(self) -> None:
        """Give a place back."""
        while self.waiting and self.in_use <= self.most:
            oldest = next(iter(self.waiting))
            del self.waiting[oldest]
            if not oldest.done():
                # The place is theirs now.
                oldest.set_result(self)
                return
        self.in_use -= 1


async def first_place(gates: Sequence[Gate], seconds: float) -> Gate | None:
    """Wait for a place at any of these gates. Returns the gate of the place; None if there is none in time.

    At each gate at most as many wait as it has places; beyond that nobody waits.
    """
    loop = asyncio.get_running_loop()
    place: asyncio.Future[Gate | None] = loop.create_future()
    asked = [gate for gate in gates if len(gate.waiting) < gate.most]
    if not asked:
        return None
    for gate in asked:
        gate.waiting[place] = None
    timer = loop.call_later(seconds, _give_up, place)
    try:
        return await place
    except asyncio.CancelledError:
        if place.done() and not place.cancelled() and (taken := place.result()) is not None:
            taken.leave()
        raise
    finally:
        timer.cancel()
        for gate in asked:
            gate.waiting.pop(place, None)


def _give_up(place: asyncio.Future[Gate | None]) -> None:
    if not place.done():
        place.set_result(None)
