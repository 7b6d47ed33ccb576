"""How much more two workers of a gateway do than one, with limits that they share in a Valkey."""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.gateway_ways import gateway, request, run, upstream
from benchmarks.limits import valkey

_CONNECTIONS = 64


def measure_workers(directory: Path, seconds: float, rounds: int) -> None:
    """Call a gateway with one worker and one with two, in turn, and print calls per second and per processor second.

    Args:
        directory: for the gateways' state.
        seconds: of each measurement.
        rounds: how often.
    """
    with (
        upstream() as (port, _),
        valkey() as server,
        gateway("1-worker", directory, port, GATEWAY_REDIS_URL=server.url(), GATEWAY_WORKERS="1") as one,
        gateway("2-workers", directory, port, GATEWAY_REDIS_URL=server.url(), GATEWAY_WORKERS="2") as two,
    ):
        by_clock: dict[str, list[float]] = {one.name: [], two.name: []}
        by_processor: dict[str, list[float]] = {one.name: [], two.name: []}
        for number in range(rounds):
            for way in (one, two) if number % 2 == 0 else (two, one):
                load, spent = run(way, request(way, 500, False), _CONNECTIONS, seconds)
                by_clock[way.name].append(load.calls / seconds)
                by_processor[way.name].append(load.calls / spent)
    print(
        f"\n{'plain, 0.5 kB, ' + str(_CONNECTIONS) + ' connections':32}{'1 worker':>12}{'2 workers':>12}{'ratio':>8}"
    )
    for name, found in (("calls per second", by_clock), ("calls per CPU second", by_processor)):
        first, second = found[one.name], found[two.name]
        ratio = statistics.median(b / a for a, b in zip(first, second, strict=True))
        print(
            f"{name:32}{statistics.median(first):>12,.0f}{statistics.median(second):>12,.0f}{ratio:>8.2f}",
            flush=True,
        )
