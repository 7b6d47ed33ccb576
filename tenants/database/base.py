"""A connection that carries `tenants.scope.current_scope` to PostgreSQL before each statement.

Row-level security (tenants/walls.py) reads the scope from two settings of the session. Within a transaction they are
set for that transaction alone, so they end with it, whatever happens. For a statement outside a transaction they are
set for the session and compared again before the next one. A connection fresh from the pool counts as
unknown, so nothing that somebody else left there is ever trusted.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base

from tenants.scope import Scope, current_scope

PLATFORM = "*"
SET_SCOPE = "SELECT set_config('quartermaster.tenants', %s, %s), set_config('quartermaster.person', %s, %s)"


class DatabaseWrapper(base.DatabaseWrapper):
    """Sends the scope when it differs from what the server knows; never after a transaction has failed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._session_scope: Scope | None = None  # None: unknown
        self._transaction_scope: Scope | None = None  # None: none of its own, the session's holds
        self._is_unwinding = False

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self._session_scope = self._transaction_scope = None
        return super().get_new_connection(conn_params)

    def create_cursor(self, name: str | None = None) -> Any:
        self.carry_scope()
        return super().create_cursor(name)

    def carry_scope(self) -> None:
        """Tell the server the current scope, unless it knows. For those who go on with the bare connection."""
        wanted = current_scope.get()
        if wanted != (self._transaction_scope or self._session_scope) and not self._is_unwinding:
            self._send(wanted)

    def _send(self, scope: Scope) -> None:
        in_transaction = not self.get_autocommit()
        tenants = PLATFORM if scope.is_platform else ",".join(scope.tenants)
        with self.wrap_database_errors, self.connection.cursor() as cursor:
            cursor.execute(SET_SCOPE, (tenants, in_transaction, scope.person, in_transaction))
        if in_transaction:
            self._transaction_scope = scope
        else:
            self._session_scope = scope

    def _commit(self) -> None:
        self._transaction_scope = None
        super()._commit()  # type: ignore[misc]

    def _rollback(self) -> None:
        self._transaction_scope = None
        super()._rollback()  # type: ignore[misc]

    def _savepoint(self, sid: str) -> None:
        self._in_peace(super()._savepoint, sid)  # type: ignore[misc]

    def _savepoint_commit(self, sid: str) -> None:
        self._in_peace(super()._savepoint_commit, sid)  # type: ignore[misc]

    def _savepoint_rollback(self, sid: str) -> None:
        self._in_peace(super()._savepoint_rollback, sid)  # type: ignore[misc]
        self._transaction_scope = Scope(tenants=("unknown",))  # what was set since the savepoint is gone

    def _in_peace(self, step: Any, sid: str) -> None:
        """Take a step that a failed transaction still allows: sending a scope before it would not be."""
        self._is_unwinding = True
        try:
            step(sid)
        finally:
            self._is_unwinding = False
