"""The routes and prices that were proved last, kept for the day when newer ones cannot be proved."""

from __future__ import annotations

import hashlib
import zlib
from typing import Final

import structlog
from django.db import connection

from gateway.contract import ContractError, decode, encode
from gateway.contract.stream import ConfigRouting
from gateway.models import ProvedRouting

log = structlog.get_logger(__name__)
# The fastest: it is written with every change of a route.
_LEVEL: Final = 1


_KEEP: Final = """
INSERT INTO gateway_provedrouting AS kept (id, revision, digest, body) VALUES (1, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, digest = excluded.digest, body = excluded.body
WHERE kept.revision <= excluded.revision AND kept.digest <> excluded.digest
"""


def keep_proved(routing: ConfigRouting, revision: int) -> None:
    """Keep what was proved at `revision`, unless something newer is kept. Safe to repeat and to run twice at once.

    Credentials in it are encrypted, as they travel to gateways (gateway/contract/sealing.py).
    """
    text = encode(routing)
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [revision, hashlib.sha256(text).hexdigest(), zlib.compress(text, _LEVEL)])


def last_proved() -> ConfigRouting | None:
    """What was kept last; None if there is none, or if it is of a release that wrote it otherwise."""
    row = ProvedRouting.objects.filter(pk=1).exclude(digest="").first()
    if row is None:
        return None
    try:
        return decode(ConfigRouting, zlib.decompress(row.body))
    except ContractError as error:
        log.warning("config.last_proved_unreadable", reason=str(error))
        return None
