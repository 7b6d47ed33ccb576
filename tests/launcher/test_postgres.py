"""The embedded PostgreSQL, in the places and states people leave it in."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from launcher import identity as identity_module
from launcher.errors import LauncherError
from launcher.identity import unprivileged_identity
from launcher.ports import free_port
from launcher.postgres import Binaries, EmbeddedPostgres, choose_binaries
from launcher.postgres import installed_binaries as all_installed
from launcher.processes import is_alive
from launcher.running import RunningServer

as_root = os.geteuid() == 0


def answer_of(server, log_path):
    """Start a server, ask it for its version, stop it."""
    with log_path.open("wb") as log:
        running = RunningServer(server, log)
        try:
            with psycopg.connect(server.url("postgres")) as connection:
                return connection.execute("SHOW server_version_num").fetchone()[0]
        finally:
            running.stop()


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_it_runs_whoever_we_are_and_whoever_may_enter_the_parent(tmp_path, mode):
    # Not below tmp_path, which is closed to others already.
    parent = Path(tempfile.mkdtemp(dir=os.environ["QUARTERMASTER_TEST_DIRECTORY"]))
    parent.chmod(mode)
    server = EmbeddedPostgres(parent / "postgres", port=free_port(), password="secret", fast=True)
    assert answer_of(server, tmp_path / "log")
    needs_capability = as_root and mode == 0o700
    assert (server.identity is not None and server.identity.capability is not None) == needs_capability
    assert (parent / "postgres").stat().st_mode & 0o777 == 0o700
    assert not (parent / "postgres.password").exists()


def test_each_installation_found_works_and_data_keeps_its_version(tmp_path):
    for binaries in all_installed():
        server = EmbeddedPostgres(tmp_path / str(binaries.major), port=free_port(), password="s", fast=True)
        server.binaries = binaries
        assert int(answer_of(server, tmp_path / "log")) // 10000 == binaries.major
        assert choose_binaries(server.data, all_installed()).major == binaries.major


def test_a_program_below_a_closed_directory_runs_too(tmp_path):
    """As in a clone below /root: there the virtualenv, with the programs in it, is closed to the server's user."""
    [wheel] = [found for found in all_installed() if found.directory.parent.name == "pginstall18"]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = wheel.directory.parents[1]
    shutil.copytree(wheel.directory.parent, closed / package.name / "pginstall18", symlinks=True)
    shutil.copytree(f"{package}.libs", closed / f"{package.name}.libs")
    server = EmbeddedPostgres(closed / "data", port=free_port(), password="s", fast=True)
    server.binaries = Binaries(closed / package.name / "pginstall18" / "bin", wheel.major)
    assert int(answer_of(server, tmp_path / "log")) // 10000 == wheel.major


def test_data_of_a_version_that_is_gone_is_refused_by_name(tmp_path):
    (tmp_path / "PG_VERSION").write_text("14\n")
    with pytest.raises(LauncherError, match=r"PostgreSQL 14 created the data in .* no longer installed"):
        choose_binaries(tmp_path, [Binaries(Path("/usr"), 15)])


def test_no_installation_says_what_to_do(tmp_path):
    with pytest.raises(LauncherError, match="set DATABASE_URL"):
        choose_binaries(tmp_path, [])


def test_a_wrong_password_is_refused(tmp_path):
    server = EmbeddedPostgres(tmp_path / "postgres", port=free_port(), password="right", fast=True)
    with (tmp_path / "log").open("wb") as log:
        running = RunningServer(server, log)
        try:
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(server.url("postgres").replace("right", "wrong"))
        finally:
            running.stop()


def test_an_interrupted_first_start_is_made_good(tmp_path):
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("15\n")
    server = EmbeddedPostgres(tmp_path / "postgres", port=free_port(), password="s", fast=True)
    assert answer_of(server, tmp_path / "log")


def test_a_busy_session_of_a_killed_server_does_not_keep_the_next_one_from_starting(tmp_path):
    server = EmbeddedPostgres(tmp_path / "postgres", port=free_port(), password="s", fast=True)
    with (tmp_path / "log").open("wb") as log:
        running = RunningServer(server, log)
        with contextlib.closing(psycopg.connect(server.url("postgres"), autocommit=True)) as busy:
            session = busy.info.backend_pid
            busy.pgconn.send_query(b"DO $$ BEGIN LOOP END LOOP; END $$")
            with psycopg.connect(server.url("postgres"), autocommit=True) as looking:
                question = (
                    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %'"
                )
                while looking.execute(question).fetchone() != (1,):
                    time.sleep(0.01)
            running.process.kill()
            running.process.wait()
            assert is_alive(session)
            here = subprocess.Popen(["sleep", "60"], cwd=server.data)
            try:
                assert answer_of(server, tmp_path / "next")
                assert not is_alive(session)
                assert here.poll() is None, "whatever else works in that directory goes on"
            finally:
                here.kill()
                here.wait()


def test_root_without_the_capability_is_told_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(identity_module.os, "geteuid", lambda: 0)
    monkeypatch.setattr(identity_module, "_permitted_capabilities", set)
    monkeypatch.setattr(identity_module, "_nobody", lambda: (65534, 65534))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    if not as_root:
        monkeypatch.setattr(identity_module, "_owner", lambda path: None)
    with pytest.raises(LauncherError, match=r"cannot enter .*set DATABASE_URL"):
        unprivileged_identity(closed / "postgres", passes=())
