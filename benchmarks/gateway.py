"""Measure what the gateway costs per call: the same upstream called directly and through the gateway, interleaved.

    python -m benchmarks.gateway [--seconds 3] [--rounds 3] [--redis URL]

The key has six limits, one of each kind, so every call is admitted, settled and recorded on disk. Processor time is
the gateway's own (all threads, user and system), from the kernel. The benchmark prints milliseconds of it per call,
plain and streamed (22 events), with bodies of 0.5 and 8 kB; the time until the whole answer with 1, 16 and 256
connections, direct and through the gateway; and how many events of paced streams one core passes on. Each figure is
the median of its rounds. Ratios are comparable between machines.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")
_KINDS = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_calls",
    "tokens_per_day",
    "tokens_per_month",
    "money_per_month",
)
_MUCH = 10**15
_STREAMS = 100
_TICKS_PER_SECOND = 40.0


class Way(NamedTuple):
    """One way to the upstream: its name, port, key, the name of the model, and the process that is measured."""

    name: str
    port: int
    secret: str
    model: str
    pid: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--redis", default="", help="count limits in this server instead of in memory")
    options = parser.parse_args()
    from benchmarks.scratch import install_what_is_missing

    install_what_is_missing()
    with tempfile.TemporaryDirectory() as directory:
        for ways in _running(options, Path(directory)):
            _measure(options, ways)


def _running(options: argparse.Namespace, directory: Path) -> Iterator[list[Way]]:
    """Yield the ways to one upstream once, and end what was started."""
    from benchmarks.gateway_peers import serve_upstream
    from gateway.contract import RouteConfig, TargetConfig
    from tests.gateway.proxy_fixtures import MODEL, Rig, free_port, limit, target

    port = free_port()
    processes = multiprocessing.get_context("spawn")
    upstream = processes.Process(target=serve_upstream, args=(port, _TICKS_PER_SECOND), daemon=True)
    upstream.start()
    environment = {"GATEWAY_REDIS_URL": options.redis} if options.redis else {}
    rig = Rig(directory, **environment)
    try:
        target = TargetConfig(id="bench", addresses=[f"http://127.0.0.1:{port}/v1"], upstream_model="up")
        rig.routes = [RouteConfig(model=MODEL, modes=["chat"], targets=[target])]
        secret = rig.new_key(limits=[limit(kind, _MUCH) for kind in _KINDS])
        assert upstream.pid is not None
        yield [
            Way("direct", port, "", MODEL, upstream.pid),
            Way("gateway", rig.gateway.port, secret, MODEL, rig.gateway.process.popen.pid),
        ]
    finally:
        rig.close()
        upstream.terminate()
        upstream.join(10)


def _measure(options: argparse.Namespace, ways: list[Way]) -> None:
    print(f"{'':32}" + "".join(f"{way.name + ': calls/CPU s':>24}{'CPU ms':>9}" for way in ways))
    for is_stream in (False, True):
        for size in (500, 8000):
            rounds: dict[str, list[float]] = {way.name: [] for way in ways}
            for _ in range(options.rounds):
                for way in ways:
                    load, spent = _run(way, _request(way, size, is_stream), 16, options.seconds)
                    rounds[way.name].append(spent / load.calls)
            name = f"{'22-event stream' if is_stream else 'plain'}, {size / 1000} kB"
            costs = [statistics.median(rounds[way.name]) for way in ways]
            print(f"{name:32}" + "".join(f"{1 / cost:>24,.0f}{cost * 1000:>9.3f}" for cost in costs))
    print(
        f"\n{'answer in ms, plain, 0.5 kB':32}"
        + "".join(f"{way.name + ': p50':>24}{'p99':>9}" for way in ways)
    )
    for connections in (1, 16, 256):
        times: dict[str, list[list[float]]] = {way.name: [] for way in ways}
        for _ in range(options.rounds):
            for way in ways:
                load, _ = _run(way, _request(way, 500, False), connections, options.seconds)
                times[way.name].append(load.seconds)
        line = f"{connections:>4} connections{'':16}"
        for way in ways:
            hundredths = [statistics.quantiles(seconds, n=100) for seconds in times[way.name]]
            p50, p99 = (statistics.median(one[at] * 1000 for one in hundredths) for at in (49, 98))
            line += f"{p50:>24.2f}{p99:>9.2f}"
        print(line)
    through = ways[-1]
    rates = []
    for _ in range(options.rounds):
        load, spent = _run(through, _request(through, 500, True, "paced"), _STREAMS, options.seconds)
        rates.append(load.events / spent)
    offered = int(_STREAMS * _TICKS_PER_SECOND)
    print(
        f"\n{_STREAMS} paced streams, {offered:,} events/s: {statistics.median(rates):,.0f} events per CPU second"
    )


def _request(way: Way, size: int, is_stream: bool, text: str = "Hello") -> bytes:
    message = {"role": "user", "content": text + " word" * ((size - 150) // 5)}
    content: dict[str, Any] = {"model": way.model, "messages": [message], "max_tokens": 100}
    if is_stream:
        content["stream"] = True
    body = json.dumps(content, separators=(",", ":")).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{way.port}\r\nuser-agent: benchmark\r\n"
        f"accept: */*\r\nauthorization: Bearer {way.secret}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _run(way: Way, request: bytes, connections: int, seconds: float) -> tuple[Any, float]:
    """Call, after a short warm-up. Return what the callers saw, and the processor seconds of the measured process."""
    from benchmarks.gateway_peers import make_calls

    processes = multiprocessing.get_context("fork")
    with processes.Pool(1) as pool:
        pool.apply(make_calls, (way.port, request, connections, 0.3))
        before = _processor_seconds(way.pid)
        load = pool.apply(make_calls, (way.port, request, connections, seconds))
        # What follows the answers is part of the cost: uploading the usage.
        time.sleep(0.3)
        spent = _processor_seconds(way.pid) - before
    assert not load.failed, f"{load.failed} of {load.calls} calls failed"
    return load, spent


def _processor_seconds(pid: int) -> float:
    """User and system time of a process and all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


if __name__ == "__main__":
    main()
