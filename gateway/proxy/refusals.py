"""Answer clients that are refused repeatedly at ever lower cost, without affecting anyone else.

The gateway always looks up the key first, so a wrong key from an address never delays a valid one from the
same address, which many people may share. It throttles only the effort for wrong keys, for a key that keeps hitting
a limit whose window has not moved, and for bodies that are read only to be refused. All tables are bounded.
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
# Burst, and rate per second: refusals of one wrong key from one address.
_SAME_KEY = (20.0, 1.0)
# The same for all wrong keys from one address together.
_ADDRESS = (200.0, 5.0)
# The same for one valid key refused by limits.
_LIMIT = (20.0, 2.0)
# The same for one valid key with invalid bodies: 64 KiB of them, or one smaller body, count as one.
_WRONG = (1600.0, 60.0)
_WRONG_BYTES = 64 * 1024
# How long the answer of a limit is repeated without checking it again.
_REPEATED_SECONDS = 1.0


class _Bucket:
    """A token bucket: a burst, and a rate per second."""

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, most: float, per_second: float, now: float) -> None:
        self._most, self._per_second = most, per_second
        self._left, self._at = most, now

    def take(self, now: float, number: float = 1) -> bool:
        """Take one, or `number`, even if fewer are left. False if none is left."""
        if self.wait(now) > 0:
            return False
        self._left -= number
        return True

    def wait(self, now: float) -> float:
        """Seconds until one is available; 0 if one is now."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        return max(0.0, (1 - self._left) / self._per_second)


class _Buckets:
    """The buckets of the most recently refused clients."""

    def __init__(self, most: float, per_second: float, clock: Callable[[], float]) -> None:
        self._shape = (most, per_second)
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str, number: float = 1) -> bool:
        """Take one, or `number`, from the bucket of `name`. False if none is left."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(*self._shape, self._clock())
            if len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
        return bucket.take(self._clock(), number)

    def wait(self, name: str) -> float:
        """Seconds until one is available in the bucket of `name`; 0 if one is now."""
        bucket = self._buckets.get(name)
        return bucket.wait(self._clock()) if bucket else 0.0

    def __len__(self) -> int:
        return len(self._buckets)

    def __bool__(self) -> bool:
        return bool(self._buckets)


@dataclass(slots=True)
class _Repeated:
    """The last refusal of a key by a limit, and how long it is repeated."""

    refusal: LimitReached
    revision: int
    until: float


class Refusals:
    """Counts refusals, and decides which get a cheap answer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._same_key = _Buckets(*_SAME_KEY, clock)
        self._address = _Buckets(*_ADDRESS, clock)
        self._limit = _Buckets(*_LIMIT, clock)
        self._wrong = _Buckets(*_WRONG, clock)
        self._repeated: OrderedDict[str, _Repeated] = OrderedDict()
        # By slug; only tenants of valid keys.
        self.by_tenant: Counter[str] = Counter()
        self.by_code: Counter[str] = Counter()

    def stranger(self, refusal: Refusal, address: str, authorization: str) -> Refusal:
        """The answer to a wrong key: `refusal`, or a cheaper one that closes the connection.

        One wrong key that keeps coming uses up only its own bucket, not that of its address.
        """
        network = _network_of(address)
        shown = hashlib.blake2b(authorization.encode("latin-1", "replace"), digest_size=12).hexdigest()
        if self._same_key.take(f"{network} {shown}") and self._address.take(network):
            return refusal
        return Cheaply(refusal)

    def limited(self, refusal: LimitReached, key_id: str, revision: int) -> None:
        """Note that a limit refused a key. A key that keeps hitting it gets the same answer for a second.

        A limit on one model does not count, since the next call may name another model.
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

    def in_force(self, key_id: str, revision: int) -> Refusal | None:
        """The refusal that a key gets unchecked, before its body is read; None while it may call."""
        if not self._repeated and not self._wrong:
            return None
        return self.repeated(key_id, revision) or self.too_many_wrong(key_id)

    def repeated(self, key_id: str, revision: int) -> Refusal | None:
        """The refusal that still applies to a key, without checking its limits; None if they must be checked."""
        last = self._repeated.get(key_id)
        if last is None:
            return None
        if last.revision != revision or self._clock() >= last.until:
            del self._repeated[key_id]
            return None
        return Cheaply(last.refusal)

    def wrong(self, key_id: str, size: int) -> None:
        """Note that a body of `size` bytes was read for a key only to be refused. The cost grows with its size."""
        self._wrong.take(key_id, max(1.0, size / _WRONG_BYTES))

    def too_many_wrong(self, key_id: str) -> Refusal | None:
        """The refusal that a key gets instead of having its next body read; None while it may continue."""
        wait = self._wrong.wait(key_id)
        if not wait:
            return None
        message = "Too many calls with this key were invalid. Check their errors, and try again later."
        return Cheaply(
            Refusal(429, "too_many_wrong_calls", message, kind="requests", headers=retry_after(wait))
        )

    def count(self, code: str, tenant: str) -> None:
        """Count a refusal; `tenant` is empty if the call had no valid key."""
        self.by_code[code] += 1
        if tenant:
            self.by_tenant[tenant] += 1

    def counters(self) -> dict[str, int]:
        """The counters for an Ack: the ten most frequent reasons and tenants."""
        codes = {f"refused {code}": number for code, number in self.by_code.most_common(10)}
        tenants = {f"refused of {slug}": number for slug, number in self.by_tenant.most_common(10)}
        return {**codes, **tenants}


class Cheaply(Refusal):
    """A refusal that was given many times: it is not logged, and it closes the connection."""

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
    """An IPv4 address, or the /64 of an IPv6 address, since one client usually controls all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
