"""A connection that sends `core.scope.current_scope` to PostgreSQL before each statement.

Row-level security (core/rls.py) reads the scope from two settings of the session. Within a transaction they are
set for that transaction alone, so they always end with it. For a statement outside a transaction they are set for
the session and compared again before the next statement. A new connection has no scope. A connection loses its scope
before it returns to Django's pool; if that fails, it is closed.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base

from core.scope import NOBODY, Scope, current_scope, person_scope

PLATFORM = "*"
# Just-in-time compilation would take longer than the work: conditions of policies make statements look expensive.
SET_SCOPE = (
    "SELECT set_config('quartermaster.tenants', %s, %s), set_config('quartermaster.person', %s, %s), "
    "set_config('jit', 'off', %s)"
)
ENTER_PERSON_SCOPE = "SELECT enter_person_scope(%s, %s, %s)"  # core/rls.py


def forget_scope(connection: Any) -> None:
    """Clear the scope of a connection that returns to the pool; no request waits for this."""
    connection.execute(SET_SCOPE, ("", False, "", False, False))
    if not connection.autocommit:
        connection.commit()


class DatabaseWrapper(base.DatabaseWrapper):
    """Sends the scope if it differs from the one that the server has; never after a transaction has failed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._session_scope = NOBODY
        # None: the transaction has none of its own, so the session's applies.
        self._transaction_scope: Scope | None = None
        self._is_unwinding = False

    @property
    def pool(self) -> Any:
        options = self.settings_dict["OPTIONS"]
        if wanted := options.get("pool"):
            options["pool"] = {**(wanted if isinstance(wanted, dict) else {}), "reset": forget_scope}
        return super().pool

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self._session_scope, self._transaction_scope = NOBODY, None
        return super().get_new_connection(conn_params)

    def create_cursor(self, name: str | None = None) -> Any:
        self.carry_scope()
        return super().create_cursor(name)

    def carry_scope(self) -> None:
        """Send the server the current scope if it has another one. For callers that use the bare connection next."""
        wanted = current_scope.get()
        if wanted != (self._transaction_scope or self._session_scope) and not self._is_unwinding:
            self._send(wanted)

    def enter_person_scope(self, person: str, *, tenant_slug: str | None) -> Scope:
        """Find and set the scope of a person's request in one statement, and return it.

        The scope is the person's tenants; with a `tenant_slug`, only the one of them with that slug, or none.
        """
        self.ensure_connection()
        (tenants,) = self._execute(ENTER_PERSON_SCOPE, person, tenant_slug, not self.get_autocommit())
        scope = person_scope(person, tenants)
        self._note(scope)
        return scope

    def _send(self, scope: Scope) -> None:
        in_transaction = not self.get_autocommit()
        tenants = PLATFORM if scope.is_platform else ",".join(scope.tenants)
        self._execute(SET_SCOPE, tenants, in_transaction, scope.person, in_transaction, in_transaction)
        self._note(scope)

    def _execute(self, statement: str, *parameters: Any) -> Any:
        with self.wrap_database_errors, self.connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchone()

    def _note(self, scope: Scope) -> None:
        if not self.get_autocommit():
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
        self._savepoint_step(super()._savepoint, sid)  # type: ignore[misc]

    def _savepoint_commit(self, sid: str) -> None:
        self._savepoint_step(super()._savepoint_commit, sid)  # type: ignore[misc]

    def _savepoint_rollback(self, sid: str) -> None:
        self._savepoint_step(super()._savepoint_rollback, sid)  # type: ignore[misc]
        # Settings made since the savepoint are gone.
        self._transaction_scope = Scope(tenants=("unknown",))

    def _savepoint_step(self, step: Any, sid: str) -> None:
        """Run a step that a failed transaction still allows, without sending a scope first, which it does not allow."""
        self._is_unwinding = True
        try:
            step(sid)
        finally:
            self._is_unwinding = False
