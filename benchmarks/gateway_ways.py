"""Ways to one upstream that the gateway's benchmark compares: direct, and through gateways of ours."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.config import children_of
from benchmarks.gateway_peers import Load, make_calls, serve_upstream

TICKS_PER_SECOND = 40.0
KINDS = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_calls",
    "tokens_per_day",
    "tokens_per_month",
    "money_per_month",
)
_MUCH = 10**15
_PATIENCE_SECONDS = 30.0
_TICK = os.sysconf("SC_CLK_TCK")


class Way(NamedTuple):
    """One way to the upstream: its name, port, key, the name of the model, and the process that is measured."""

    name: str
    port: int
    secret: str
    model: str
    pid: int


@contextlib.contextmanager
def upstream() -> Iterator[tuple[int, int]]:
    """An upstream while the block runs: its port, and the id of its process."""
    from launcher.ports import free_port, is_free
    from tests.gateway.proxy_fixtures import wait_until

    port = free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=serve_upstream, args=(port, TICKS_PER_SECOND), daemon=True
    )
    process.start()
    assert process.pid is not None
    try:
        # Before anything else looks for a free port.
        wait_until(lambda: not is_free(port), what="the upstream")
        yield port, process.pid
    finally:
        process.terminate()
        process.join(10)


@contextlib.contextmanager
def gateway(name: str, directory: Path, upstream_port: int, **environment: str) -> Iterator[Way]:
    """A gateway while the block runs, with a key that has six limits which are never reached."""
    from gateway.contract import RouteConfig, TargetConfig
    from tests.gateway.proxy_fixtures import MODEL, Rig, limit

    own = directory / name
    own.mkdir()
    rig = Rig(own, **environment)
    try:
        target = TargetConfig(
            id="bench", addresses=[f"http://127.0.0.1:{upstream_port}/v1"], upstream_model="up"
        )
        rig.routes = [RouteConfig(model=MODEL, modes=["chat"], targets=[target])]
        secret = rig.new_key(limits=[limit(kind, _MUCH) for kind in KINDS])
        yield Way(name, rig.gateway.port, secret, MODEL, rig.gateway.process.popen.pid)
    finally:
        # Workers, if it has any, end with it.
        rig.gateway.process.terminate()
        rig.close()


def request(way: Way, size: int, is_stream: bool, text: str = "Hello") -> bytes:
    """A call as bytes, with a body of about `size` bytes. A `text` that contains `paced` asks for a paced stream."""
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


def run(
    way: Way, call: bytes, connections: int, seconds: float, *, is_endless: bool = False
) -> tuple[Load, float]:
    """Call, after a short warm-up. Return what the callers saw, and the processor seconds of the measured process.

    Args:
        way: whom to call.
        call: the request.
        connections: how many callers, each with one connection.
        seconds: for how long. Calls that have begun then end, because they have cost something.
        is_endless: the answers have no end, and are cut off.
    """
    patience = 0.5 if is_endless else _PATIENCE_SECONDS
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(make_calls, (way.port, call, connections, 0.3, patience))
        before = processor_seconds(way.pid)
        load = pool.apply(make_calls, (way.port, call, connections, seconds, patience))
        # What follows the answers is part of the cost: uploading the usage.
        time.sleep(0.3)
        spent = processor_seconds(way.pid) - before
    assert not load.failed, f"{load.failed} of {load.calls} calls to {way.name} failed"
    return load, spent


def processor_seconds(pid: int) -> float:
    """User and system time of a process, of all its threads, and of its children."""
    total = 0
    for process in (pid, *children_of(pid)):
        with contextlib.suppress(FileNotFoundError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / _TICK
