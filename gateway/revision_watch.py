"""Waits for a newer revision, with one database connection a process, however many gateways wait.

A long poll holds a thread of the console while it waits, but no connection of Django's. All waiting threads
of a process share one `RevisionWatch`: a daemon thread with its own connection that LISTENs on the channel of
`tenants.revision`. PostgreSQL delivers the notification when the raising transaction commits, which wakes the
waiters within milliseconds. After every second without a notification, the thread also reads the counter, so that a
lost notification (a failover, a pooler that drops LISTEN) costs a second and no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from django.db import connections

from tenants.revision import CHANNEL

log = structlog.get_logger(__name__)

READ_EVERY_SECONDS = 1.0
RECONNECT_AFTER_SECONDS = 1.0
NUMBER = "SELECT number FROM tenants_configrevision WHERE id = 1"


class RevisionWatch:
    """Knows the newest committed revision, and wakes each thread that waits for a newer one than its own."""

    def __init__(self, connection_parameters: Callable[[], dict[str, Any]]) -> None:
        self._connection_parameters = connection_parameters
        self._changed = threading.Condition()
        # The newest revision that the listening thread knows; 0 while it is not connected.
        self._newest = 0
        self._waiters = 0
        self._thread: threading.Thread | None = None

    def wait_beyond(self, revision: int, timeout_seconds: float) -> bool:
        """Wait until the newest revision is greater than `revision`; False if the time runs out first."""
        with self._changed:
            self._ensure_listening()
            self._waiters += 1
            try:
                return self._changed.wait_for(lambda: self._newest > revision, timeout_seconds)
            finally:
                self._waiters -= 1

    def _ensure_listening(self) -> None:
        # The first time, or after a fork.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._listen_for_ever, name="revision-watch", daemon=True)
            self._thread.start()

    def _listen_for_ever(self) -> None:
        while True:
            try:
                self._listen()
            except psycopg.Error as error:
                with self._changed:
                    self._newest = 0
                    # The next waiter starts another thread.
                    if not self._waiters:
                        self._thread = None
                        return
                log.warning("revision_watch.reconnecting", reason=str(error).strip())
                time.sleep(RECONNECT_AFTER_SECONDS)

    def _listen(self) -> None:
        with psycopg.connect(**self._connection_parameters(), autocommit=True) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            while True:
                # After LISTEN, so that no revision is missed in between.
                row = connection.execute(NUMBER).fetchone()
                self._note(row[0] if row else 0)
                for notification in connection.notifies(timeout=READ_EVERY_SECONDS):
                    self._note(int(notification.payload))

    def _note(self, number: int) -> None:
        with self._changed:
            self._newest = number
            self._changed.notify_all()


def _parameters_of_django() -> dict[str, Any]:
    return dict(connections["default"].get_connection_params())


watch = RevisionWatch(_parameters_of_django)
