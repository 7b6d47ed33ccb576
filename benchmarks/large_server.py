"""The server of the large database. It keeps its files in the benchmark's directory between runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def start_server(stack: contextlib.ExitStack, directory: Path, major: int | None) -> None:
    """Start the server of `directory`, and set DATABASE_URL and DATABASE_OWNER_URL as a caller with a server would."""
    from launcher.ports import free_port
    from launcher.postgres import EmbeddedPostgres, installed_binaries
    from launcher.running import RunningServer

    directory.mkdir(parents=True, exist_ok=True)
    # PostgreSQL may run as another user, which must be able to pass through this directory.
    directory.chmod(0o711)
    lock = stack.enter_context((directory / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit(
            f"Another benchmark is using {directory}; wait for it, or give --directory."
        ) from None
    password = directory / "password"
    if not password.exists():
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(16))
    server = EmbeddedPostgres(
        directory / "postgres", port=free_port(), password=password.read_text(), fast=True
    )
    if major is not None:
        server.binaries = next(found for found in installed_binaries() if found.major == major)
    log = stack.enter_context((directory / "postgres.log").open("wb"))
    stack.callback(RunningServer(server, log).stop)
    os.environ["DATABASE_URL"] = os.environ["DATABASE_OWNER_URL"] = server.url("postgres")


def migrations(checkout: Path = CHECKOUT) -> dict[str, str]:
    """Return the digest of each migration of ours, by its path."""
    return {
        str(path.relative_to(checkout)): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in sorted(checkout.glob("*/migrations/[0-9]*.py"))
    }


def is_changed(built_with: dict[str, str], here: dict[str, str]) -> bool:
    """True if a migration that a database was built with reads otherwise here, or is gone. New ones can be applied."""
    return any(here.get(path) != digest for path, digest in built_with.items())


def is_current(database: str) -> bool:
    """True if the database is built, with migrations as they are here. Prints a line if they were edited since."""
    from tests.databases import maintenance

    with maintenance() as server:
        found = server.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [database]
        ).fetchone()
    if not found or not (found[0] or "").startswith("built {"):
        return False
    if is_changed(json.loads(found[0].removeprefix("built ")), migrations()):
        print(f"{database} is built anew: its migrations were edited since.", flush=True)
        return False
    return True


def remember(database: str) -> None:
    """Note in the database that it is built, and with which migrations."""
    from psycopg import sql

    from tests.databases import maintenance

    with maintenance() as server:
        comment = sql.SQL("COMMENT ON DATABASE {} IS {}")
        server.execute(
            comment.format(sql.Identifier(database), sql.Literal(f"built {json.dumps(migrations())}"))
        )
