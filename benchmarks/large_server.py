"""The server of the large database. It keeps its files in the benchmark's directory between runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path


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
