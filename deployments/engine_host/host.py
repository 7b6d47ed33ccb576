"""The engine host's loop: read the desired state, step every workload, write the observed state, send a heartbeat."""

import asyncio
import contextlib
import datetime
import fcntl
import os
import shutil
from collections.abc import Iterator

import structlog

from deployments.cluster.base import find_deployment
from deployments.engine_host.devices import Devices
from deployments.engine_host.plan import plan_engine
from deployments.engine_host.replica import HostSettings
from deployments.engine_host.state import (
    HEARTBEAT_SECONDS,
    Document,
    StateDirectory,
    read_document,
    write_document,
)
from deployments.engine_host.workload import Workload

VERSION = "local/1"
_LOG_CHECK_SECONDS = 5.0

log = structlog.get_logger("engine_host")


class AlreadyRunning(Exception):
    """Another engine host holds this state directory."""


class EngineHost:
    """Runs the engines of one state directory until it is stopped."""

    def __init__(self, state: StateDirectory, settings: HostSettings) -> None:
        self._state, self._settings = state, settings
        self._devices = Devices(settings.resources)
        self._workloads: dict[str, Workload] = {}  # by file name
        # Inode and change time of each desired file.
        self._seen: dict[str, tuple[int, int]] = {}
        self._written: dict[str, Document] = {}
        self._former_ports: dict[str, list[int]] = {}
        self._next_beat = self._next_log_check = 0.0
        self._started_at = datetime.datetime.now(datetime.UTC).isoformat()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then stop every engine. Raises AlreadyRunning."""
        self._state.prepare()
        with self._alone():
            self._sweep_leftovers()
            log.info(
                "engine host started", state_dir=str(self._state.path), resources=self._settings.resources
            )
            while not stop.is_set():
                self._tick()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._settings.tick_seconds)
            # From now on, nobody relies on this host.
            self._state.host_file.unlink(missing_ok=True)
            await self._stop_all()
            log.info("engine host stopped")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the directory's lock. The kernel releases it when this process dies, however it dies."""
        with open(self._state.path / "host.lock", "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise AlreadyRunning(
                    f"Process {lock.read().strip() or 'unknown'} already runs the engines of "
                    f"{self._state.path}; stop it, or give another --state-dir."
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def _sweep_leftovers(self) -> None:
        """Remove what an earlier host reported, but remember where its engines answered, so that callers need not
        learn a new address. Remove files that a killed writer left unfinished, too."""
        for file in self._state.observed.iterdir():
            with contextlib.suppress(ValueError, KeyError):
                replicas = (read_document(file) or {})["replicas"]
                self._former_ports[file.name] = [replica["port"] for replica in replicas if replica["ready"]]
            file.unlink(missing_ok=True)
        # So that no writer is halfway through.
        with self._state.one_writer():
            for file in self._state.desired.glob("*.tmp"):
                file.unlink(missing_ok=True)

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        self._read_desired()
        for name, workload in list(self._workloads.items()):
            try:
                workload.step(now)
            # One broken workload must not take the others down.
            except Exception:
                log.exception("workload failed", workload=name)
            with _engines_left_alone():
                self._publish(name, workload)
        if now >= self._next_log_check:
            self._next_log_check = now + _LOG_CHECK_SECONDS
            for workload in self._workloads.values():
                with _engines_left_alone():
                    workload.bound_logs()
        if now >= self._next_beat:
            self._next_beat = now + HEARTBEAT_SECONDS
            with _engines_left_alone():
                self._beat()

    def _beat(self) -> None:
        document = {
            "pid": os.getpid(),
            "version": VERSION,
            "started_at": self._started_at,
            # time.monotonic, which is one clock for all processes of a machine
            "heartbeat": asyncio.get_running_loop().time(),
            "resources": self._settings.resources,
        }
        write_document(self._state.host_file, document, durable=False)

    def _read_desired(self) -> None:
        present: dict[str, tuple[int, int]] = {}
        for entry in os.scandir(self._state.desired):
            if entry.name.endswith(".json"):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat()
                    present[entry.name] = (status.st_ino, status.st_mtime_ns)
        for name, version in present.items():
            if self._seen.get(name) != version:
                self._accept(name)
        for name in self._seen.keys() - present.keys():
            log.info("deployment is to go", workload=name)
            if name in self._workloads:
                self._workloads[name].want_nothing()
        self._seen = present

    def _accept(self, name: str) -> None:
        try:
            document = read_document(self._state.desired / name)
            if document is None:
                return
            plan = plan_engine(find_deployment(document["manifests"]))
        # The driver refuses such objects; a file written by hand may hold anything.
        except Exception:
            log.exception("desired file is invalid", workload=name)
            return
        if name not in self._workloads:
            self._workloads[name] = Workload(
                logs=self._state.logs / name.removesuffix(".json"),
                home=self._state.home,
                devices=self._devices,
                settings=self._settings,
                former_ports=self._former_ports.pop(name, []),
            )
        self._workloads[name].want(plan, uid=document["uid"], generation=document["generation"])
        log.info(
            "deployment is wanted", workload=name, generation=document["generation"], replicas=plan.replicas
        )

    def _publish(self, name: str, workload: Workload) -> None:
        """Write the observed state if it has changed."""
        if workload.is_gone:
            del self._workloads[name]
            self._written.pop(name, None)
            shutil.rmtree(self._state.logs / name.removesuffix(".json"), ignore_errors=True)
            (self._state.observed / name).unlink(missing_ok=True)
            log.info("deployment is gone", workload=name)
            return
        document = workload.report()
        if self._written.get(name) != document:
            write_document(self._state.observed / name, document, durable=False)
            self._written[name] = document

    async def _stop_all(self) -> None:
        """Stop every engine; they have `shutdown_seconds` to end by themselves. The last observations stay in
        the files for the next host; the driver ignores them while there is no host."""
        loop = asyncio.get_running_loop()
        for workload in self._workloads.values():
            workload.stop(loop.time())
        while any(not workload.is_gone for workload in self._workloads.values()):
            for workload in self._workloads.values():
                workload.step(loop.time())
            await asyncio.sleep(min(self._settings.tick_seconds, 0.05))


@contextlib.contextmanager
def _engines_left_alone() -> Iterator[None]:
    """Leave what cannot be written now (the disk is full) for the next turn: engines need no file to serve."""
    try:
        yield
    except OSError as error:
        log.error("files cannot be written", reason=str(error))
