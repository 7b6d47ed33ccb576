"""Measure what the gateway costs per call, beside the same upstream called directly and through LiteLLM, interleaved.

    python -m benchmarks.gateway [--parts costs,answers,paced,keys,workers] [--seconds 3] [--rounds 3]
                                 [--without redis,litellm]
    python -m benchmarks.gateway --soak 600

Two gateways run, one with limits in memory and one with limits in a Valkey. Their key has six limits, one of each kind,
so every call is admitted, settled and recorded on disk. LiteLLM runs three times: without limits, and with six of its
own in memory and in the same Valkey (benchmarks/litellm_limits.py, which first sees that each of them holds). Without
a database it keeps no record of usage. Processor time is that of the measured process (all threads, user and system),
from the kernel. Each figure is the median of its rounds. Ratios are comparable between machines.

costs    calls per processor second, and milliseconds of it per call, plain and streamed (22 events), 0.5 and 8 kB
answers  the time until the whole answer with 1, 16 and 256 connections; for gateways, what they add to `direct`
paced    how many events of paced streams one core passes on
keys     start, memory and the change of one key with 2,000, 100,000 and 400,000 keys
workers  one worker, two, and two gateways, with limits in a Valkey

`--soak` calls for so many seconds, and then compares the calls with the usage that a control plane got.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.gateway_keys import measure_keys
from benchmarks.gateway_litellm import litellm
from benchmarks.gateway_soak import soak
from benchmarks.gateway_ways import TICKS_PER_SECOND, Way, gateway, request, run, upstream
from benchmarks.gateway_workers import measure_workers

_STREAMS = 100
# With more connections than LiteLLM answers in a round, its times would say how long the round was, and all of its
# paced streams would still be beginning.
_MOST_FOR_LITELLM = 16
_STREAMS_FOR_LITELLM = 10
_SECONDS_FOR_LITELLM = 5.0
# Ways that do the same, as far as LiteLLM can: its name, and ours.
_ALIKE = {"litellm": "memory", "litellm redis": "redis"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default="costs,answers,paced,keys,workers", help="what to measure")
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", default="", help="leave out: redis, litellm, or both, with a comma")
    parser.add_argument("--keys", default="2000,100000,400000", help="how many, for the part keys")
    parser.add_argument("--changes", type=int, default=20, help="of one key, for the part keys")
    parser.add_argument("--soak", type=float, default=0, help="only call, for so many seconds")
    options = parser.parse_args()
    from benchmarks.scratch import install_what_is_missing

    install_what_is_missing()
    parts = options.parts.split(",")
    with tempfile.TemporaryDirectory() as directory:
        if options.soak:
            soak(Path(directory), options.soak)
            return
        compared: dict[str, Callable[[argparse.Namespace, list[Way]], None]] = {
            "costs": _measure_costs,
            "answers": _measure_answers,
            "paced": _measure_paced,
        }
        if not compared.keys().isdisjoint(parts):
            with _all_ways(Path(directory), options.without.split(",")) as ways:
                for name, measure in compared.items():
                    if name in parts:
                        measure(options, ways)
        if "keys" in parts:
            measure_keys(
                Path(directory), [int(number) for number in options.keys.split(",")], options.changes
            )
        if "workers" in parts:
            measure_workers(Path(directory), options.seconds, options.rounds)


@contextlib.contextmanager
def _all_ways(directory: Path, without: Sequence[str]) -> Iterator[list[Way]]:
    """All ways to one upstream while the block runs, except those named in `without`: `redis`, `litellm`.

    Raises AssertionError if one of LiteLLM's limits does not hold.
    """
    from benchmarks.limits import valkey

    with contextlib.ExitStack() as stack:
        port, pid = stack.enter_context(upstream())
        has_valkey, has_litellm = "redis" not in without, "litellm" not in without
        url = stack.enter_context(valkey()).url() if has_valkey else ""
        ways = [
            Way("direct", port, "", "up", pid),
            stack.enter_context(gateway("memory", directory, port)),
        ]
        if has_valkey:
            ways.append(stack.enter_context(gateway("redis", directory, port, GATEWAY_REDIS_URL=url)))
        if has_litellm:
            ways += [
                stack.enter_context(litellm("litellm no limits", directory, port, has_limits=False)),
                stack.enter_context(litellm("litellm", directory, port)),
            ]
        if has_valkey and has_litellm:
            ways.append(stack.enter_context(litellm("litellm redis", directory, port, valkey_url=url)))
        yield ways


def _compared(ways: list[Way]) -> list[tuple[str, str]]:
    """The names of LiteLLM's ways and of ours that do the same."""
    names = {way.name for way in ways}
    return [(theirs, ours) for theirs, ours in _ALIKE.items() if {theirs, ours} <= names]


def _measure_costs(options: argparse.Namespace, ways: list[Way]) -> None:
    print(
        f"{'calls per CPU s, CPU ms a call':32}"
        + "".join(f"{way.name:>18}" for way in ways)
        + "".join(f"{f'{theirs} / {ours}':>24}" for theirs, ours in _compared(ways))
    )
    for is_stream in (False, True):
        for size in (500, 8000):
            rounds: dict[str, list[float]] = {way.name: [] for way in ways}
            for number in range(options.rounds):
                for way in _in_turn(ways, number):
                    load, spent = run(way, request(way, size, is_stream), 16, options.seconds)
                    rounds[way.name].append(spent / max(load.calls, 1))
            name = f"{'22-event stream' if is_stream else 'plain'}, {size / 1000} kB"
            costs = {way.name: statistics.median(rounds[way.name]) for way in ways}
            cells = "".join(f"{1 / cost:>10,.0f}{cost * 1000:>8.3f}" for cost in costs.values())
            ratios = "".join(f"{costs[theirs] / costs[ours]:>24.0f}" for theirs, ours in _compared(ways))
            print(f"{name:32}{cells}{ratios}", flush=True)


def _measure_answers(options: argparse.Namespace, ways: list[Way]) -> None:
    print(
        f"\n{'answer, plain, 0.5 kB, in ms':32}{'direct: p50':>13}{'p99':>9}"
        + "".join(f"{f'+{way.name}: p50':>25}{'p99':>9}" for way in ways[1:])
    )
    for connections in (1, 16, 256):
        times: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
        for number in range(options.rounds):
            for way in _in_turn(ways, number):
                if not _is_litellm(way) or connections <= _MOST_FOR_LITELLM:
                    load, _ = run(way, request(way, 500, False), connections, options.seconds)
                    times[way.name].append(_percentiles(load.seconds))
        direct = times["direct"]
        p50, p99 = (statistics.median(each) for each in zip(*direct, strict=True))
        line = f"{connections:>4} connections{'':16}{p50:>13.2f}{p99:>9.2f}"
        for way in ways[1:]:
            if not times[way.name]:
                line += f"{'–':>25}{'–':>9}"
                continue
            added = [
                (mine[0] - base[0], mine[1] - base[1])
                for mine, base in zip(times[way.name], direct, strict=True)
            ]
            p50, p99 = (statistics.median(each) for each in zip(*added, strict=True))
            line += f"{p50:>25.2f}{p99:>9.2f}"
        print(line, flush=True)


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    """The milliseconds within which half of the answers came, and 99 of 100; not a number for too few answers."""
    if len(seconds) < 2:
        return math.nan, math.nan
    hundredths = statistics.quantiles(seconds, n=100)
    return hundredths[49] * 1000, hundredths[98] * 1000


def _measure_paced(options: argparse.Namespace, ways: list[Way]) -> None:
    rates: dict[str, list[float]] = {way.name: [] for way in ways[1:]}
    for number in range(options.rounds):
        for way in _in_turn(ways[1:], number):
            streams, seconds = _STREAMS, options.seconds
            if _is_litellm(way):
                streams, seconds = _STREAMS_FOR_LITELLM, max(seconds, _SECONDS_FOR_LITELLM)
            load, spent = run(way, request(way, 500, True, "paced"), streams, seconds, is_endless=True)
            rates[way.name].append(load.events / spent)
    print(
        f"\n{_STREAMS} paced streams ({_STREAMS_FOR_LITELLM} through LiteLLM), each {TICKS_PER_SECOND:.0f} events/s; "
        "events per CPU second:"
    )
    for name, found in rates.items():
        print(f"{name:>32}{statistics.median(found):>14,.0f}", flush=True)


def _is_litellm(way: Way) -> bool:
    return way.name.startswith("litellm")


def _in_turn(ways: list[Way], number: int) -> list[Way]:
    """The ways in their order, and in every second round backwards: what comes first does not stay first."""
    return ways[::-1] if number % 2 else ways


if __name__ == "__main__":
    main()
