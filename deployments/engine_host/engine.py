"""One engine process: the host starts it, checks its health and stops it, and it never outlives the host."""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from deployments.engine_host.plan import EnginePlan

LOOPBACK = "127.0.0.1"
ENGINE_FOLDER = Path(__file__).resolve().parents[2]
"""Where engines start, so that `python -m deployments.engine` is found."""
INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_HOME", "QUARTERMASTER_RUN")
"""All that an engine inherits of our environment: no secret is among it. The last is the mark by which the
launcher of a demo finds what is left of its processes."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class EngineProcess:
    """A running engine with its address and log. Callers pass the time, in seconds of one steady clock."""

    def __init__(
        self, plan: EnginePlan, *, port: int, log: Path, home: Path, extra: Mapping[str, str]
    ) -> None:
        """Start the program. Raises OSError if it cannot be started at all."""
        self.port = port
        self.log = log
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment |= plan.variables(host=LOOPBACK, port=port) | {"HOME": str(home), **extra}
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(log, "ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                plan.argv(host=LOOPBACK, port=port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=ENGINE_FOLDER,
                # Its own process group, to which we send signals.
                start_new_session=True,
                # Safe: the host has one thread.
                preexec_fn=_die_with(os.getpid()),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_reason(self) -> str | None:
        """How the process ended, in words; None while it runs. Its remaining children are killed."""
        code = self._process.poll()
        if code is None:
            return None
        self.signal(signal.SIGKILL)
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"exited with code {code}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the engine and its children. Nothing happens if they are gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def last_words(self) -> str:
        """The last line this process printed, shortened; "" if it printed nothing."""
        with contextlib.suppress(OSError), open(self.log, "rb") as log:
            size = log.seek(0, os.SEEK_END)
            # The log may have been cut since.
            start = self._log_start if self._log_start <= size else 0
            log.seek(max(start, size - 2000))
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
            return next((line[:300] for line in reversed(lines) if line), "")
        return ""


def _die_with(host_pid: int) -> Callable[[], None]:
    def prepare() -> None:
        """In the child, before the program: ask to be killed when the host dies, however it dies (Linux)."""
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            # The host died before we asked.
            if os.getppid() != host_pid:
                os._exit(1)

    return prepare


async def is_healthy(port: int, path: str, timeout_seconds: float) -> bool:
    """Whether the engine answers its health path with a status of 200 to 399, the rule of a Kubernetes probe."""
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n\r\n".encode()
                )
                await writer.drain()
                status_line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
    words = status_line.split()
    return (
        len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() and 200 <= int(words[1]) < 400
    )


def free_port(preferred: int | None = None) -> int:
    """A free loopback port: the preferred one if possible, so that an engine keeps its address."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))
                return int(probe.getsockname()[1])
    raise OSError("This machine has no free port left.")


def bound_log(log: Path, max_bytes: int) -> None:
    """Keep a log below twice `max_bytes`: a longer one moves to `N.log.1`, and the engine keeps writing."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > max_bytes:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            # It was opened for appending, so writing continues at the start.
            os.truncate(log, 0)
