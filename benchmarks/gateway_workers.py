"""How much more two workers of a gateway do than one, with limits that they share in a Valkey.

Callers, upstream and Valkey take turns with the workers on the same cores, so calls per second say little on a small
machine. Calls per processor second of the gateways say what a call costs: on cores of their own, two workers answer
twice the ratio as many calls as one. Two gateways of one worker each, which share nothing but the Valkey, tell what of
the difference is the machine's: two processes that take turns on the same cores, each with its own memory to fetch.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gateway_peers import make_calls
from benchmarks.gateway_ways import Way, gateway, processor_seconds, request, upstream
from benchmarks.limits import valkey

# Of each process of callers.
_CONNECTIONS = 64


def measure_workers(directory: Path, seconds: float, rounds: int) -> None:
    """Call one worker, two, and two gateways, in turn, and print calls per second and per processor second.

    Args:
        directory: for the gateways' state.
        seconds: of each measurement.
        rounds: how often.
    """
    with (
        upstream() as (port, _),
        valkey() as server,
        gateway("one", directory, port, GATEWAY_REDIS_URL=server.url(), GATEWAY_WORKERS="1") as one,
        gateway("other", directory, port, GATEWAY_REDIS_URL=server.url(), GATEWAY_WORKERS="1") as other,
        gateway("two", directory, port, GATEWAY_REDIS_URL=server.url(), GATEWAY_WORKERS="2") as two,
    ):
        asked = {
            "one worker": [one],
            "two workers": [two, two],
            "two gateways": [one, other],
        }
        by_clock: dict[str, list[float]] = {name: [] for name in asked}
        by_processor: dict[str, list[float]] = {name: [] for name in asked}
        for number in range(rounds):
            for name in asked if number % 2 == 0 else reversed(asked):
                calls, spent = _call(asked[name], seconds)
                by_clock[name].append(calls / seconds)
                by_processor[name].append(calls / spent)
    print(f"\n{f'plain calls, 0.5 kB, {_CONNECTIONS} callers for each':40}{'':14}{'of one worker':>15}")
    for unit, found in (("calls per second", by_clock), ("calls per CPU second", by_processor)):
        for name, figures in found.items():
            ratio = statistics.median(
                now / first for now, first in zip(figures, found["one worker"], strict=True)
            )
            print(f"{f'{name}, {unit}':40}{statistics.median(figures):14,.0f}{ratio:15.2f}", flush=True)


def _call(ways: Sequence[Way], seconds: float) -> tuple[int, float]:
    """Call all of `ways` at once, with a process of callers for each. Returns the calls, and the processor seconds."""
    with multiprocessing.get_context("fork").Pool(len(ways)) as pool:

        def call(duration: float) -> int:
            begun = [
                pool.apply_async(
                    make_calls, (way.port, request(way, 500, False), _CONNECTIONS, duration, 30.0)
                )
                for way in ways
            ]
            loads = [one.get() for one in begun]
            assert not any(load.failed for load in loads), "calls failed"
            return sum(load.calls for load in loads)

        call(0.3)
        before = _spent(ways)
        calls = call(seconds)
        # What follows the answers is part of the cost: uploading the usage.
        time.sleep(0.3)
        return calls, _spent(ways) - before


def _spent(ways: Sequence[Way]) -> float:
    return sum(processor_seconds(pid) for pid in {way.pid for way in ways})
