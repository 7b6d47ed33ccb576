"""Which calls belong to one session, and the order in which a session asks targets.

Rendezvous hashing: each target draws a number from the session's name, and the lowest one is asked first. The numbers
are distributed so that targets get sessions by weight. A target that comes or goes moves only its own sessions.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping

from gateway.proxy.body import Body
from gateway.proxy.index import Backend, Route
from gateway.proxy.separation import Separation

SESSION_HEADER = "x-session-id"
_FIELD = "prompt_cache_key"


def session_of(
    route: Route, headers: Mapping[str, str], body: Body, separation: Separation, tenant_id: str
) -> bytes:
    """A digest of the session that a call names, by header or by `prompt_cache_key`. Empty if it names none, or the
    route is not sticky.

    The same name gives another digest for each tenant.

    Args:
        route: the route of the model.
        headers: the client's.
        body: as the client sent it.
        separation: the key of this installation.
        tenant_id: whose call it is.
    """
    if not route.config.handling.is_sticky:
        return b""
    named = headers.get(SESSION_HEADER) or body.simple(_FIELD)
    return separation.session_of(tenant_id, named) if named and isinstance(named, str) else b""


def by_session(group: Iterable[Backend], session: bytes) -> list[Backend]:
    """The backends in the order in which this session asks them."""
    return sorted(group, key=lambda one: _drawn(one, session))


def _drawn(backend: Backend, session: bytes) -> float:
    """An exponentially distributed number, with the backend's share as its rate."""
    place = f"{backend.id}\0{backend.url}".encode()
    drawn = int.from_bytes(hashlib.blake2b(place, digest_size=8, key=session).digest())
    return -math.log((drawn + 0.5) / 2**64) / backend.share
