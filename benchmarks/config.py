"""Measure what 400,000 keys cost: compiling and sending them, changing one, and loading them into a gateway.

    python -m benchmarks.config [--keys 190] [--events 400000] [--directory .local/scale] [--changes 20]

Uses the large database (benchmarks/large_tenant.py) with 20,000 keys of one tenant and `--keys` of each of 1,999
others. First it compiles in this process, and measures processor time here and in the database, bytes, and the peak
memory of this process. Then it starts a real console and a real gateway, and calls the gateway with a key a hundred
times a second. It measures how long the gateway takes to be ready, how long a changed key takes from the commit until
it is in force, and the longest wait of a caller meanwhile. benchmarks/scale.py prints the same for its database.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import resource
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import config_routes
from benchmarks.figures import Figure, Figures, Row, Table
from benchmarks.large_tenant import LARGE, Size, open_large

DIRECTORY = Path(".local/scale")
# The target: 99 of 100 calls are answered within so many milliseconds.
CALLERS_BAR = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keys", type=int, default=190, help="of each ordinary tenant")
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--changes", type=int, default=20, help="changes of one key that are timed")
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    parser.add_argument("--save", type=Path, help="write what was measured to this file")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        open_large(stack, Size(events=options.events, other_keys=options.keys), options.directory)
        table = Table(with_before=False)
        table.print(rows(options.changes))
        if options.save:
            table.save(options.save)


def rows(changes: int) -> Iterator[Row | Figures]:
    """Yield item 13 of the table: compiling in this process, then a console and a gateway as processes."""
    from tenants.revision import raise_revision

    everything = Everything()
    yield Row("13", "compile everything", everything.compile, 10_000, prepare=raise_revision)
    yield Figures("13", "everything", everything.figures)
    yield from changed()
    yield from config_routes.rows()
    yield Figures("13", "console and gateway", lambda: served(changes))


class Everything:
    """The whole configuration, compiled in this process."""

    def __init__(self) -> None:
        self.size, self.first_seconds = 0, 0.0

    def compile(self) -> int:
        """Compile it without keeping the result, and return its size in bytes."""
        from gateway.compile import compile_everything
        from gateway.contract.signatures import Message

        begun = time.perf_counter()
        self.size = self.first_seconds = 0
        for member in compile_everything():
            if isinstance(member, Message):
                break
            self.first_seconds = self.first_seconds or time.perf_counter() - begun
            self.size += len(member)
        return self.size

    def figures(self) -> Iterator[Figure]:
        """Yield further numbers about the last compilation."""
        if self.size:
            yield Figure("everything, as it is sent", self.size / 1e6, "MB")
            yield Figure("its first bytes", self.first_seconds * 1000, "ms by the clock")
            yield Figure("this process at most", peak_megabytes(), "MB")


def changed() -> Iterator[Row]:
    """Yield changes that name what they change, compiled in this process."""
    from gateway.changes import compile_changes
    from gateway.compile import state_of
    from gateway.contract import CONTRACT_VERSION
    from gateway.publishing import routing_now
    from tenants.actions.tenancy import limited_in
    from tenants.models import ApiKey, Tenant
    from tenants.revision import current_revision, mark_of, raise_revision

    tenant = Tenant.objects.get(slug=LARGE)
    key = ApiKey.objects.in_tenant(tenant).first()

    def row(name: str, bar: float | None, change: Callable[[], object]) -> Row:
        known: list[Any] = []

        def prepare() -> None:
            revision = current_revision()
            known[:] = revision, state_of(mark_of(revision), routing_now(), CONTRACT_VERSION)
            change()

        def compile_them() -> bytes:
            found = compile_changes(*known)
            assert found is not None, "it is told as everything"
            return found[1]

        return Row("13", name, compile_them, bar, prepare)

    yield row("compile the change of one key", 1000, lambda: raise_revision(keys=[key.pk]))
    yield row("compile the large tenant's own limits", None, lambda: raise_revision(limits=[tenant.pk]))
    yield row(
        "compile the large tenant's new time zone",
        None,
        lambda: raise_revision(limits=limited_in(tenant)),
    )


def served(changes: int) -> Iterator[Figure]:
    """Measure a console and a gateway as processes, by the clock. On a busy machine the numbers are upper bounds."""
    with contextlib.ExitStack() as stack:
        yield from _served(stack, changes)


def _served(stack: contextlib.ExitStack, changes: int) -> Iterator[Figure]:
    from core.secrets import digest, new_key_secret
    from gateway.models import Gateway
    from tenants.models import ApiKey, Tenant
    from tenants.revision import raise_revision
    from tests import stack as stack_module
    from tests.stack import Stack

    tenant = Tenant.objects.get(slug=LARGE)
    secret = new_key_secret()
    key = ApiKey.objects.in_tenant(tenant).order_by("pk").first()
    ApiKey.objects.in_tenant(tenant).filter(pk=key.pk).update(
        digest=digest(secret), networks=[], state="active"
    )
    Gateway.objects.all().delete()
    running = Stack()
    stack.callback(running.close)
    running.start_all("console")
    caller = Caller(running.ports.gateway, secret)
    stack_module.STARTED_WITHIN_SECONDS = 600  # a busy machine
    began = time.perf_counter()
    running.start("gateway")
    yield Figure("gateway ready, without a copy", time.perf_counter() - began, "s by the clock")
    yield Figure("gateway then", memory(running, "gateway"), "MB")
    running.acknowledged(seconds=300)
    applied = times_applied(running)
    began = time.perf_counter()
    running.kill("gateway")
    running.start("gateway")
    yield Figure("gateway ready, with a copy", time.perf_counter() - began, "s by the clock")
    stack.callback(caller.stop)
    caller.start()
    wait_for_everything(running, applied)
    yield from caller.figures("while everything arrives, at a start")
    time.sleep(5)
    yield from caller.figures("while nothing happens")
    delays = []
    for number in range(changes):
        network = f"10.{number}.0.0/16"
        begun = time.perf_counter()
        ApiKey.objects.in_tenant(tenant).filter(pk=key.pk).update(networks=[] if number % 2 else [network])
        raise_revision(keys=[key.pk])
        committed = time.perf_counter()
        while caller.status() != (200 if number % 2 else 401):
            assert time.perf_counter() - begun < 30, "the change is not in force"
            time.sleep(0.002)
        delays.append((time.perf_counter() - committed) * 1000)
    yield Figure("a changed key in force, median", statistics.median(delays), "ms by the clock", 1000)
    yield Figure("a changed key in force, worst", max(delays), "ms by the clock", 1000)
    yield from caller.figures("while keys change")
    applied = times_applied(running)
    raise_revision()
    wait_for_everything(running, applied)
    yield from caller.figures("while everything is told again")
    yield Figure("console at most", memory(running, "console", "VmHWM"), "MB", 400)
    yield Figure("gateway after two fetches", memory(running, "gateway"), "MB")
    yield Figure("gateway at most", memory(running, "gateway", "VmHWM"), "MB")


def times_applied(running: Any) -> int:
    """Return how often the gateway has put a configuration in force."""
    return str(running.log("gateway")).count('"config_applied"')


def wait_for_everything(running: Any, applied: int) -> None:
    running.wait_until(lambda: times_applied(running) > applied, seconds=300, what="everything")
    # Wait until the gateway has freed the previous copy.
    time.sleep(8)


class Caller(threading.Thread):
    """Requests the gateway's models a hundred times a second, and records how long the answers take."""

    def __init__(self, port: int, secret: str) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._asking = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"authorization": f"Bearer {secret}"}
        self._waits: list[float] = []
        self._is_ending = threading.Event()

    def run(self) -> None:
        while not self._is_ending.wait(0.01):
            begun = time.perf_counter()
            self._ask(self._connection)
            self._waits.append((time.perf_counter() - begun) * 1000)

    def status(self) -> int:
        """Return the status with which the gateway answers this key now."""
        return self._ask(self._asking)

    def figures(self, when: str) -> Iterator[Figure]:
        """Yield how long callers have waited since the previous call of this method."""
        waits, self._waits = sorted(self._waits), []
        unit = f"ms by the clock, of {len(waits)}"
        yield Figure(f"callers {when}: median", statistics.median(waits), unit)
        yield Figure(f"callers {when}: 99 %", waits[int(len(waits) * 0.99)], unit, CALLERS_BAR)
        yield Figure(f"callers {when}: worst", waits[-1], unit)

    def stop(self) -> None:
        self._is_ending.set()
        self.join(10)

    def _ask(self, connection: http.client.HTTPConnection) -> int:
        connection.request("GET", "/v1/models", headers=self._headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def memory(running: Any, name: str, line: str = "VmRSS") -> float:
    """Return the memory of a process of the stack in megabytes: the present, or with `VmHWM` the peak."""
    return resident_megabytes(running.processes[name].pid, line)


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_megabytes(pid: int, line: str = "VmRSS") -> float:
    """Return the memory of a process and its children together, because a server runs its worker as a child."""
    pids = [pid, *children_of(pid)]
    return sum(_status(one, line) for one in pids) / 1024


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += [int(child), *children_of(int(child))]
    return found


def _status(pid: int, line: str) -> int:
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith(f"{line}:"):
            return int(text.split()[1])
    return 0


if __name__ == "__main__":
    main()
