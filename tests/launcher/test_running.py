"""A server without a supervisor never outlives a start that failed."""

import time

import pytest

from launcher import running
from launcher.errors import LauncherError
from launcher.processes import Command
from launcher.running import RunningServer


class Sleeper:
    """A server that never answers; asked whether it does, it gives the error of a test."""

    name = "sleeper"

    def __init__(self, error=None):
        self.error = error

    def prepare(self):
        pass

    def command(self, environment=None):
        return Command(("sleep", "60"), running.ENVIRONMENT)

    def is_ready(self):
        if self.error is not None:
            raise self.error
        return False


@pytest.fixture
def spawned(monkeypatch):
    """The processes that were started; stopped at the end whatever the test found."""
    processes = []
    spawn = running.spawn

    def remembering(command, *, output):
        processes.append(spawn(command, output=output))
        return processes[-1]

    monkeypatch.setattr(running, "spawn", remembering)
    yield processes
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("error", [OSError("no answer"), KeyboardInterrupt()])
def test_a_start_that_is_broken_off_stops_the_server(tmp_path, spawned, error):
    with (tmp_path / "log").open("wb") as log, pytest.raises(type(error)) as raised:
        RunningServer(Sleeper(error), log)
    assert raised.value is error
    [process] = spawned
    assert process.poll() is not None


def test_a_server_that_does_not_answer_in_time_is_stopped(tmp_path, spawned):
    began = time.monotonic()
    with (tmp_path / "log").open("wb") as log, pytest.raises(LauncherError, match="did not answer"):
        RunningServer(Sleeper(), log, timeout_seconds=0.1)
    [process] = spawned
    assert process.poll() is not None
    assert time.monotonic() - began < running.STOP_TIMEOUT_SECONDS
