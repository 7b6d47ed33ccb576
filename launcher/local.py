"""The directory for everything that a demo writes: `.local/` in the checkout, or LOCAL_DIR."""

import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from core.secrets import GATEWAY_TOKEN, new_secret
from launcher.errors import LauncherError

CHECKOUT = Path(__file__).parents[1]


def local_directory() -> Path:
    """Return the directory: LOCAL_DIR, relative to the checkout, or `.local`."""
    return (CHECKOUT / (os.environ.get("LOCAL_DIR") or ".local")).absolute()


class LocalDirectory:
    """Names and reads the files in the directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment_file = path / "demo.env"
        self.accounts_file = path / "demo.json"
        self.prepared_file = path / "prepared.json"
        self.lock_file = path / "lock"
        self.logs = path / "log"

    def create(self) -> None:
        """Make the directories. Safe to repeat."""
        self.path.mkdir(parents=True, exist_ok=True)
        # Others may pass through, because PostgreSQL may have to run as another user; the contents are private.
        self.path.chmod(0o711)
        for name in ("log", "exports", "engines", "gateway", "static", "queue"):
            (self.path / name).mkdir(mode=0o700, exist_ok=True)

    def remembered(self) -> dict[str, str]:
        """Return the secrets and ports of this installation; the first call makes them. Raises LauncherError."""
        path = self.path / "secrets.json"
        try:
            values: dict[str, str] = json.loads(path.read_text())
        except FileNotFoundError:
            values = {}
        except ValueError:
            raise LauncherError(f"{path} is damaged. Restore it, or start over with: make clean") from None
        fresh = {
            "secret_key": secrets.token_urlsafe(48),
            "gateway_token": new_secret(GATEWAY_TOKEN),
            "postgres_password": secrets.token_urlsafe(24),
            "console_password": secrets.token_urlsafe(24),
            "valkey_password": secrets.token_urlsafe(24),
            "provider_key": secrets.token_urlsafe(24),
        }
        if not fresh.keys() <= values.keys():
            values = fresh | values
            self.remember(values)
        return values

    def remember(self, values: Mapping[str, str]) -> None:
        """Store secrets and ports."""
        write_private(self.path / "secrets.json", json.dumps(dict(values), indent=1))

    def write_environment(self, variables: Mapping[str, str]) -> None:
        """Store the demo's environment for commands that work on the demo; a shell can source the file too."""
        lines = (f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
        write_private(self.environment_file, "".join(lines))

    def read_environment(self) -> dict[str, str]:
        """Return the variables that `write_environment` stored; empty if no demo ever ran."""
        try:
            text = self.environment_file.read_text()
        except FileNotFoundError:
            return {}
        pairs = (word.partition("=") for word in shlex.split(text))
        return {name: value for name, _, value in pairs}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the directory for this process; the kernel releases it however we end.

        Raises LauncherError, with the other's process id, if a demo already runs on it.
        """
        with self.lock_file.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip()
                console = self.read_environment().get("CONSOLE_URL", "")
                raise LauncherError(
                    f"The demo is already running here: {console} (process {holder}). Stop it with Ctrl-C in "
                    f"its terminal or with: kill {holder}"
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    def is_in_use(self) -> bool:
        """Whether a demo runs on this directory now."""
        try:
            with self.lock_file.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner can read it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)


def adopt_demo_environment() -> None:
    """Make commands in a checkout with a demo work on that demo, unless DATABASE_URL is set."""
    if "DATABASE_URL" not in os.environ:
        for name, value in LocalDirectory(local_directory()).read_environment().items():
            os.environ.setdefault(name, value)
