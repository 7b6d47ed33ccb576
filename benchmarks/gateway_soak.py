"""Call a gateway for minutes: every call must be in the ledger once at the end, and memory must not grow."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from pathlib import Path

import requests

from benchmarks.config import resident_megabytes
from benchmarks.gateway_console import MODEL, console
from benchmarks.gateway_peers import make_calls
from benchmarks.gateway_ways import Way, processor_seconds, request, upstream

_CONNECTIONS = 16
_STEPS = 30
_PATIENCE_SECONDS = 30.0
_LAST_USAGE_SECONDS = 60.0


def soak(directory: Path, seconds: float) -> None:
    """Call, plain and streamed in turn, and print what became of it.

    Args:
        directory: for the gateway's state.
        seconds: for how long.

    Raises AssertionError if a call failed, or if the ledger has another number of calls, or one of them twice.
    """
    from core.secrets import new_key_secret
    from tests.gateway.proxy_fixtures import Gateway

    secret = new_key_secret()
    with upstream() as (port, _), console(0, [secret, new_key_secret()], port) as control:
        gateway = Gateway(control, directory)
        gateway.start()
        try:
            pid = gateway.process.popen.pid
            way = Way("soak", gateway.port, secret, MODEL, pid)
            calls, memory = 0, []
            began, spent = time.monotonic(), processor_seconds(pid)
            with multiprocessing.get_context("fork").Pool(1) as pool:
                for step in range(_STEPS):
                    load = pool.apply(
                        make_calls,
                        (
                            way.port,
                            request(way, 500, step % 2 == 1),
                            _CONNECTIONS,
                            seconds / _STEPS,
                            _PATIENCE_SECONDS,
                        ),
                    )
                    assert not load.failed, f"{load.failed} of {load.calls} calls failed"
                    assert load.calls == load.begun, "a call was cut off"
                    calls += load.calls
                    memory.append((time.monotonic() - began, resident_megabytes(pid)))
            spent = processor_seconds(pid) - spent
            counts = _counts_of(control.url, calls)
        finally:
            gateway.process.terminate()
    print(f"{calls:,} calls in {seconds:.0f} s, plain and streamed in turn")
    print(f"processor time: {spent / calls * 1000:.3f} ms a call")
    print(
        f"ledger: {counts['calls']:,} calls, {counts.get('ok', 0):,} of them ok; sent {counts['deliveries']:,} times"
    )
    settled = memory[len(memory) // 3 :]
    slope = statistics.linear_regression([at for at, _ in settled], [size for _, size in settled]).slope
    print(
        f"memory: {memory[0][1]:.1f} MB at first, {memory[-1][1]:.1f} at last; {slope * 3600:+.1f} MB an hour"
    )
    assert counts["calls"] == counts.get("ok") == calls, "the ledger has another number of calls"


def _counts_of(url: str, calls: int) -> dict[str, int]:
    """What the control plane got, once it has so many calls or no more of them come."""
    until = time.monotonic() + _LAST_USAGE_SECONDS
    while True:
        counts: dict[str, int] = requests.get(f"{url}/counts", timeout=60).json()
        if counts["calls"] >= calls or time.monotonic() > until:
            return counts
        time.sleep(0.2)
