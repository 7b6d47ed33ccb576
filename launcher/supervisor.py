"""Starts services in order, keeps them running, and stops them in reverse order."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from launcher.errors import LauncherError
from launcher.logs import ERRORS, ChildLog
from launcher.processes import Command, dismiss_guard, kill_group, spawn, start_guard, sweep

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
STEADY_AFTER_SECONDS = 60.0
HURRIED_SECONDS = 1.0
TICK_SECONDS = 0.05


class StopRequestedError(Exception):
    """A signal asked us to stop: Ctrl-C, SIGTERM or a closed terminal."""


@dataclass(frozen=True)
class Service:
    """One long-running child. The supervisor calls `is_ready` repeatedly until it returns True."""

    name: str
    command: Command
    is_ready: Callable[[], bool] = lambda: True
    stop_seconds: float = 10.0
    alarming: re.Pattern[str] = ERRORS


@dataclass
class Child:
    """The current state of a service: its process, or the time to start it again."""

    service: Service
    log: ChildLog
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    due_at: float = field(default=0.0)


def say(line: str) -> None:
    """Print a line for the person at the terminal; a closed terminal is not an error."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError:
        return


class Supervisor:
    """Runs services until a signal asks it to stop. Use it as a context: leaving it stops everything.

    Every command must have `marker` in its environment, so that nothing escapes: a guard process looks for it if the
    supervisor itself is killed. Use it only in the main thread of a process, which receives the signals.
    """

    def __init__(self, logs: Path, marker: str, *, tell: Callable[[str], None] = say) -> None:
        self.logs = logs
        self.marker = marker
        self.say = tell
        self.children: list[Child] = []
        self._stopping = False
        self._stopping_since = 0.0
        self._hurried = False

    def __enter__(self) -> "Supervisor":
        self._guard = start_guard(self.marker)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        # From now on, signals interrupt nothing.
        self._stopping = True
        for child in reversed(self.children):
            self._stop(child)
        sweep(self.marker, grace_seconds=0 if self._hurried else 2)
        dismiss_guard(self._guard)

    def start(self, *services: Service, timeout_seconds: float = 300) -> None:
        """Start services and wait until each is ready.

        Raises LauncherError with a service's last output if it ends before that, or takes too long. The wait is long
        because a busy machine is slow, and one that ends is noticed at once.
        """
        fresh = [Child(service, self._log_of(service)) for service in services]
        for child in fresh:
            self.children.append(child)
            self._spawn(child)
        deadline = time.monotonic() + timeout_seconds
        waiting = fresh
        while waiting := [child for child in waiting if not child.service.is_ready()]:
            for child in fresh:
                self._refuse_early_end(child)
            if time.monotonic() > deadline:
                child = waiting[0]
                raise LauncherError(
                    f"{child.service.name} was not ready after {timeout_seconds:g} s.{last_words(child.log)}"
                )
            time.sleep(TICK_SECONDS)
        for child in fresh:
            self._refuse_early_end(child)

    def run_once(self, name: str, command: Command, *, tell: Callable[[str], None] | None = None) -> None:
        """Run a command to its end; log its output, and pass it to `tell`.

        Raises LauncherError if it fails.
        """
        log = ChildLog(name, self.logs, ERRORS, lambda _: None)
        process = spawn(command, output=subprocess.PIPE)
        assert process.stdout is not None
        try:
            for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                log.write(line)
                if tell is not None:
                    tell(line)
            process.wait()
        finally:
            kill_group(process.pid)
        if process.returncode != 0:
            what_it_said = last_words(log) if tell is None else f" Its log: {log.path}"
            raise LauncherError(f"{name} failed.{what_it_said}")

    def watch(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Restart services that end, with growing pauses, until a signal raises StopRequestedError."""
        while not until():
            for child in self.children:
                self._revive(child)
            self._watch_guard()
            time.sleep(TICK_SECONDS * 2)

    def _log_of(self, service: Service) -> ChildLog:
        return ChildLog(service.name, self.logs, service.alarming, self.say)

    def _spawn(self, child: Child) -> None:
        child.process = spawn(child.service.command, output=subprocess.PIPE)
        child.started_at = time.monotonic()
        assert child.process.stdout is not None
        child.log.follow(child.process.stdout)

    def _refuse_early_end(self, child: Child) -> None:
        if child.process is not None and child.process.poll() is not None:
            child.log.finish(timeout_seconds=1)
            raise LauncherError(
                f"{child.service.name} stopped at once ({how_it_ended(child.process)}).{last_words(child.log)}"
            )

    def _revive(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.due_at:
                self._spawn(child)
            return
        if child.process.poll() is None:
            if now - child.started_at > STEADY_AFTER_SECONDS:
                child.pause_seconds = FIRST_PAUSE_SECONDS
            return
        self.say(
            f"{child.service.name} ended ({how_it_ended(child.process)}); starting it again in "
            f"{child.pause_seconds:g} s. Its log: {child.log.path}"
        )
        # Kill the processes that it started itself.
        kill_group(child.process.pid)
        child.process = None
        child.due_at = now + child.pause_seconds
        child.pause_seconds = min(child.pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    def _watch_guard(self) -> None:
        if self._guard.poll() is not None:
            self._guard = start_guard(self.marker)

    def _stop(self, child: Child) -> None:
        process = child.process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(child.service.command.stop_signal)
        began = time.monotonic()
        while process.poll() is None and time.monotonic() - began < self._patience(child):
            time.sleep(TICK_SECONDS / 2)
        if process.poll() is None:
            self.say(f"{child.service.name} did not stop within {self._patience(child):g} s; killing it.")
        kill_group(process.pid)
        process.wait()
        child.log.finish(timeout_seconds=1)
        child.process = None

    def _patience(self, child: Child) -> float:
        return min(child.service.stop_seconds, HURRIED_SECONDS if self._hurried else float("inf"))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._stopping:
            self._stopping = True
            self._stopping_since = time.monotonic()
            raise StopRequestedError
        # A second Ctrl-C means to stop at once. Other signals may be the same request by another route: a process
        # group and `make` both pass it on.
        if number == signal.SIGINT and time.monotonic() - self._stopping_since > 1:
            self._hurried = True


def how_it_ended(process: subprocess.Popen[bytes]) -> str:
    """Describe how a process ended."""
    code = process.returncode
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def last_words(log: ChildLog) -> str:
    """Quote the end of a log, and name the file with the rest."""
    lines = "".join(f"\n    {line}" for line in log.last_lines)
    return f" Its last lines (all of them: {log.path}):{lines}"
