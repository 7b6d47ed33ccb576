"""The requests about one set of limits, packed as far as they are the same for every call.

Packing a request with six limits anew takes longer than everything else that a call needs from a shared limiter. But
of its seventy words only a few differ from call to call.
"""

import math
from collections.abc import Iterable, Sequence
from hashlib import sha1
from pathlib import Path

from gateway.contract import LimitConfig
from gateway.proxy.limit_sets import CALENDAR_KINDS
from gateway.proxy.redis_line import Word, pack
from gateway.proxy.redis_nodes import Pack
from gateway.proxy.windows import calendar_window

# Words of admit.lua for each limit besides its keys and its amount, and words before them.
_ADMIT_EACH, _ADMIT_FIXED = 7, 5
# The same of settle.lua, with amounts and starts.
_SETTLE_EACH, _SETTLE_FIXED = 4, 4


class Script:
    """A script, called by its digest. Its text is sent if the server does not know it."""

    def __init__(self, name: str) -> None:
        text = (Path(__file__).parent / "lua" / f"{name}.lua").read_bytes()
        digest = sha1(text, usedforsecurity=False).hexdigest()
        self.by_digest, self.by_text = _words(("EVALSHA", digest)), _words(("EVAL", text))

    def pack(self, keys: Sequence[str], words: Sequence[Word]) -> Pack:
        """A whole request. Whether the script may have run before goes in front of `words`."""
        size = 4 + len(keys) + len(words)
        ours = _words((len(keys), *keys)), _words(words)

        def packed(again: bool, is_text: bool) -> bytes:
            return self.joined(size, is_text, ours[0], AGAIN if again else ONCE, ours[1])

        return packed

    def joined(self, size: int, is_text: bool, *words: bytes) -> bytes:
        """A request of `size` words, made of words that are packed already."""
        return b"".join((b"*%d\r\n" % size, self.by_text if is_text else self.by_digest, *words))


def _words(words: Iterable[Word]) -> bytes:
    """Words as a request has them, without their number in front."""
    packed = pack(*words)
    return packed[packed.index(b"\n") + 1 :]


ONCE, AGAIN = _words(("once",)), _words(("again",))
_ADMIT, _SETTLE = Script("admit"), Script("settle")


class PackedLimits:
    """The limits of one tenant under which a call is admitted together.

    `kept` holds the places of those that remember the call until it is settled; the others count requests, which
    are never corrected. `leased` holds the places of those with leases. `shown` holds place and value of what clients
    are told of: the hard limits per minute on requests, and those on tokens.
    """

    def __init__(self, limits: Sequence[LimitConfig], tenant_id: str, lease_microseconds: int) -> None:
        self.limits = tuple(limits)
        self.tenant_id = tenant_id
        self.shapes = [shape_of(limit) for limit in limits]
        self.kept = [at for at, limit in enumerate(limits) if limit.kind != "requests_per_minute"]
        self.leased = [at for at, shape in enumerate(self.shapes) if shape != "minute"]
        self.shown = tuple(
            [(at, limit.value) for at, limit in enumerate(limits) if limit.is_hard and limit.kind == kind]
            for kind in ("requests_per_minute", "tokens_per_minute")
        )
        names = [f"limits:{{{tenant_id}}}:{limit.id}:{limit.kind}" for limit in limits]
        self.keys = [(f"{name}:calls", f"{name}:numbers") for name in names]
        self._admit_size = 3 + _ADMIT_FIXED + (3 + _ADMIT_EACH) * len(limits)
        self._admit_keys = _words((2 * len(limits), *(key for pair in self.keys for key in pair)))
        self._lease = _words((lease_microseconds,))
        self._windows, self._from, self._until = b"", math.inf, -math.inf
        self._settle_size = 3 + _SETTLE_FIXED + (2 + _SETTLE_EACH) * len(self.kept)
        self._settle_keys = _words((2 * len(self.kept), *(key for at in self.kept for key in self.keys[at])))
        self._settled = _words(
            word
            for at in self.kept
            for word in (self.shapes[at], "nano" if limits[at].kind == "money_per_month" else "tokens")
        )

    def admit(self, call: str, amounts: Sequence[int], now: Word, here: float, *, is_look: bool) -> Pack:
        """The request that reserves `amounts`, or with `is_look` only asks whether they fit.

        Args:
            call: the call's name; the same call reserves once.
            amounts: for each limit.
            now: the time in microseconds, or nothing for the server's own.
            here: the time in seconds that decides which day and month it is.
            is_look: reserve nothing.
        """
        windows = self._windows if self._from <= here < self._until else self._windows_at(here)
        own = _words((int(is_look), now, call, *amounts))

        def packed(again: bool, is_text: bool) -> bytes:
            return _ADMIT.joined(
                self._admit_size,
                is_text,
                self._admit_keys,
                AGAIN if again else ONCE,
                self._lease,
                own,
                windows,
            )

        return packed

    def settle(
        self, call: str, amounts: Sequence[int], starts: Sequence[Word], used: tuple[int, int]
    ) -> Pack:
        """The request that replaces what a call reserved by what it used.

        Args:
            call: the name under which it was admitted.
            amounts: what it reserved, for each limit.
            starts: of the day or month in which it began, as the server said, for each limit.
            used: tokens, and nano-units.
        """
        kept = self.kept
        own = _words((call, *used, *(amounts[at] for at in kept), *(starts[at] for at in kept)))

        def packed(again: bool, is_text: bool) -> bytes:
            mode = AGAIN if again else ONCE
            return _SETTLE.joined(self._settle_size, is_text, self._settle_keys, mode, own, self._settled)

        return packed

    def undo(self, call: str, amounts: Sequence[int]) -> Pack:
        """The request that removes every trace of a call that does not happen."""
        keys = [key for pair in self.keys for key in pair]
        nothing = ("",) * len(amounts)
        return _SETTLE.pack(keys, (call, 0, 0, *amounts, *nothing, *(("now", "tokens") * len(amounts))))

    def _windows_at(self, here: float) -> bytes:
        """What admit.lua needs to know of each limit, with the day and month of the time `here`."""
        words: list[Word] = []
        first, last = -math.inf, math.inf
        for limit, shape in zip(self.limits, self.shapes, strict=True):
            words += [shape, int(limit.is_hard), limit.value]
            if shape != "calendar":
                words += ["", "", "", ""]
                continue
            window = calendar_window(here, is_month=limit.kind != "tokens_per_day", time_zone=limit.time_zone)
            first, last = max(first, window[0]), min(last, window[1])
            words += [microseconds(moment) for moment in window]
            if limit.used is None or limit.used_as_of is None:
                words += ["", ""]
            else:
                words += [limit.used, microseconds(limit.used_as_of)]
        self._windows, self._from, self._until = _words(words), first, last
        return self._windows


def shape_of(limit: LimitConfig) -> str:
    """How a limit counts: over a calendar day or month, over a minute, or calls at the same time."""
    if limit.kind in CALENDAR_KINDS:
        return "calendar"
    return "now" if limit.kind == "concurrent_calls" else "minute"


def microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
