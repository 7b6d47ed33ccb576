"""Rate limits: sliding windows, shared by all console processes.

    limit_rate("sign_in", caller_place(request))

The counters are in RATE_LIMIT_URL, a Redis or Valkey. Without one, or while the server does not answer, each process
counts by itself; an outage is logged. So people can still use the console, and limits still apply.
(docs/security/rate-limits.md)
"""

from __future__ import annotations

import hashlib
import math
import time
from functools import lru_cache

import structlog
from django.conf import settings
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter

from core.errors import TooManyRequests

log = structlog.get_logger(__name__)

SERVER_TIMEOUT_SECONDS = 0.25
# Pause before the next attempt to reach a server that did not answer.
ASK_AGAIN_SECONDS = 10
_server_away_until = 0.0


def limit_rate(name: str, key: str | None) -> None:
    """Count one try of `name` by `key`, such as an address or an id; all tries with None count as one unknown caller.

    Raises:
        TooManyRequests: the limit is reached; this try does not count, so waiting helps.
        KeyError: no limit has that name (settings.RATE_LIMITS).
    """
    global _server_away_until
    text = settings.RATE_LIMITS[name]
    if text is None:
        return
    who = hashlib.sha256((key or "unknown").encode()).hexdigest()[:32]
    if time.monotonic() >= _server_away_until:
        try:
            _count(_limiter(settings.RATE_LIMIT_URL), text, name, who)
        except StorageError as error:
            _server_away_until = time.monotonic() + ASK_AGAIN_SECONDS
            log.warning("rate_limit_server_away", error=repr(error.__cause__ or error))
        else:
            return
    _count(_limiter("memory://"), text, name, who)


def _count(limiter: RateLimiter, text: str, name: str, who: str) -> None:
    for limit in _parsed(text):
        if not limiter.hit(limit, name, who):
            reset_at = limiter.get_window_stats(limit, name, who).reset_time
            log.info("rate_limited", limit=name)
            raise TooManyRequests(max(1, math.ceil(reset_at - time.time())))


@lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[RateLimitItem, ...]:
    return tuple(parse_many(text))


@lru_cache(maxsize=4)
def _limiter(url: str) -> RateLimiter:
    if url.startswith("memory"):
        return SlidingWindowCounterRateLimiter(storage_from_string(url))
    storage = storage_from_string(
        # Valkey uses the same protocol, and we have only the client for Redis.
        url.replace("valkey", "redis", 1),
        wrap_exceptions=True,
        key_prefix="qm-rate",
        socket_timeout=SERVER_TIMEOUT_SECONDS,
        socket_connect_timeout=SERVER_TIMEOUT_SECONDS,
    )
    return SlidingWindowCounterRateLimiter(storage)
