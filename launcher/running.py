"""A server without a supervisor: the caller starts it, waits until it answers, and stops it."""

import subprocess
import time
from pathlib import Path
from typing import IO, Final, Protocol

from launcher.errors import LauncherError
from launcher.processes import Command, spawn, stop

# The environment of every server, without any of our variables.
ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
STOP_TIMEOUT_SECONDS: Final = 15.0


class Server(Protocol):
    """A server to start: `launcher.postgres.EmbeddedPostgres` or `launcher.valkey.EmbeddedValkey`."""

    name: str  # in messages

    def prepare(self) -> None: ...

    def command(self, environment: dict[str, str] | None = None) -> Command: ...

    def is_ready(self) -> bool: ...


class RunningServer:
    """A started server, for callers that want one without a supervisor."""

    def __init__(self, server: Server, log: IO[bytes], *, timeout_seconds: float = 60) -> None:
        """Start the server and wait until it answers. Raises LauncherError if it ends or does not answer."""
        server.prepare()
        command = server.command()
        self._stop_signal = command.stop_signal
        self.process = spawn(command, output=log)
        try:
            self._wait(server, log, timeout_seconds)
        except BaseException:
            # The caller gets no object with which to stop it.
            self.stop()
            raise

    def _wait(self, server: Server, log: IO[bytes], timeout_seconds: float) -> None:
        """Wait until the server answers.

        Args:
            server: asked whether it answers.
            log: its output, named in messages.
            timeout_seconds: longest wait.

        Raises LauncherError if it ends or does not answer.
        """
        deadline = time.monotonic() + timeout_seconds
        while not server.is_ready():
            if self.process.poll() is not None:
                raise LauncherError(
                    f"{server.name} ended with code {self.process.returncode}; see {log.name}"
                )
            if time.monotonic() > deadline:
                raise LauncherError(
                    f"{server.name} did not answer within {timeout_seconds:g} s; see {log.name}"
                )
            time.sleep(0.03)

    def stop(self) -> None:
        """Stop the server, keeping its data. Safe to repeat."""
        stop(self.process, self._stop_signal, timeout_seconds=STOP_TIMEOUT_SECONDS)


def version_output(program: Path) -> str:
    """The output of a program with `--version`; empty if it does not run."""
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout
