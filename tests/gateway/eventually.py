"""Wait in an event loop for what happens soon, instead of for a time that is nearly always long enough."""

import asyncio
import time

from tests.patience import overload


async def until(claim, what="it", seconds=60.0):
    """Return the first true answer of `claim`, asked again and again; fail if there is none in time."""
    began = time.monotonic()
    while not (answer := claim()):
        assert time.monotonic() < began + seconds * overload(), f"{what} did not happen within {seconds} s"
        await asyncio.sleep(0.005)
    return answer
