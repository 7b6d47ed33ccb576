"""Read bodies within bounds: of bytes, for each and for all together, and of time.

A body above `SMALL` bytes is counted from before its first byte until a backend has it. Its announced length
is reserved as a whole, so that half-read bodies never wait for each other. Without room it is not read and
stays in the client's own memory. Smaller ones are bounded by the number of connections.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from gateway.proxy.errors import Refusal, bad_request, retry_after, unavailable
from gateway.proxy.head import too_large

SMALL = 64 * 1024
# The longest wait for room; then the call is refused.
WAIT_SECONDS = 10.0
LONGEST_SECONDS = 60.0  # for any body
# The average rate required after the grace period.
SLOWEST_BYTES_PER_SECOND = 16 * 1024

# The next part of a body; empty at its end. Raises ConnectionResetError if it will not come.
Receive = Callable[[], Awaitable[bytes]]


class Share:
    """The counted bytes of one body, or of one answer. `release` gives them back; safe to repeat."""

    __slots__ = ("_budget", "key", "size", "tenant")

    def __init__(self, budget: "BodyBudget", tenant: str, key: str) -> None:
        self._budget = budget
        self.tenant = tenant
        self.key = key
        self.size = 0

    async def take(self, size: int) -> None:
        """Count `size` more bytes. The first time, waits for room; later, only what fits. Raises Refusal (429, 503)."""
        await self._budget.take(self, size)

    def release(self) -> None:
        """Give the bytes back: the body is no longer needed."""
        if self.size:
            self._budget.release(self)


class BodyBudget:
    """How many bytes of larger bodies, or of larger answers, this process holds: overall, for a tenant (half), for a
    key (quarter).
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self.used = 0
        # The highest use since it was last reset.
        self.highest = 0
        # Bytes held now, by tenant and by key.
        self._by_owner: dict[str, int] = {}
        self._waiting: deque[tuple[asyncio.Future[None], Share, int]] = deque()

    def share_of(self, tenant: str, key: str) -> Share:
        """An empty share for one body."""
        return Share(self, tenant, key)

    async def take(self, share: Share, size: int) -> None:
        """As `Share.take`."""
        # A newcomer queues. A share that has begun need not: it gives nothing back before it is complete.
        if (share.size or not self._waiting) and self._fits(share, size):
            self._count(share, size)
            return
        # The share already holds bytes, so waiting could deadlock with the one it waits for.
        if share.size:
            raise self._no_room(share, size)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (granted, share, size)
        self._waiting.append(entry)
        self._grant()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await granted
        except TimeoutError:
            if granted.done() and not granted.cancelled():
                return
            raise self._no_room(share, size) from None
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.release(share)
            raise
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    def release(self, share: Share) -> None:
        """As `Share.release`."""
        size, share.size = share.size, 0
        if not size:
            return
        self.used -= size
        for owner in (f"tenant {share.tenant}", f"key {share.key}"):
            left = self._by_owner[owner] - size
            if left:
                self._by_owner[owner] = left
            else:
                del self._by_owner[owner]
        self._grant()

    def _grant(self) -> None:
        """Admit all that fit, in order of arrival. One that does not fit delays only its own tenant."""
        for entry in list(self._waiting):
            granted, share, size = entry
            if not granted.done() and self._fits(share, size):
                self._waiting.remove(entry)
                self._count(share, size)
                granted.set_result(None)

    def _fits(self, share: Share, size: int) -> bool:
        """Whether there is room. A single body always fits, however small the memory."""
        if self.used + size > self._total and self.used > share.size:
            return False
        return all(
            held + size <= allowed or held == share.size
            for held, allowed in (
                (self._by_owner.get(f"tenant {share.tenant}", 0), self._total // 2),
                (self._by_owner.get(f"key {share.key}", 0), self._total // 4),
            )
        )

    def _count(self, share: Share, size: int) -> None:
        share.size += size
        self.used += size
        self.highest = max(self.highest, self.used)
        for owner in (f"tenant {share.tenant}", f"key {share.key}"):
            self._by_owner[owner] = self._by_owner.get(owner, 0) + size

    def _no_room(self, share: Share, size: int) -> Refusal:
        if self.used + size > self._total:
            return unavailable("The gateway is busy with large calls. Try again shortly.", "overloaded", 2.0)
        return Refusal(
            429,
            "too_many_large_bodies",
            "This key or tenant sends too many large calls. Send fewer at the same time.",
            kind="requests",
            headers={**retry_after(2.0), "connection": "close"},
        )


async def read_body(
    receive: Receive, announced: int | None, largest: int, share: Share, grace_seconds: float
) -> bytes:
    """Read a body. `announced` is its length, None if it comes without one.

    Args:
        receive: gives the next part of the body.
        announced: its Content-Length; None: chunked.
        largest: maximum number of bytes.
        share: memory that the body may take.
        grace_seconds: time before the minimum rate applies.

    Raises Refusal: 413 beyond `largest` bytes, 408 if it takes over a minute, or, after the grace, comes
    slower than 16 KiB a second, 429 or 503 if there is no room, 400 if it ends too early.
    """
    if announced is not None and announced > SMALL:
        await share.take(announced)
    parts: list[bytes] = []
    size = 0
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(grace_seconds) as patience:
            while part := await receive():
                size += len(part)
                if size > largest:
                    raise too_large(largest)
                if announced is None and size > SMALL and size > share.size:
                    await share.take(max(size - share.size, share.size, SMALL))
                parts.append(part)
                allowed = min(LONGEST_SECONDS, grace_seconds + size / SLOWEST_BYTES_PER_SECOND)
                patience.reschedule(began + allowed)
        return parts[0] if len(parts) == 1 else b"".join(parts)
    except ConnectionResetError:
        raise bad_request("The body ended before it was complete.", code="incomplete_body") from None
    except TimeoutError:
        message_text = "The body came too slowly or took over a minute. Send it again."
        raise Refusal(408, "request_timeout", message_text, headers={"connection": "close"}) from None
    finally:
        parts.clear()
