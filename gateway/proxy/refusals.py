"""Who is refused again and again is answered ever cheaper, and costs nobody else anything.

A key that is known is always looked up first, so a wrong key from an address never holds up a right one from
the same address: many people may share it. What is throttled is only the effort for wrong keys, for a key that hammers
against a limit whose window has not moved, and for bodies that are read only to be refused. All tables are bounded.
"""

import hashlib
import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.proxy.errors import Refusal, retry_after
from gateway.proxy.limits import LimitReached

_REMEMBERED = 10_000
# At once, and more per second: refusals of one wrong key from one address.
_SAME_KEY = (20.0, 1.0)
# Of all wrong keys together that come from one address.
_ADDRESS = (200.0, 5.0)
# Of one right key by limits.
_LIMIT = (20.0, 2.0)
# Of one right key by what it sends: 64 KiB of wrong bodies, or a smaller one.
_WRONG = (1600.0, 60.0)
_WRONG_BYTES = 64 * 1024
# How long the answer of a limit is repeated without asking it.
_REPEATED_SECONDS = 1.0


class _Bucket:
    """So many at once, and so many more per second."""

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, most: float, per_second: float, now: float) -> None:
        self._most, self._per_second = most, per_second
        self._left, self._at = most, now

    def take(self, now: float, number: float = 1) -> bool:
        """Take one, or so many even if fewer are there. False if none is left."""
        if self.wait(now) > 0:
            return False
        self._left -= number
        return True

    def wait(self, now: float) -> float:
        """Seconds until there is one; 0 if there is."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        return max(0.0, (1 - self._left) / self._per_second)


class _Buckets:
    """The buckets of those who were refused last."""

    def __init__(self, most: float, per_second: float, clock: Callable[[], float]) -> None:
        self._shape = (most, per_second)
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str, number: float = 1) -> bool:
        """Take one, or so many, from the bucket of `name`. False if none is left."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(*self._shape, self._clock())
            if len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
        return bucket.take(self._clock(), number)

    def wait(self, name: str) -> float:
        """Seconds until there is one in the bucket of `name`; 0 if there is."""
        bucket = self._buckets.get(name)
        return bucket.wait(self._clock()) if bucket else 0.0

    def __len__(self) -> int:
        return len(self._buckets)


@dataclass(slots=True)
class _Repeated:
    """The last refusal of a key by a limit, and until when it is repeated."""

    refusal: LimitReached
    revision: int
    until: float


class Refusals:
    """Counts refusals, and says which are worth no more effort."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._same_key = _Buckets(*_SAME_KEY, clock)
        self._address = _Buckets(*_ADDRESS, clock)
        self._limit = _Buckets(*_LIMIT, clock)
        self._wrong = _Buckets(*_WRONG, clock)
        self._repeated: OrderedDict[str, _Repeated] = OrderedDict()
        # By slug; only tenants of right keys.
        self.by_tenant: Counter[str] = Counter()
        self.by_code: Counter[str] = Counter()

    def stranger(self, refusal: Refusal, address: str, authorization: str) -> Refusal:
        """The answer to a wrong key: `refusal`, or a cheaper one that closes the connection.

        One wrong key that comes again and again uses up only its own measure, not that of its address.
        """
        network = _network_of(address)
        shown = hashlib.blake2b(authorization.encode("latin-1", "replace"), digest_size=12).hexdigest()
        if self._same_key.take(f"{network} {shown}") and self._address.take(network):
            return refusal
        return Cheaply(refusal)

    def limited(self, refusal: LimitReached, key_id: str, revision: int) -> None:
        """Note that a limit refused a key. One that hammers gets the same answer for a second.

        A limit of one model says nothing of the next call, which may name another.
        """
        wait = refusal.wait_seconds
        if refusal.limit.model is not None:
            return
        if refusal.limit.kind == "concurrent_calls" or self._limit.take(key_id):
            return
        until = self._clock() + min(_REPEATED_SECONDS, wait)
        self._repeated[key_id] = _Repeated(refusal, revision, until)
        self._repeated.move_to_end(key_id)
        if len(self._repeated) > _REMEMBERED:
            self._repeated.popitem(last=False)

    def repeated(self, key_id: str, revision: int) -> Refusal | None:
        """The refusal that still holds for a key, without asking its limits; None if they are to be asked."""
        last = self._repeated.get(key_id)
        if last is None:
            return None
        if last.revision != revision or self._clock() >= last.until:
            del self._repeated[key_id]
            return None
        return Cheaply(last.refusal)

    def wrong(self, key_id: str, size: int) -> None:
        """Note that a body of so many bytes was read for a key only to be refused: it costs what it is large."""
        self._wrong.take(key_id, max(1.0, size / _WRONG_BYTES))

    def too_many_wrong(self, key_id: str) -> Refusal | None:
        """What a key is told instead of its next body being read; None while it may go on."""
        wait = self._wrong.wait(key_id)
        if not wait:
            return None
        message = "Too many calls with this key were invalid. Check their errors, and try again later."
        return Cheaply(
            Refusal(429, "too_many_wrong_calls", message, kind="requests", headers=retry_after(wait))
        )

    def count(self, code: str, tenant: str) -> None:
        """Count a refusal; `tenant` is empty where no right key was given."""
        self.by_code[code] += 1
        if tenant:
            self.by_tenant[tenant] += 1

    def counters(self) -> dict[str, int]:
        """What travels with an Ack: the ten most frequent reasons and tenants."""
        codes = {f"refused {code}": number for code, number in self.by_code.most_common(10)}
        tenants = {f"refused of {slug}": number for slug, number in self.by_tenant.most_common(10)}
        return {**codes, **tenants}


class Cheaply(Refusal):
    """A refusal that was given many times: it is not logged, and the connection is closed with it."""

    def __init__(self, refusal: Refusal) -> None:
        self.original = refusal
        headers = {**retry_after(1.0), **refusal.headers, "connection": "close"}
        super().__init__(
            refusal.status,
            refusal.code,
            str(refusal),
            kind=refusal.kind,
            param=refusal.param,
            headers=headers,
        )


def _network_of(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 one: whoever has one has all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
