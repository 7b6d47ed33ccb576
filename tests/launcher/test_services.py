"""The test services, tried on a small Django project of their own."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from tests import services

REPOSITORY = Path(__file__).parents[2]

PROJECT = {
    "pytest.ini": """
[pytest]
DJANGO_SETTINGS_MODULE = small.settings
addopts = -p tests.services -p no:cacheprovider
""",
    "small/__init__.py": "",
    "small/settings.py": """
import os
from urllib.parse import urlsplit
url = urlsplit(os.environ["DATABASE_URL"])
SECRET_KEY = os.environ["SECRET_KEY"]
CELERY_BROKER_URL = os.environ["CELERY_BROKER_URL"]
INSTALLED_APPS = ["small"]
ROOT_URLCONF = "small.settings"
urlpatterns = []
USE_TZ = True
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username,
    "PASSWORD": url.password, "HOST": url.hostname, "PORT": url.port, "OPTIONS": {"pool": True},
}}
""",
    "small/models.py": """
from django.db import models
class Counter(models.Model):
    n = models.IntegerField()
""",
    "small/migrations/__init__.py": "",
    "small/migrations/0001_initial.py": """
import os
from django.db import migrations, models
def first_row(apps, schema_editor):
    apps.get_model("small", "Counter").objects.create(n=1)
    with open(os.environ["MIGRATION_LOG"], "a") as log:
        log.write("migrated\\n")
class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel("Counter", [
            ("id", models.BigAutoField(primary_key=True)), ("n", models.IntegerField())]),
        migrations.RunPython(first_row),
        migrations.RunSQL('''
            GRANT SELECT, INSERT, UPDATE, DELETE ON small_counter TO quartermaster_console;
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''kept''; END';
            CREATE TRIGGER kept BEFORE TRUNCATE ON small_counter EXECUTE FUNCTION refuse();'''),
    ]
""",
    "test_small.py": """
import os, subprocess, sys
import psycopg, pytest
from small.models import Counter

@pytest.mark.django_db
@pytest.mark.parametrize("i", range(4))
def test_rows_of_migrations_are_there(i):
    assert list(Counter.objects.values_list("n", flat=True)) == [1]
    Counter.objects.create(n=2)

@pytest.mark.parametrize("i", range(4))
@pytest.mark.django_db(transaction=True)
def test_rows_of_migrations_are_there_after_commits(i):
    assert list(Counter.objects.values_list("n", flat=True)) == [1]
    Counter.objects.create(n=2)

@pytest.mark.django_db(transaction=True)
def test_other_processes_see_the_same_database(database_url, live_server):
    Counter.objects.create(n=5)
    with psycopg.connect(os.environ["DATABASE_URL"]) as other:
        assert other.execute("SELECT max(n) FROM small_counter").fetchone() == (5,)
""",
}


@pytest.fixture
def project(tmp_path):
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def environment(project, **more):
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return kept | {
        "PYTHONPATH": f"{REPOSITORY}:{project}",
        "MIGRATION_LOG": str(project / "migrations.log"),
        "TMPDIR": str(project),
        **more,
    }


def run_pytest(project, *arguments, **more):
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(
        command, cwd=project, env=environment(project, **more), capture_output=True, text=True, timeout=240
    )


def test_each_worker_has_a_clone_of_one_migrated_template(project):
    result = run_pytest(project, "-n", "2")
    assert "9 passed" in result.stdout, result.stdout + result.stderr
    assert (project / "migrations.log").read_text() == "migrated\n"
    assert not list(project.glob("quartermaster-tests-*"))


def test_a_given_server_is_used_and_left_clean(project):
    given = os.environ["DATABASE_OWNER_URL"]
    result = run_pytest(project, DATABASE_URL=given, CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert "9 passed" in result.stdout, result.stdout + result.stderr
    with psycopg.connect(given) as server:
        databases = [name for (name,) in server.execute("SELECT datname FROM pg_database").fetchall()]
    ours = Path(os.environ["QUARTERMASTER_TEST_DIRECTORY"]).name.replace("-", "_").lower()
    assert [n for n in databases if n.startswith("test_quartermaster") and ours not in n] == []


def test_a_skip_is_a_failure_in_ci_only(project):
    (project / "test_small.py").write_text(
        "import pytest\n"
        "def test_one(): pytest.skip('no reason')\n"
        "@pytest.mark.xfail(reason='known')\n"
        "def test_two(): assert False\n"
    )
    (project / "test_module.py").write_text(
        "import pytest\npytest.skip('no module', allow_module_level=True)\n"
    )
    given = {"DATABASE_URL": os.environ["DATABASE_OWNER_URL"], "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    assert "2 skipped, 1 xfailed" in run_pytest(project, **given).stdout
    in_ci = run_pytest(project, "--continue-on-collection-errors", CI="true", **given)
    assert "1 failed, 1 xfailed, 1 error" in in_ci.stdout
    assert "failure in CI: Skipped: no reason" in in_ci.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_tests_leave_no_server_behind(project, number):
    (project / "test_small.py").write_text(
        "import time\ndef test_slow():\n    print('slow', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-s"],
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        text=True,
        # A shell that started us in the background had us ignore it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stdout:
        if re.search("slow$", line):
            break
    assert servers_below(project)
    process.send_signal(number)
    # Each of two servers is given 15 s to stop before it is killed, on a busy machine or not.
    process.wait(120)
    # The kernel tells them of a killed parent; then they write a checkpoint.
    deadline = time.monotonic() + 60
    while servers_below(project) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers_below(project) == []


def test_the_database_is_in_memory_if_there_is_room(monkeypatch, tmp_path):
    monkeypatch.delenv("TMPDIR", raising=False)
    usual = Path(tempfile.gettempdir())
    monkeypatch.setattr(services, "BYTES_IN_MEMORY", 1)
    assert services.place_of_the_database(tmp_path) == tmp_path
    assert services.place_of_the_database(tmp_path / "missing") == usual
    monkeypatch.setattr(services, "BYTES_IN_MEMORY", 2**60)
    assert services.place_of_the_database(tmp_path) == usual


def test_tmpdir_says_where_the_database_is(monkeypatch, tmp_path):
    monkeypatch.setattr(services, "BYTES_IN_MEMORY", 1)
    monkeypatch.setenv("TMPDIR", tempfile.gettempdir())
    assert services.place_of_the_database(tmp_path) == Path(tempfile.gettempdir())


def test_what_a_killed_run_left_in_memory_is_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(services, "MEMORY", tmp_path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    abandoned, in_use, foreign = (
        tmp_path / name
        for name in (
            f"quartermaster-tests-{ended.pid}-x",
            f"quartermaster-tests-{os.getpid()}-x",
            "foreign-1-x",
        )
    )
    for directory in (abandoned, in_use, foreign):
        directory.mkdir()
    services.remove_abandoned_directories()
    assert sorted(tmp_path.iterdir()) == sorted([in_use, foreign])


def servers_below(directory):
    """Command lines of live processes that name the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if entry.name.isdigit() and str(directory) in command:
            found.append(command.replace("\0", " "))
    return found
