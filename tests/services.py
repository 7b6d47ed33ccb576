"""A pytest plugin: the database and the queue that the tests run on, started once.

Load it with `-p tests.services`: it works before Django reads its settings. Whoever sets DATABASE_URL or
CELERY_BROKER_URL brings their own servers, and those are not started. With xdist only the controller starts
servers; its workers inherit the environment. Each worker has a database of its own, cloned from one template
that is migrated once (see databases.py). With CI=true a skipped test is a failed test.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from launcher.ports import free_port
from launcher.postgres import EmbeddedPostgres
from launcher.processes import is_alive
from launcher.roles import console_url
from launcher.running import RunningServer
from launcher.valkey import EmbeddedValkey
from tests.kube.fixtures import stop_keeper

DIRECTORY_PREFIX = "quartermaster-tests-"
MEMORY = Path("/dev/shm")
# Free for the database to be there; a whole run needs a quarter of it.
BYTES_IN_MEMORY = 2 * 1024**3
# Of the run: two on one server must not share it.
SERVING_LOGIN = f"quartermaster_tests_{os.getpid()}"
DIRECTORY_VARIABLE = "QUARTERMASTER_TEST_DIRECTORY"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config, parser, args):
    """Prepare the environment ahead of pytest-django, which imports the settings here."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        prepare_environment(early_config.add_cleanup)
    return (yield)


# On a busy machine any example may take long.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


def pytest_configure(config):
    """Bring in our fixtures after pytest-django's, so that our database setup replaces the one it has.

    A test's own body works on rows of every tenant; what it calls over HTTP or as a task has its own scope.
    """
    from core.scope import Scope, current_scope

    current_scope.set(Scope(platform_reason="a test"))
    from tests import databases
    from tests.kube import fixtures

    config.pluginmanager.register(databases, "quartermaster-databases")
    config.pluginmanager.register(fixtures, "quartermaster-kube")


def build_languages() -> None:
    """Build what Django reads of other languages. In a process of its own: settings are not there yet."""
    subprocess.run([sys.executable, "-m", "core.languages", "build"], check=True, stdout=subprocess.DEVNULL)


def prepare_environment(at_the_end: Callable[[Callable[[], object]], object]) -> None:
    """Start what is not given and say in os.environ where it is; `at_the_end` takes what undoes it."""
    build_languages()
    remove_abandoned_directories()
    directory = _new_directory(Path(tempfile.gettempdir()), at_the_end)
    os.environ[DIRECTORY_VARIABLE] = str(directory)

    at_the_end(lambda: stop_keeper(directory))

    log = (directory / "servers.log").open("wb")
    at_the_end(log.close)
    if "DATABASE_URL" not in os.environ:
        data = _new_directory(place_of_the_database(), at_the_end) / "postgres"
        server = EmbeddedPostgres(data, port=free_port(), password=secrets.token_urlsafe(16), fast=True)
        at_the_end(RunningServer(server, log).stop)
        server.create_database("quartermaster")
        os.environ["DATABASE_OWNER_URL"] = server.url("quartermaster")
    else:
        from tests.databases import drop_databases_of_this_run

        os.environ.setdefault("DATABASE_OWNER_URL", os.environ["DATABASE_URL"])
        at_the_end(drop_databases_of_this_run)
    # As in production, what is tested connects as a role that owns nothing.
    os.environ["DATABASE_URL"] = console_url(
        os.environ["DATABASE_OWNER_URL"], login=SERVING_LOGIN, password=secrets.token_urlsafe(16)
    )
    if "CELERY_BROKER_URL" not in os.environ:
        queue = EmbeddedValkey(
            directory / "valkey", port=free_port(), password=secrets.token_urlsafe(16), durable=False
        )
        at_the_end(RunningServer(queue, log).stop)
        os.environ["CELERY_BROKER_URL"] = queue.url()

    defaults = {
        "SECRET_KEY": secrets.token_urlsafe(40),
        "CONSOLE_URL": "http://127.0.0.1:8000",
        "GATEWAY_URL": "http://127.0.0.1:8080/v1",
        "LOCAL_DIR": str(directory / "local"),
        "EXPORT_DIR": str(directory / "exports"),
        "ENGINE_STATE_DIR": str(directory / "engines"),
        "STATIC_ROOT": str(directory / "static"),
    }
    for name in ("local", "exports", "engines", "static"):
        (directory / name).mkdir(mode=0o700)
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def place_of_the_database(memory: Path = MEMORY) -> Path:
    """Return a file system in memory with room for the database, or else the place of temporary files.

    Each test that commits gets a new database, which is a thousand files. On a disk that can take a second.
    TMPDIR, if set, decides instead.
    """
    if "TMPDIR" in os.environ:
        return Path(tempfile.gettempdir())
    try:
        has_room = min(shutil.disk_usage(memory).free, _available_memory()) >= BYTES_IN_MEMORY
    except OSError:
        has_room = False
    return memory if has_room and os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


def _available_memory() -> int:
    """Bytes that new work may take without swapping, as Linux estimates them."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def _new_directory(parent: Path, at_the_end: Callable[[Callable[[], object]], object]) -> Path:
    """Make a directory of this run, which is removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix=f"{DIRECTORY_PREFIX}{os.getpid()}-", dir=parent))
    at_the_end(lambda: shutil.rmtree(directory, ignore_errors=True))
    # PostgreSQL may run as another user and passes through.
    directory.chmod(0o711)
    return directory


def remove_abandoned_directories() -> None:
    """Remove what earlier runs left because they were killed."""
    for parent in {Path(tempfile.gettempdir()), MEMORY}:
        for directory in parent.glob(f"{DIRECTORY_PREFIX}*"):
            pid = directory.name.removeprefix(DIRECTORY_PREFIX).partition("-")[0]
            if pid.isdigit() and not is_alive(int(pid)):
                shutil.rmtree(directory, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Turn a skip into a failure in CI: there, everything a test needs is installed."""
    return refuse_skip_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """The same for a module that skips itself while being collected."""
    return refuse_skip_in_ci((yield))


def refuse_skip_in_ci(report):
    """Return the report, failed if it was a skip and CI=true; an expected failure is no skip."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"Skipped, which counts as a failure in CI: {reason}"
    return report
