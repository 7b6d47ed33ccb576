"""Time how long small calls wait beside prompts of 7 MB: one gateway, a backend and callers, each in its own process.

    python -m benchmarks.large_calls [--seconds 10] [--megabytes 7] [--rounds 3]

One caller makes up to a hundred small calls a second, first alone, then while another caller sends large prompts one
after another. The two alternate, and the best round of each counts. The benchmark prints the time until the whole
answer, in milliseconds, as the median, the 99th percentile and the maximum of the small calls, and the large calls
completed per second. Times are by the clock, so it needs two idle cores.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

PER_SECOND = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--megabytes", type=float, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    from benchmarks.scratch import install_what_is_missing

    install_what_is_missing()
    processes = multiprocessing.get_context("spawn")
    there, stop = processes.Queue(), processes.Event()
    serving = processes.Process(target=serve, args=(there, stop), daemon=True)
    serving.start()
    try:
        with tempfile.TemporaryDirectory() as directory:
            measure(options, there.get(timeout=60), Path(directory))
    finally:
        stop.set()
        serving.join(10)


def serve(there: Any, stop: Event) -> None:
    """Run a backend that reads every call and always gives the same answer."""
    from tests.gateway.scripted_backend import ScriptedBackend, plain

    backend = ScriptedBackend()
    backend.says(plain())
    there.put(backend.backend())
    while not stop.wait(0.2):
        backend.asked.clear()
    backend.close()


def measure(options: argparse.Namespace, backend: Any, directory: Path) -> None:
    from gateway.contract import RouteConfig, SettingsConfig
    from tests.gateway.proxy_fixtures import MODEL, Rig

    rig = Rig(directory)
    try:
        rig.routes = [RouteConfig(model=MODEL, modes=["chat"], targets=[backend])]
        rig.settings = SettingsConfig(max_body_bytes=8 * 1024 * 1024)
        secret = rig.new_key()
        large = body(MODEL, "Once upon a time. " * int(options.megabytes * 1_000_000 / 18))
        call(rig.gateway.port, secret, large)
        found: dict[str, list[tuple[float, float, float, float]]] = {"alone": [], "beside large calls": []}
        processes = multiprocessing.get_context("spawn")
        for _ in range(options.rounds):
            for name, rounds in found.items():
                stop, sent = processes.Event(), processes.Value("i", 0)
                sender = processes.Process(
                    target=send, args=(rig.gateway.port, secret, large, stop, sent), daemon=True
                )
                if name != "alone":
                    sender.start()
                    while not sent.value:
                        time.sleep(0.05)
                before, began = sent.value, time.perf_counter()
                waits = ask(rig.gateway.port, secret, body(MODEL, "Hello"), options.seconds)
                through = (sent.value - before) / (time.perf_counter() - began)
                if name != "alone":
                    stop.set()
                    sender.join(30)
                hundredths = statistics.quantiles(waits, n=100)
                rounds.append((hundredths[98], statistics.median(waits), max(waits), through))
        print(f"{'small calls':22}{'median':>9}{'99 %':>9}{'slowest':>9}{'large calls/s':>15}   milliseconds")
        for name, rounds in found.items():
            most, median, slowest, through = min(rounds)
            print(f"{name:22}{median:>9.1f}{most:>9.1f}{slowest:>9.1f}{through:>15.1f}")
    finally:
        rig.close()


def body(model: str, text: str) -> bytes:
    """Return the body of a chat call."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()


def call(port: int, secret: str, content: bytes) -> None:
    """Make one call. Raises AssertionError if its status is not 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", content, headers)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    assert answer.status == 200, said


def ask(port: int, secret: str, content: bytes, seconds: float) -> list[float]:
    """Call for `seconds`, up to a hundred times a second, one call at a time. Return the milliseconds of each."""
    waits = []
    begun = time.perf_counter()
    due = begun
    while due < begun + seconds:
        time.sleep(max(0.0, due - time.perf_counter()))
        asked = time.perf_counter()
        call(port, secret, content)
        waits.append((time.perf_counter() - asked) * 1000)
        due = max(due + 1 / PER_SECOND, time.perf_counter())
    return waits


def send(port: int, secret: str, content: bytes, stop: Event, sent: Any) -> None:
    """Send one large call after another until `stop` is set."""
    while not stop.is_set():
        call(port, secret, content)
        sent.value += 1


if __name__ == "__main__":
    main()
