"""The configuration revision: a number that grows with every change gateways must learn about."""

from __future__ import annotations

from django.db import connection

CHANNEL = "config_revision"


def raise_revision() -> int:
    """Raise the revision inside the caller's transaction and return it; gateways are woken at commit.

    The counter is one row, so writers take turns and revisions become visible in order: a gateway that has
    seen N has seen every change up to N. Call it late in an action, because the row stays locked until commit.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenants_configrevision (id, number) VALUES (1, 1) "
            "ON CONFLICT (id) DO UPDATE SET number = tenants_configrevision.number + 1 RETURNING number"
        )
        number: int = cursor.fetchone()[0]
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(number)])
    return number


def current_revision() -> int:
    """The newest committed revision; 0 before the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT number FROM tenants_configrevision WHERE id = 1")
        row = cursor.fetchone()
    return row[0] if row else 0
