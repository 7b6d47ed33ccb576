"""What 400,000 keys cost: compiling and sending them, one change, and a gateway that takes them.

    python -m benchmarks.config [--keys 190] [--events 400000] [--directory .local/scale] [--changes 20]

Uses the large database (benchmarks/large_tenant.py) with 20,000 keys of one tenant and `--keys` of each of 1,999
others. First it compiles in this process: processor time here and of the database, bytes, and how far this process
grows. Then it starts a real console and a real gateway, and asks the gateway something with a key a hundred times a
second: how long until it is ready, how long from the commit of a changed key to its being in force, and how long a
caller waits at worst meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import resource
import statistics
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.large_tenant import LARGE, Size, open_large

DIRECTORY = Path(".local/scale")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keys", type=int, default=190, help="of each ordinary tenant")
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--changes", type=int, default=20, help="changes of one key that are timed")
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        open_large(stack, Size(events=options.events, other_keys=options.keys), options.directory)
        compile_here()
        change_here()
        serve(stack, options.changes)


def compile_here() -> None:
    """Everything, in this process."""
    from benchmarks.ingest import Measured
    from gateway.compile import compile_everything
    from tenants.revision import raise_revision

    raise_revision()
    grown = peak_megabytes()
    before, first, size, members = Measured.now(), 0.0, 0, 0
    for member in compile_everything():
        first = first or time.perf_counter() - before.wall
        size, members = size + len(member), members + 1
    took = Measured.now().since(before)
    print(
        f"everything: {took.client:.1f} s of this process, {took.server:.1f} s of the database, {took.wall:.1f} s by "
        f"the clock; {size / 1e6:.1f} MB in {members} members, the first after {first * 1000:.0f} ms; this process "
        f"grew from {grown:.0f} to {peak_megabytes():.0f} MB",
        flush=True,
    )


def change_here() -> None:
    """One key, and the limits of the large tenant, in this process."""
    from benchmarks.ingest import Measured
    from gateway.changes import compile_changes
    from gateway.compile import routing_now, state_of
    from tenants.models import ApiKey, Tenant
    from tenants.revision import current_revision, mark_of, raise_revision

    tenant = Tenant.objects.get(slug=LARGE)
    key = ApiKey.objects.in_tenant(tenant).first()
    for name, change in (
        ("one key", lambda: raise_revision(keys=[key.pk])),
        ("the limits of the large tenant", lambda: raise_revision(limits=[tenant.pk])),
    ):
        known = current_revision()
        state = state_of(mark_of(known), routing_now())
        change()
        before = Measured.now()
        found = compile_changes(known, state)
        took = Measured.now().since(before)
        assert found is not None
        print(
            f"{name}: {took.client * 1000:.0f} ms of this process, {took.server * 1000:.0f} ms of the database, "
            f"{len(found[1])} bytes",
            flush=True,
        )


def serve(stack: contextlib.ExitStack, changes: int) -> None:
    """A console and a gateway as processes."""
    from gateway.models import Gateway
    from tenants.models import ApiKey, Tenant
    from tenants.revision import raise_revision
    from tenants.secrets import digest, new_key_secret
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
    console = resident_megabytes(running.processes["console"].pid)
    caller = Caller(running.ports.gateway, secret)
    stack_module.STARTED_WITHIN_SECONDS = 600  # a busy machine
    began = time.perf_counter()
    running.start("gateway")
    print(
        f"gateway ready after {time.perf_counter() - began:.1f} s without a copy; {memory(running, console)}",
        flush=True,
    )
    running.acknowledged(seconds=300)
    applied = times_applied(running)
    began = time.perf_counter()
    running.kill("gateway")
    running.start("gateway")
    print(f"gateway ready after {time.perf_counter() - began:.1f} s with a copy", flush=True)
    stack.callback(caller.stop)
    caller.start()
    time.sleep(1)
    caller.report("while nothing happens, or the copy is checked against everything")
    wait_for_everything(running, applied)
    caller.report("while everything arrives")
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
    print(
        f"one changed key in force: median {statistics.median(delays):.0f} ms after its commit, "
        f"worst {max(delays):.0f} ms",
        flush=True,
    )
    caller.report("while keys change")
    applied = times_applied(running)
    raise_revision()
    wait_for_everything(running, applied)
    caller.report("while everything is told again")
    print(memory(running, console), flush=True)


def times_applied(running: Any) -> int:
    """How often the gateway has put a configuration in force."""
    return str(running.log("gateway")).count('"config_applied"')


def wait_for_everything(running: Any, applied: int) -> None:
    running.wait_until(lambda: times_applied(running) > applied, seconds=300, what="everything")
    time.sleep(8)  # the copy of before gives its memory back


class Caller(threading.Thread):
    """Asks the gateway for its models a hundred times a second, and remembers how long the answers took."""

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
        """What the gateway says to this key now."""
        return self._ask(self._asking)

    def report(self, when: str) -> None:
        """Print how long callers waited since the last report."""
        waits, self._waits = sorted(self._waits), []
        print(
            f"callers {when}: median {statistics.median(waits):.1f} ms, 99 % {waits[int(len(waits) * 0.99)]:.1f} ms, "
            f"worst {waits[-1]:.1f} ms of {len(waits)}",
            flush=True,
        )

    def stop(self) -> None:
        self._is_ending.set()
        self.join(10)

    def _ask(self, connection: http.client.HTTPConnection) -> int:
        connection.request("GET", "/v1/models", headers=self._headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def memory(running: Any, console_before: float) -> str:
    console = running.processes["console"].pid
    gateway = running.processes["gateway"].pid
    return (
        f"console {resident_megabytes(console):.0f} MB, at most {resident_megabytes(console, 'VmHWM'):.0f} "
        f"(before {console_before:.0f}); gateway {resident_megabytes(gateway):.0f} MB, at most "
        f"{resident_megabytes(gateway, 'VmHWM'):.0f}"
    )


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_megabytes(pid: int, line: str = "VmRSS") -> float:
    """Of a process and its children together (a server has its worker in one)."""
    pids = [pid, *_children(pid)]
    return sum(_status(one, line) for one in pids) / 1024


def _children(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += [int(child), *_children(int(child))]
    return found


def _status(pid: int, line: str) -> int:
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith(f"{line}:"):
            return int(text.split()[1])
    return 0


if __name__ == "__main__":
    main()
