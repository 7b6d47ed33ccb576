"""Wait longer after each failure, never in step with other gateways."""

import random


class Backoff:
    """Doubles from `first` to `longest` seconds, and spreads each wait over its second half."""

    def __init__(self, first: float = 0.2, longest: float = 10.0) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def succeeded(self) -> None:
        """Start over."""
        self._failures = 0

    def next_wait(self) -> float:
        """Seconds to wait after one more failure."""
        whole: float = min(self._longest, self._first * 2**self._failures)
        self._failures = min(self._failures + 1, 30)
        return whole * (0.5 + random.random() / 2)  # noqa: S311  not a secret
