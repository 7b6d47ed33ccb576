"""Wait for what happens soon, instead of for a time that is nearly always long enough."""

import asyncio
import time

from tests.patience import overload


async def until(claim, what="it", seconds=60.0):
    """In an event loop, return the first true answer of `claim`, asked again and again; fail if there is none."""
    began = time.monotonic()
    while not (answer := claim()):
        assert time.monotonic() < began + seconds * overload(), f"{what} did not happen within {seconds} s"
        await asyncio.sleep(0.005)
    return answer


def wait_until(claim, seconds=60.0, what="it"):
    """Return the first true answer of `claim`; fail if there is none in time (longer on an overloaded machine)."""
    began = time.monotonic()
    while time.monotonic() < began + seconds * overload():
        answer = claim()
        if answer:
            return answer
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {seconds} s")
