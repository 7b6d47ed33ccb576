"""What every benchmark begins with: servers, settings, and a migrated database that is dropped at the end."""

from __future__ import annotations

import contextlib
import os


def prepare(stack: contextlib.ExitStack) -> None:
    """Set Django up on an empty database of its own; `stack` undoes it. DATABASE_URL, if given, names the server."""
    from tests.services import prepare_environment

    prepare_environment(stack.callback)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.test")
    os.environ["LOG_LEVEL"] = "WARNING"
    import django

    django.setup()
    from tests import databases

    stack.callback(databases.drop_databases_of_this_run)
    stack.callback(lambda: databases.connection().close())
    databases.ensure_template()  # migrated as its owner; what is measured connects as the console does
    databases.renew_clone()
