"""Start child processes that end with us, stop them, and find those that were left behind.

Standard library only: as a script, this file is the guard, which cleans up after a killed supervisor.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

CHILD_SCRIPT = Path(__file__).with_name("child.py")
GOODBYE = b"all stopped"
GUARD_GRACE_SECONDS = 3.0
# This variable is set in every process of one run: "<local directory>#<run id>".
MARKER = "QUARTERMASTER_RUN"


@dataclass(frozen=True)
class Identity:
    """A user to run a command as, with at most one Linux capability."""

    uid: int
    gid: int
    capability: int | None = None


@dataclass(frozen=True)
class Command:
    """A program, its complete environment, and the signal that stops it."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    identity: Identity | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    directory: Path | None = None


def spawn(command: Command, *, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a command in its own session; the kernel sends it `stop_signal` when the calling thread ends.

    Call it from a thread that lives as long as the program, normally the main one.
    """
    identity = command.identity
    name, *arguments = command.arguments
    # Look it up here: as another user, the child may not see it.
    program = shutil.which(name, path=command.environment.get("PATH"))
    wanted = {
        "parent": os.getpid(),
        "signal": int(command.stop_signal),
        "uid": identity.uid if identity else None,
        "gid": identity.gid if identity else None,
        "capability": identity.capability if identity else None,
    }
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(CHILD_SCRIPT), json.dumps(wanted), program or name, *arguments],
        env=dict(command.environment),
        cwd=command.directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def stop(process: subprocess.Popen[bytes], first: signal.Signals, *, timeout_seconds: float) -> bool:
    """Ask a child to stop, and kill the rest of its process group after the timeout.

    Returns whether it ended by itself. Safe to repeat.
    """
    went = True
    if process.poll() is None:
        process.send_signal(first)
        try:
            process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            went = False
    kill_group(process.pid)
    process.wait()
    return went


def kill_group(leader: int) -> None:
    """Kill every process of a group that `spawn` made; does nothing if none is left."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


def marked_processes(prefix: str) -> Iterator[int]:
    """Yield the live processes, except this one, whose environment has a marker with this prefix."""
    wanted = f"{MARKER}={prefix}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(variable.startswith(wanted) for variable in variables) and is_alive(int(entry.name)):
            yield int(entry.name)


def sweep(prefix: str, *, grace_seconds: float, spared: frozenset[int] = frozenset()) -> list[int]:
    """Terminate every marked process; kill those left after the grace time, and return them."""
    send_all(set(marked_processes(prefix)) - spared, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline:
        if not set(marked_processes(prefix)) - spared:
            return []
        time.sleep(0.05)
    killed: set[int] = set()
    # Repeat, because they may have started others meanwhile.
    while left := set(marked_processes(prefix)) - spared:
        send_all(left, signal.SIGKILL)
        killed |= left
        time.sleep(0.02)
    return sorted(killed)


def send_all(pids: set[int], number: signal.Signals) -> None:
    """Send a signal to each process that still exists."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def start_guard(prefix: str) -> subprocess.Popen[bytes]:
    """Start the process that ends our marked processes if we end without dismissing it."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, prefix],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def dismiss_guard(guard: subprocess.Popen[bytes]) -> None:
    """Tell the guard that everything stopped in an orderly way."""
    try:
        guard.communicate(GOODBYE, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        guard.kill()
        guard.wait()


def guard(prefix: str) -> None:
    """Wait for a goodbye on standard input; if the input ends without one, end all marked processes.

    The kernel has already signaled the direct children; this reaches the processes that they started.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read() != GOODBYE:
        sweep(prefix, grace_seconds=GUARD_GRACE_SECONDS)


if __name__ == "__main__":
    guard(sys.argv[1])
