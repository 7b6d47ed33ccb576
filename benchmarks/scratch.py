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
    from django.db import connection

    stack.callback(connection.creation.destroy_test_db, connection.settings_dict["NAME"], verbosity=0)
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
