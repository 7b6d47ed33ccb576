"""Locks across processes, without a transaction that stays open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

KEY = "hashtextextended(%s, 0)"


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Wait for the lock `name`, and hold it. If this process dies, the database releases it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_advisory_lock({KEY})", [name])
    try:
        yield
    finally:
        _leave(name)


@contextmanager
def if_nobody_else(name: str) -> Iterator[bool]:
    """Take the lock `name` if it is free now; False, without waiting, if someone else holds it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory_lock({KEY})", [name])
        acquired: bool = cursor.fetchone()[0]
    try:
        yield acquired
    finally:
        if acquired:
            _leave(name)


def _leave(name: str) -> None:
    if connection.connection is None or connection.connection.closed:
        # The lock ended with the connection.
        return
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_advisory_unlock({KEY})", [name])
