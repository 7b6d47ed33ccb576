"""The second start of a demo does again only what may have changed."""

import os
from pathlib import Path

import pytest

from launcher.errors import LauncherError
from launcher.local import LocalDirectory
from launcher.preparation import Step, applied_migrations, fingerprint, prepare, refuse_unknown_migrations


class Recorder:
    """Stands where the supervisor stands, and writes down what it is asked to run."""

    def __init__(self):
        self.ran = []
        self.fails = False

    def say(self, line):
        pass

    def run_once(self, name, command, *, tell=None):
        self.ran.append(command.arguments[2:])
        if self.fails:
            raise LauncherError(f"{name} failed.")


@pytest.fixture
def local(tmp_path):
    local = LocalDirectory(tmp_path)
    local.create()
    return local


def test_a_step_runs_again_only_when_its_state_differs(local):
    state = "old"
    steps = [Step("Creating", ("create", "--all"), lambda: state), Step("Loading", ("load",), lambda: "same")]
    recorder = Recorder()
    for _ in range(2):
        prepare(recorder, local, {}, steps)
    assert recorder.ran == [("create", "--all"), ("load",)]
    state = "new"
    prepare(recorder, local, {}, steps)
    assert recorder.ran == [("create", "--all"), ("load",), ("create", "--all")]


def test_a_step_that_failed_is_tried_again(local):
    recorder = Recorder()
    steps = [Step("Creating", ("create",), lambda: "same")]
    recorder.fails = True
    with pytest.raises(LauncherError, match="create failed"):
        prepare(recorder, local, {}, steps)
    recorder.fails = False
    prepare(recorder, local, {}, steps)
    prepare(recorder, local, {}, steps)
    assert recorder.ran == [("create",)] * 2


def test_a_fingerprint_tells_edited_and_new_files(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    first = fingerprint([one, two])
    assert fingerprint([two, one]) == first
    two.write_text("2")
    second = fingerprint([one, two])
    one.write_text("edited")
    assert len({first, second, fingerprint([one, two])}) == 3


@pytest.mark.django_db
def test_a_database_made_anew_has_another_state(database_url):
    migrated = applied_migrations(database_url)
    assert migrated == applied_migrations(database_url) != "none"
    assert applied_migrations(os.environ["DATABASE_URL"].rpartition("/")[0] + "/postgres") == "none"


@pytest.mark.django_db
def test_a_folder_of_another_version_says_what_to_do(database_url, tmp_path):
    migrations = {(path.parts[0], path.stem) for path in Path().glob("*/migrations/0*.py")}
    refuse_unknown_migrations(database_url, tmp_path, migrations)
    with pytest.raises(LauncherError, match=r"another version .*tenants\.0001_initial.*make clean"):
        refuse_unknown_migrations(database_url, tmp_path, migrations - {("tenants", "0001_initial")})
