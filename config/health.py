"""Liveness and readiness. Live means that the process answers; ready means that it can do its work."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from kombu import Connection

log = structlog.get_logger(__name__)


def healthz(request: HttpRequest) -> JsonResponse:
    """Return 200 while the process answers at all; checks nothing else."""
    return JsonResponse({"status": "alive"})


def readyz(request: HttpRequest) -> JsonResponse:
    """Return 200 if database, broker and schema are as this code needs them; otherwise 503, naming the failures."""
    checks = {name: _answer_of(check) for name, check in CHECKS.items()}
    is_ready = all(answer == "ok" for answer in checks.values())
    return JsonResponse(
        {"status": "ready" if is_ready else "not ready", "checks": checks}, status=200 if is_ready else 503
    )


def check_database() -> str:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def check_migrations() -> str:
    """Fail if the schema is older than the code: the console would write rows that the next one misreads."""
    if pending := pending_migrations():
        return f"{len(pending)} migrations are not applied, first {pending[0]}. Run manage.py migrate."
    return "ok"


def check_row_level_security() -> str:
    """Fail if the console's own database role bypasses row-level security."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper OR rolbypassrls OR EXISTS (SELECT FROM pg_class WHERE relname = 'tenants_tenant' "
            "AND pg_has_role(relowner, 'USAGE')) FROM pg_roles WHERE rolname = current_user"
        )
        sees_past = cursor.fetchone()[0]
    return (
        "DATABASE_URL names a role that sees past row-level security (docs/isolation.md)."
        if sees_past
        else "ok"
    )


def check_broker() -> str:
    with Connection(settings.CELERY_BROKER_URL, connect_timeout=2) as connection:
        connection.ensure_connection(max_retries=1, timeout=2)
    return "ok"


CHECKS: dict[str, Callable[[], str]] = {
    "database": check_database,
    "migrations": check_migrations,
    "row_level_security": check_row_level_security,
    "broker": check_broker,
}


def _answer_of(check: Callable[[], str]) -> str:
    try:
        return check()
    # Readiness reports every failure, whatever its kind.
    except Exception as error:
        log.warning("readiness.failed", check=check.__name__, error=repr(error))
        return f"{check.__name__} failed: {type(error).__name__}"


def pending_migrations() -> list[str]:
    """Names of migrations in this code that the database has not applied, in order."""
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
