"""Letting things happen at the same time: threads with their own database connections, let go together."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Barrier

import psycopg
from django.db import connection, transaction
from psycopg import sql

WAITING = """
    SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND datname = current_database()
"""


def at_the_same_time(*actions):
    """Run every callable at once and return, in their order, what each returned or raised.

    Use it in tests marked `django_db(transaction=True)`: threads see only what is committed.
    """
    starting_line = Barrier(len(actions))

    def run(action):
        try:
            connection.ensure_connection()
            starting_line.wait(timeout=60)
            return action()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(actions)) as threads:
        # Each action in the test's scope.
        contexts = [copy_context() for _ in actions]
        return list(threads.map(lambda context, action: context.run(run, action), contexts, actions))


def queued_at(rows, *actions, meanwhile=lambda: None):
    """Lock `rows`, run every callable until all of them wait for a lock, let go, and return as `at_the_same_time`.

    So each action has read what it decides by before another one changes it: the race, every time. `meanwhile` is done
    by whoever holds the rows, before they let go.
    """
    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            assert list(rows.select_for_update()), "no row to wait for"
            outcomes = thread.submit(copy_context().run, at_the_same_time, *actions)
            _wait_until_blocked(len(actions))
            meanwhile()
        return outcomes.result()


def queued_behind(action, first):
    """Do `first` in a transaction, run `action` until it waits for a lock of that transaction, commit, and return what
    `action` returned or raised."""
    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            first()
            outcome = thread.submit(copy_context().run, at_the_same_time, action)
            _wait_until_blocked(1)
        return outcome.result()[0]


def held_up_at(table, action, *, meanwhile):
    """Run `action` until it waits to write to `table`, do and commit `meanwhile`, let go, and return what `action`
    returned or raised. So `action` has read what it decides by, and `meanwhile` changes it."""
    place = {"dbname": connection.settings_dict["NAME"]}
    with ThreadPoolExecutor(1) as thread, psycopg.connect(os.environ["DATABASE_OWNER_URL"], **place) as owner:
        owner.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.Identifier(table)))
        outcome = thread.submit(copy_context().run, at_the_same_time, action)
        try:
            _wait_until_blocked(1)
            meanwhile()
        finally:
            owner.rollback()
        return outcome.result()[0]


def _wait_until_blocked(count, seconds=60):
    deadline = time.monotonic() + seconds
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(WAITING)
            if cursor.fetchone()[0] == count:
                return
            time.sleep(0.01)
    raise AssertionError(f"{count} actions do not wait for the locked rows")
