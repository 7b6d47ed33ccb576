"""How soon targets send their first token: for each, a median of the latest streams in which old ones fade."""

import time
from collections import deque
from collections.abc import Callable, Container
from typing import Final

# A stream counts half as much after this time, and not at all after the longest.
HALF_LIFE_SECONDS: Final = 120.0
LONGEST_SECONDS: Final = 600.0
# Fewer streams say too little.
LEAST_SAMPLES: Final = 8
KEPT_SAMPLES: Final = 64


class FirstTokens:
    """The latest streams of each target, as this process saw them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By target: when, and the seconds until the first token.
        self._seen: dict[str, deque[tuple[float, float]]] = {}

    def note(self, target_id: str, seconds: float) -> None:
        """A stream of this target took so long to its first token."""
        seen = self._seen.get(target_id)
        if seen is None:
            seen = self._seen[target_id] = deque(maxlen=KEPT_SAMPLES)
        seen.append((self._clock(), seconds))

    def median(self, *target_ids: str) -> tuple[float, int] | None:
        """The median in seconds, and of how many streams of these targets together; None while there are too few."""
        now = self._clock()
        latest = [(seconds, now - at) for one in target_ids for at, seconds in self._seen.get(one, ())]
        latest = sorted((seconds, age) for seconds, age in latest if age <= LONGEST_SECONDS)
        if len(latest) < LEAST_SAMPLES:
            return None
        weights = [0.5 ** (age / HALF_LIFE_SECONDS) for _, age in latest]
        half, passed = sum(weights) / 2, 0.0
        for (seconds, _), weight in zip(latest, weights, strict=True):
            passed += weight
            if passed >= half:
                return seconds, len(latest)
        raise AssertionError("unreachable")

    def keep_only(self, target_ids: Container[str]) -> None:
        """Forget targets that no route names anymore."""
        for target_id in [one for one in self._seen if one not in target_ids]:
            del self._seen[target_id]
