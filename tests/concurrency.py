"""Letting things happen at the same time: threads with their own database connections, let go together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Barrier

from django.db import connection


def at_the_same_time(*deeds):
    """Run every callable at once and return, in their order, what each returned or raised.

    Use it in tests marked `django_db(transaction=True)`: threads see only what is committed.
    """
    starting_line = Barrier(len(deeds))

    def run(deed):
        try:
            connection.ensure_connection()
            starting_line.wait(timeout=10)
            return deed()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(deeds)) as threads:
        contexts = [copy_context() for _ in deeds]  # each deed in the test's scope
        return list(threads.map(lambda context, deed: context.run(run, deed), contexts, deeds))
