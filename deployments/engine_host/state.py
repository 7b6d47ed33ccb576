"""The files through which the local driver and the engine host communicate.

    DIR/host.lock                    held by the one engine host of this directory
    DIR/host.json                    who the host is, and its heartbeat; gone when it has stopped
    DIR/desired/NAMESPACE__NAME.json   written by the driver: what to run
    DIR/observed/NAMESPACE__NAME.json  written by the host: what runs
    DIR/logs/NAMESPACE__NAME/N.log     what replica N printed, bounded

Every file is replaced as a whole, so a reader sees the old one or the new one. A writer that is killed halfway
leaves a `.tmp`, which nobody reads and the next host removes.
"""

import contextlib
import fcntl
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEARTBEAT_SECONDS = 1.0
STALE_AFTER_SECONDS = 10.0
"""A host that has not beaten for so long counts as away even if its process exists."""

# So neither "__" nor "/" can occur in a name.
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

Document = dict[str, Any]


class EngineHostAway(Exception):
    """No engine host is running for this directory."""


@dataclass(frozen=True)
class StateDirectory:
    path: Path

    def prepare(self) -> None:
        """Make the folders, readable by their owner only. Safe to repeat."""
        for folder in (self.path, self.desired, self.observed, self.logs, self.home):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def desired(self) -> Path:
        return self.path / "desired"

    @property
    def observed(self) -> Path:
        return self.path / "observed"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def home(self) -> Path:
        """The home directory that engines see."""
        return self.path / "home"

    @property
    def host_file(self) -> Path:
        return self.path / "host.json"

    def living_host(self) -> Document:
        """What the engine host reports about itself. Raises EngineHostAway unless it is alive and sends heartbeats."""
        document = read_document(self.host_file)
        if document is None:
            raise EngineHostAway("none has been started, or it was stopped")
        age_seconds = time.monotonic() - float(document["heartbeat"])
        # A negative age is a heartbeat from before the machine was restarted.
        if not is_running(int(document["pid"])) or age_seconds < 0:
            raise EngineHostAway(f"the last one, process {document['pid']}, is gone")
        if age_seconds > STALE_AFTER_SECONDS:
            raise EngineHostAway(f"process {document['pid']} has not answered for {age_seconds:.0f} s")
        return document

    @contextlib.contextmanager
    def one_writer(self) -> Iterator[None]:
        """Hold the driver's lock: two workers never interleave reading and writing one desired file."""
        with open(self.path / "driver.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def file_name(namespace: str, name: str) -> str:
    """The name of the files of one deployment. Raises ValueError for anything but Kubernetes names."""
    for label in (namespace, name):
        if not _DNS_LABEL.fullmatch(label):
            raise ValueError(
                f"{label!r} is not a name: use at most 63 lower-case letters, digits and hyphens."
            )
    return f"{namespace}__{name}.json"


def read_document(path: Path) -> Document | None:
    """The JSON object in a file; None if there is no such file."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    if not isinstance(document, dict):
        raise ValueError(f"{path} does not hold a JSON object.")
    return document


def write_document(path: Path, document: Document, *, durable: bool = True) -> None:
    """Replace a file as a whole. With `durable`, the change also survives a power cut."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with open(handle, "w") as file:
            json.dump(document, file, separators=(",", ":"))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
