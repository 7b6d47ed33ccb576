"""The second start of a demo does again only what may have changed."""

import json
import os
from pathlib import Path

import pytest

from launcher.errors import LauncherError
from launcher.local import LocalDirectory
from launcher.preparation import (
    Step,
    applied_migrations,
    fingerprint,
    meaning_of,
    prepare,
    refuse_other_migrations,
)


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


@pytest.fixture
def ours():
    return {f"{path.parts[0]}.{path.stem}": meaning_of(path) for path in Path().glob("*/migrations/0*.py")}


@pytest.mark.django_db
def test_a_folder_of_this_version_is_taken(database_url, tmp_path, ours):
    refuse_other_migrations(database_url, tmp_path, ours, before=None)
    refuse_other_migrations(database_url, tmp_path, ours, before=json.dumps({"ours": ours}))
    fewer = {name: meaning for name, meaning in ours.items() if name != "tenants.0001_initial"}
    refuse_other_migrations(database_url, tmp_path, ours, before=json.dumps({"ours": fewer}))  # it is new


@pytest.mark.django_db
@pytest.mark.parametrize("what", ["is gone", "was edited", "was never noted", "was noted otherwise"])
def test_a_folder_of_another_version_says_what_to_do(database_url, tmp_path, ours, what):
    before = {
        "is gone": None,
        "was edited": json.dumps({"ours": ours | {"tenants.0001_initial": "another"}}),
        "was never noted": json.dumps({"ours": {}}),
        "was noted otherwise": "5f1c 65",
    }[what]
    if what == "is gone":
        del ours["tenants.0001_initial"]
    with pytest.raises(LauncherError, match=r"another version .*\w+\.0001_\w+.*make clean"):
        refuse_other_migrations(database_url, tmp_path, ours, before=before)


def test_comments_and_formatting_are_no_edits_of_a_migration(tmp_path):
    path = tmp_path / "0001_initial.py"
    path.write_text("A = [1, 2]\n")
    meaning = meaning_of(path)
    path.write_text("# Two numbers.\nA = [\n    1,\n    2,\n]\n")
    assert meaning_of(path) == meaning
    path.write_text("A = [1, 3]\n")
    assert meaning_of(path) != meaning
