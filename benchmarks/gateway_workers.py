"""How much more two workers of a gateway do than one, with limits that they share in a Valkey.

Callers, upstream and Valkey take turns with the workers on the same cores, so calls per second say little on a small
machine. Calls per processor second of the workers say what a call costs. Two workers are asked twice: by as many
callers as the one, who leave each worker half of them, and by twice as many, who keep each as busy as the one. On
cores of their own, two workers then answer twice the last ratio as many calls as one.
"""

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
        asked = [(one, _CONNECTIONS), (two, _CONNECTIONS), (two, 2 * _CONNECTIONS)]
        by_clock: list[list[float]] = [[] for _ in asked]
        by_processor: list[list[float]] = [[] for _ in asked]
        for number in range(rounds):
            places = range(len(asked))
            for place in places if number % 2 == 0 else reversed(places):
                way, connections = asked[place]
                load, spent = run(way, request(way, 500, False), connections, seconds)
                by_clock[place].append(load.calls / seconds)
                by_processor[place].append(load.calls / spent)
    print(f"\n{'plain calls, 0.5 kB':24}{'workers, callers':>20}{'':>12}{'of one worker':>16}")
    for name, found in (("calls per second", by_clock), ("calls per CPU second", by_processor)):
        for (way, connections), figures in zip(asked, found, strict=True):
            ratio = statistics.median(now / of_one for now, of_one in zip(figures, found[0], strict=True))
            print(
                f"{name:24}{way.name + ', ' + str(connections):>20}{statistics.median(figures):>12,.0f}{ratio:>16.2f}",
                flush=True,
            )
