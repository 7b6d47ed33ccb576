"""Measure what recording a call on disk costs a gateway, with 1 to 256 callers at once.

    python -m benchmarks.spool [--calls 4800] [--directory .local]

No gateway and no HTTP: a spool, in the event loop that the gateway uses. Each caller waits until its record is on disk
before it brings the next one. Numbers are microseconds of processor time for one record, from the kernel: of the event
loop's thread, and of the process with its writer. Records that come while the disk is busy share the next sync, so the
directory should be on the disk that a gateway would use. `syncs` is how many a record needed; `longer`, how many of
them made the file longer. `upload` is what sending the records costs the process, to a control plane that takes them at
once, without a connection.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import uvloop

from gateway.contract import UsageEventReport, UsageReceipt, decode, encode
from gateway.proxy.kernel_sync import KernelSync
from gateway.proxy.metrics import Metrics
from gateway.proxy.spool import Spool
from gateway.proxy.uploader import Uploader

CALLERS = (1, 4, 16, 64, 256)
EVENT = b"""{"call_id": "", "occurred_at": "2026-11-29T17:00:00.000Z", "key_id": "01890b1c-2d3e-7f40-8a5b-6c7d8e9f0a1c",
"model": "gpt-4o-mini", "status": "ok", "http_status": 200, "is_exact": true, "usage": {"input": 120, "output": 700},
"latency_ms": 812, "first_token_ms": null, "is_stream": false, "target_id": "01890b1c-2d3e-7f40-8a5b-6c7d8e9f0a1d",
"config_revision": 12, "trace_id": "0af7651916cd43dd8448eb211c80319c",
"request_id": "01890b1c-2d3e-7f40-8a5b-6c7d8e9f0a1e"}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--calls", type=int, default=4800, help="with each number of callers; a sixteenth with one"
    )
    parser.add_argument("--directory", type=Path, help="on the disk to measure; the system's if not named")
    options = parser.parse_args()
    titles = ("callers", "event loop", "process", "syncs", "longer", "upload", "records a second")
    print("".join(f"{title:>{len(title) + 3}}" for title in titles))
    for callers in CALLERS:
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            calls = max(1, options.calls // max(callers, 16))
            uvloop.run(measure(Path(directory), callers, calls))


async def measure(directory: Path, callers: int, calls: int) -> None:
    """Measure `callers` that bring `calls` records each, and print a line."""
    event = decode(UsageEventReport, EVENT)
    records = iter([msgspec.structs.replace(event, call_id=f"call-{n}") for n in range(callers * calls + 20)])
    spool = Spool(directory / "spool")
    spool.start()

    async def caller(times: int) -> None:
        for _ in range(times):
            await spool.append(next(records))

    await caller(20)
    syncs = Syncs()
    began, in_loop, in_all = time.perf_counter(), time.thread_time(), time.process_time()
    await asyncio.gather(*(caller(calls) for _ in range(callers)))
    number = callers * calls
    seconds = time.perf_counter() - began
    in_loop, in_all = time.thread_time() - in_loop, time.process_time() - in_all
    syncs.stop()
    uploader = Uploader(spool, cast(Any, ControlPlane()), directory / "rejected", Metrics())
    of_upload = time.process_time()
    await uploader.send_all()
    of_upload = (time.process_time() - of_upload) / (number + 20)
    await asyncio.to_thread(spool.close)
    print(
        f"{callers:>10}{in_loop / number * 1e6:>13.1f}{in_all / number * 1e6:>10.1f}{syncs.all / number:>8.3f}"
        f"{syncs.longer / number:>9.3f}{of_upload * 1e6:>9.1f}{number / seconds:>19,.0f}",
        flush=True,
    )


class Syncs:
    """Counts the syncs of this process until `stop`, and those of files that became longer."""

    def __init__(self) -> None:
        self.all = self.longer = 0
        self._sizes: dict[int, int] = {}
        self._sync, self._begin = os.fdatasync, KernelSync.begin
        os.fdatasync = self._count
        begin, syncs = self._begin, self

        def count(kernel: KernelSync, descriptor: int) -> None:
            syncs.all += 1
            begin(kernel, descriptor)

        setattr(KernelSync, "begin", count)  # noqa: B010

    def _count(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        self.all += 1
        self.longer += size != self._sizes.get(descriptor)
        self._sizes[descriptor] = size
        self._sync(descriptor)

    def stop(self) -> None:
        os.fdatasync = self._sync
        setattr(KernelSync, "begin", self._begin)  # noqa: B010


class ControlPlane:
    """Takes all usage."""

    @contextlib.asynccontextmanager
    async def post(self, path: str, **_: object) -> AsyncIterator[ControlPlane]:
        yield self

    status = 200

    async def read(self) -> bytes:
        return encode(UsageReceipt(recorded=0, repeated=0, quarantined=0))


if __name__ == "__main__":
    main()
