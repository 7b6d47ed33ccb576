"""The setup of every benchmark: servers, settings, and a migrated database that is dropped at the end."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def prepare(stack: contextlib.ExitStack) -> None:
    """Set Django up on its own empty database; `stack` undoes it. DATABASE_URL names the server, if it is set.

    As in production, Django connects as a role that owns nothing. The benchmark's own statements run in the platform's
    scope.
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
    """Install the packages of the tests, which benchmarks use, if only `make demo` has run so far.

    Raises CalledProcessError if that fails; make has printed the reason. Repeating it is safe.
    """
    if all(importlib.util.find_spec(name) for name in ("pytest", "factory")):
        return
    subprocess.run(["make", "--no-print-directory", "venv-dev"], cwd=CHECKOUT, check=True)
    importlib.invalidate_caches()
