"""Measure what limits cost a call: admitting and settling under 1 to 20 of them, in memory and in a Valkey.

    python -m benchmarks.limits [--calls 4000] [--callers 16] [--rounds 3]

No gateway and no HTTP: a limiter, in the event loop that the gateway uses, with a Valkey of its own beside it. Numbers
are microseconds of processor time for one call, admitted and settled, from the kernel: of this process, and of the
Valkey. Each round measures everything once, and the best round counts, because others use the machine too. The
difference between the two limiters is what sharing limits costs the gateway.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from gateway.contract import LimitConfig, LimitKind
from gateway.proxy.limits import EstimatedUsage, Limiter, MemoryLimiter
from gateway.proxy.limits_redis import RedisLimiter
from gateway.proxy.metrics import Metrics
from launcher.ports import free_port
from launcher.running import RunningServer
from launcher.valkey import EmbeddedValkey

NUMBERS = (1, 2, 6, 12, 20)
KINDS: tuple[LimitKind, ...] = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_calls",
    "tokens_per_day",
    "tokens_per_month",
    "money_per_month",
)
ESTIMATE = EstimatedUsage(120, 1024, is_output_named=False, input_nano=120_000, output_nano=4_096_000)
TENANT = "01890b1c-2d3e-7f40-8a5b-6c7d8e9f0a1b"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=4000, help="in each round")
    parser.add_argument("--callers", type=int, default=16, help="calls at the same time")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with valkey() as server:
        uvloop.run(measure(server, options.calls, options.callers, options.rounds))


async def measure(server: EmbeddedValkey, calls: int, callers: int, rounds: int) -> None:
    """Measure and print, a line for each number of limits."""
    print(
        f"{callers} callers, {calls:,} calls a round, µs of processor time per call; best of {rounds} rounds"
    )
    print(f"{'limits':>8}{'memory':>10}{'Valkey':>10}{'difference':>12}{'Valkey itself':>16}")
    for number in NUMBERS:
        limits = [new_limit(one) for one in range(number)]
        shared = RedisLimiter(server.url(), Metrics())
        local, remote, beside = [], [], []
        for _ in range(rounds):
            local.append(await cost(MemoryLimiter(), limits, calls, callers))
            before = processor_seconds(server)
            remote.append(await cost(shared, limits, calls, callers))
            beside.append((processor_seconds(server) - before) / calls * 1e6)
        await shared.close()
        difference = min(remote) - min(local)
        print(f"{number:>8}{min(local):>10.1f}{min(remote):>10.1f}{difference:>12.1f}{min(beside):>16.1f}")


async def cost(limiter: Limiter, limits: list[LimitConfig], calls: int, callers: int) -> float:
    """Microseconds of this process for one call."""

    async def call(times: int) -> None:
        for _ in range(times):
            reservation = await limiter.admit(limits, ESTIMATE, TENANT)
            await limiter.settle(reservation, 700, 2_000_000)

    await call(20)
    began = time.process_time()
    await asyncio.gather(*(call(calls // callers) for _ in range(callers)))
    return (time.process_time() - began) / (calls // callers * callers) * 1e6


def new_limit(number: int) -> LimitConfig:
    """A limit that is never reached; its kind depends on its number."""
    return LimitConfig(
        id=f"01890b1c-2d3e-7f40-8a5b-{number:012x}",
        scope="project",
        scope_id="01890b1c-2d3e-7f40-8a5b-6c7d8e9f0a1c",
        kind=KINDS[number % len(KINDS)],
        value=10**12,
        time_zone="Europe/Berlin",
    )


def processor_seconds(server: EmbeddedValkey) -> float:
    """What the server has used of processors."""
    fields = Path(f"/proc/{PIDS[server.port]}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


PIDS: dict[int, int] = {}


@contextlib.contextmanager
def valkey() -> Iterator[EmbeddedValkey]:
    """A Valkey that keeps nothing and ends with the benchmark."""
    with tempfile.TemporaryDirectory() as directory, (Path(directory) / "log").open("wb") as log:
        server = EmbeddedValkey(
            Path(directory) / "valkey", port=free_port(), password=secrets.token_urlsafe(16), durable=False
        )
        running = RunningServer(server, log)
        PIDS[server.port] = running.process.pid
        try:
            yield server
        finally:
            running.stop()


if __name__ == "__main__":
    main()
