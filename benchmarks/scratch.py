"""What every benchmark begins with: servers, settings, and a migrated database that is dropped at the end."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def prepare(stack: contextlib.ExitStack) -> None:
    """Set Django up on an empty database of its own; `stack` undoes it. DATABASE_URL, if given, names the server.

    As in production, Django connects as a role that owns nothing; the benchmark's own statements have the
    platform's scope.
    """
    install_what_is_missing()
    from tests.services import prepare_environment

    prepare_environment(stack.callback)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.test")
    os.environ["LOG_LEVEL"] = "WARNING"
    import django

    django.setup()
    from core.scope import Scope, current_scope
    from tests.databases import ensure_template, renew_clone

    current_scope.set(Scope(platform_reason="a benchmark"))
    ensure_template()
    renew_clone()


def install_what_is_missing() -> None:
    """Benchmarks use the servers and rows of the tests. After `make demo` alone, install what those need.

    Raises CalledProcessError if that fails; make has said why. Safe to repeat.
    """
    if all(importlib.util.find_spec(name) for name in ("pytest", "factory")):
        return
    subprocess.run(["make", "--no-print-directory", "venv-dev"], cwd=CHECKOUT, check=True)
    importlib.invalidate_caches()
