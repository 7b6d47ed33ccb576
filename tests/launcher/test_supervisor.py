"""What the supervisor promises about processes, with real ones."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from launcher.ports import free_port
from launcher.processes import MARKER, Command, Identity, is_alive, marked_processes, send_all, spawn, stop

REPOSITORY = Path(__file__).parents[2]


class SmallDemo:
    """small_demo.py in a process of its own."""

    def __init__(self, directory, **environment):
        self.directory = directory
        kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.launcher.small_demo", str(directory)],
            env=kept | environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []

    def wait_until_up(self):
        self.database_url, self.queue_url = self.wait_for("^up (.*) (.*)$").groups()
        return self

    def wait_for(self, pattern):
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.search(pattern, line.rstrip()):
                return found
        raise AssertionError(f"never said {pattern}: {self.lines}")

    def family(self):
        return [int(pid) for pid in (self.directory / "family").read_text().split()]

    def living(self):
        """Every process of this demo, by its marker, plus the servers by the directory they work in."""
        found = set(marked_processes(f"{self.directory}#"))
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and is_alive(int(entry.name)):
                try:
                    working_directory = os.readlink(entry / "cwd")
                except OSError:
                    continue
                if working_directory.startswith(str(self.directory)):
                    found.add(int(entry.name))
        return found

    def wait_until_gone(self, seconds=60):
        deadline = time.monotonic() + seconds
        while self.living() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.living()


@pytest.fixture
def start(tmp_path):
    demos = []

    def start(**environment):
        demos.append(SmallDemo(tmp_path / "local", **environment))
        return demos[-1]

    yield start
    for demo in demos:
        if demo.process.poll() is None:
            demo.process.send_signal(signal.SIGTERM)
        demo.process.stdout.read()
        demo.process.wait(120)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything_in_good_order(start, number):
    demo = start().wait_until_up()
    assert len(demo.living()) > 4
    demo.process.send_signal(number)
    demo.wait_for("stopping")
    # As from both a process group and make.
    demo.process.send_signal(number)
    assert demo.process.wait(120) == 0
    assert demo.living() == set()
    assert "database system is shut down" in (demo.directory / "log" / "postgres.log").read_text()


def test_killing_the_supervisor_leaves_no_process_and_loses_no_data(start):
    demo = start(STUBBORN="yes").wait_until_up()
    with psycopg.connect(demo.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    parent, stubborn = demo.family()
    assert {parent, stubborn} <= demo.living()
    demo.process.kill()
    assert demo.wait_until_gone() == set()

    again = start().wait_until_up()
    with psycopg.connect(again.database_url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
    # Port and password stay the same.
    assert again.database_url == demo.database_url


def test_killing_the_supervisor_ends_the_workers_of_its_children_too(start):
    demo = start(WORKERS=str(free_port())).wait_until_up()

    def grandchildren(name):
        return [
            pid for pid in demo.living() if name in command_of(pid) and parent_of(pid) != demo.process.pid
        ]

    deadline = time.monotonic() + 60
    counts = None
    while counts != (2, 1) and time.monotonic() < deadline:
        counts = len(grandchildren("celery")), len(grandchildren("granian"))
        time.sleep(0.1)
    assert counts == (2, 1)
    demo.process.kill()
    assert demo.wait_until_gone() == set()


def command_of(pid):
    """Its words; empty for a process that has just ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_killing_supervisor_and_servers_at_once_loses_no_data(start):
    demo = start().wait_until_up()
    with psycopg.connect(demo.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    send_all({demo.process.pid, *demo.living()}, signal.SIGKILL)
    demo.process.wait()
    assert (demo.directory / "postgres" / "postmaster.pid").exists()
    assert demo.wait_until_gone() == set()
    # By now the pid in the stale file belongs to another process of the same user, which is no PostgreSQL.
    pid_file = demo.directory / "postgres" / "postmaster.pid"
    owner = pid_file.stat()
    stranger = spawn(
        Command(
            ("sleep", "60"),
            {"PATH": os.environ["PATH"]},
            Identity(owner.st_uid, owner.st_gid) if os.geteuid() == 0 else None,
        ),
        output=subprocess.DEVNULL,
    )
    pid_file.write_text(re.sub(r"^\d+", str(stranger.pid), pid_file.read_text()))
    try:
        with psycopg.connect(start().wait_until_up().database_url) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
        assert stranger.poll() is None
    finally:
        stop(stranger, signal.SIGKILL, timeout_seconds=5)


def test_a_child_that_dies_is_started_again(start):
    demo = start().wait_until_up()
    parent, _ = demo.family()
    (demo.directory / "family").unlink()
    os.kill(parent, signal.SIGKILL)
    demo.wait_for(r"family ended \(killed by SIGKILL\); starting it again in 1 s. Its log: .*family.log")
    deadline = time.monotonic() + 60
    while not (demo.directory / "family").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert parent not in demo.family()


def test_errors_are_shown_and_everything_is_logged_with_a_name(start):
    demo = start().wait_until_up()
    if not any("quarrel" in line for line in demo.lines):
        demo.wait_for("family: ERROR: the family had a quarrel")
    assert "family: ERROR: the family" in (demo.directory / "log" / "family.log").read_text()
    assert "database system is ready" in (demo.directory / "log" / "postgres.log").read_text()


def test_given_servers_replace_the_embedded_ones(start):
    given = {name: os.environ[name] for name in ("DATABASE_OWNER_URL", "CELERY_BROKER_URL", "DATABASE_URL")}
    demo = start(**given).wait_until_up()
    assert [demo.database_url, demo.queue_url] == list(given.values())[:2]
    assert {path.name for path in (demo.directory / "log").iterdir()} == {"family.log"}
    assert not (demo.directory / "postgres").exists()


def test_a_second_one_says_that_one_is_running(start):
    first = start().wait_until_up()
    second = start()
    second.wait_for(f"already running here.*process {first.process.pid}")
    assert second.process.wait(60) != 0
    assert first.process.poll() is None


def test_secrets_are_private_and_on_no_command_line(start):
    demo = start().wait_until_up()
    assert (demo.directory / "secrets.json").stat().st_mode & 0o777 == 0o600
    passwords = re.findall(r":([^:@/]+)@", demo.database_url + " " + demo.queue_url)
    commands = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in demo.living())
    assert len(passwords) == 2
    assert not [password for password in passwords if password.encode() in commands]
    assert MARKER.encode() not in commands
