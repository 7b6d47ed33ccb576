"""One migrated template database a run; each worker tests on clones of it, renewed after commits.

Cloning costs about as much as emptying every table, and afterwards the database is as the migrations left it:
with their rows, their sequences, and tables that refuse TRUNCATE.
"""

import os
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql


def pytest_configure(config):
    """Give a test that committed a fresh clone afterwards, where Django would truncate all tables."""
    from django.test import TransactionTestCase

    TransactionTestCase._fixture_teardown = lambda case: renew_clone()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Let a test marked `as_owner`, and its fixtures, work as the owner of the tables, past rights and policies."""
    if not item.get_closest_marker("as_owner"):
        return (yield)
    with as_owner():
        return (yield)


@pytest.fixture(scope="session")
def django_db_setup(request, django_test_environment, django_db_blocker):
    """Point Django at this worker's clone (replaces pytest-django's fixture of that name)."""
    with django_db_blocker.unblock():
        ensure_template()
        renew_clone()
    # A test without a database fixture would keep its rows, and pass only after one that has it.
    yield
    with django_db_blocker.unblock():
        connection().close_pool()
        connection().close()


@pytest.fixture(scope="session")
def database_url(django_db_setup):
    """The address of this worker's database, for processes a test starts (also in DATABASE_URL)."""
    return os.environ["DATABASE_URL"]


def connection():
    """Django's connection to the database under test."""
    from django.db import connection

    return connection


def run_name() -> str:
    """The beginning of the names of this run's databases; the same for all its workers."""
    return "test_" + Path(os.environ["QUARTERMASTER_TEST_DIRECTORY"]).name.replace("-", "_").lower()


def template_name() -> str:
    """The database that holds the migrated schema and is never tested on."""
    return f"{run_name()}_template"


def clone_name() -> str:
    """The database of this worker."""
    return f"{run_name()}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


def maintenance() -> psycopg.Connection:
    """Connect to the server as the owner of all, outside every database under test."""
    parts = urlsplit(os.environ["DATABASE_OWNER_URL"])
    return psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True)


def ensure_template() -> None:
    """Migrate the template unless another worker already has; the others wait for it."""
    from django.core.management import call_command

    unfinished = f"{template_name()}_new"
    with maintenance() as server:
        server.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [template_name()])
        if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [template_name()]).fetchone():
            return
        execute(server, "DROP DATABASE IF EXISTS {}", unfinished)
        execute(server, "CREATE DATABASE {}", unfinished)
        use(unfinished)
        with as_owner():
            call_command("migrate", verbosity=0, interactive=False)
        execute(server, "ALTER DATABASE {} RENAME TO {}", unfinished, template_name())


def renew_clone() -> None:
    """Replace this worker's database by a new clone, ending whatever sessions there were, and use it."""
    connection().close()
    with maintenance() as server:
        _let_go_of(clone_name(), server)
        execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", clone_name())
        execute(server, "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", clone_name(), template_name())
    use(clone_name())


def shared_rows(django_db_blocker, make):
    """Commit what `make` makes, yield it, and renew the clone: the body of a fixture that a whole module shares.

    Each test works in a transaction that is rolled back, so it finds the rows as they were made. Tests that commit
    renew the clone themselves and would take the rows with them: they belong in another module.
    """
    from django.db import transaction

    from core.scope import platform_scope

    with django_db_blocker.unblock():
        with platform_scope("rows that tests share"), transaction.atomic():
            made = make()
        yield made
        renew_clone()


def _let_go_of(name: str, server: psycopg.Connection, seconds: float = 0.3) -> None:
    """Close the pool until nobody is left in this database, or for so long.

    A thread that is about to end gives its connection back late: to the pool of the next test, where a session that
    was ended by force would be found dead.
    """
    deadline = time.monotonic() + seconds
    while True:
        connection().close_pool()
        inside = server.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [name]
        ).fetchone()[0]
        if not inside or time.monotonic() > deadline:
            return
        time.sleep(0.005)


def use(name: str) -> None:
    """Let Django, and processes started from here, work on this database."""
    from django.conf import settings

    connection().close()
    connection().close_pool()
    settings.DATABASES["default"]["NAME"] = name
    connection().settings_dict["NAME"] = name
    os.environ["DATABASE_URL"] = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


@contextmanager
def as_owner():
    """Let Django connect as the owner of the tables for a while: to migrate, or to do what the console may not."""
    before = {name: connection().settings_dict[name] for name in ("USER", "PASSWORD")}
    _reconnect(os.environ["DATABASE_OWNER_URL"])
    try:
        yield
    # Whoever it was: the first test of a run may work as the owner already.
    finally:
        connection().close()
        connection().close_pool()
        connection().settings_dict.update(before)


def _reconnect(url):
    """Go on as the role of this address, in the same database."""
    role = urlsplit(url)
    connection().close()
    connection().close_pool()
    connection().settings_dict.update(USER=unquote(role.username), PASSWORD=unquote(role.password or ""))


def drop_databases_of_this_run() -> None:
    """Leave nothing of ours on a server that was given to us."""
    with maintenance() as server:
        names = server.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{run_name()}%"])
        for (name,) in names.fetchall():
            execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        execute(server, "DROP ROLE IF EXISTS {}", urlsplit(os.environ["DATABASE_URL"]).username)


def execute(server: psycopg.Connection, statement: str, *names: str) -> None:
    """Run a statement with quoted names."""
    server.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))
