"""What many keys cost a whole gateway: start, memory, and the change of one key while others call."""

from __future__ import annotations

import http.client
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any

import requests

from benchmarks.config import resident_megabytes
from benchmarks.gateway_console import MODEL, console
from benchmarks.gateway_peers import make_calls
from benchmarks.gateway_ways import Way, processor_seconds, request, upstream

_CALLERS = 16
_BETWEEN_CHANGES_SECONDS = 0.2


def measure_keys(directory: Path, numbers: list[int], changes: int) -> None:
    """Measure gateways with so many keys one after the other, and print a line for each.

    Args:
        directory: for the gateways' state.
        numbers: of keys.
        changes: of one key that are timed.
    """
    print(
        f"\n{'keys':>9}{'fetched in s':>14}{'CPU s':>8}{'read in s':>11}{'CPU s':>8}{'MB':>7}{'most':>7}"
        f"{'key in force, ms: p50':>23}{'worst':>8}{'longest wait of a caller, ms':>30}{'without changes':>17}"
    )
    with upstream() as (port, _):
        for keys in numbers:
            own = directory / f"keys-{keys}"
            own.mkdir()
            _measure(own, keys, changes, port)


def _measure(directory: Path, keys: int, changes: int, upstream_port: int) -> None:
    from core.secrets import new_key_secret
    from tests.gateway.proxy_fixtures import Gateway

    secrets = [new_key_secret(), new_key_secret()]
    with console(keys, secrets, upstream_port) as control:
        gateway = Gateway(control, directory)
        try:
            fetched = _started(gateway)
            gateway.process.terminate()
            read = _started(gateway)
            pid = gateway.process.popen.pid
            now, most = resident_megabytes(pid), resident_megabytes(pid, "VmHWM")
            steady, changing = (Way("keys", gateway.port, secret, MODEL, pid) for secret in secrets)
            seconds = changes * _BETWEEN_CHANGES_SECONDS
            with multiprocessing.get_context("fork").Pool(1) as pool:
                call = (gateway.port, request(steady, 500, False), _CALLERS)
                quiet = pool.apply(make_calls, (*call, seconds))
                calling = pool.apply_async(make_calls, (*call, seconds + 1))
                time.sleep(0.5)
                times = [_change(control, changing) for _ in range(changes)]
                busy = calling.get()
            assert quiet.failed == busy.failed == 0
            print(
                f"{keys:>9,}{fetched[0]:>14.1f}{fetched[1]:>8.1f}{read[0]:>11.1f}{read[1]:>8.1f}{now:>7.0f}{most:>7.0f}"
                f"{statistics.median(times) * 1000:>23.1f}{max(times) * 1000:>8.1f}"
                f"{max(busy.seconds) * 1000:>30.1f}{max(quiet.seconds) * 1000:>17.1f}",
                flush=True,
            )
        finally:
            gateway.process.kill()


def _started(gateway: Any) -> tuple[float, float]:
    """Start a gateway: the seconds until it was ready by the clock, and of processor time."""
    began = time.perf_counter()
    gateway.start()
    return time.perf_counter() - began, processor_seconds(gateway.process.popen.pid)


def _change(control: Any, way: Way) -> float:
    """Open or close a key: the seconds from the change until the gateway's answers show it."""
    connection = http.client.HTTPConnection("127.0.0.1", way.port, timeout=30)
    body = request(way, 500, False).partition(b"\r\n\r\n")[2]
    headers = {"authorization": f"Bearer {way.secret}", "content-type": "application/json"}
    began = time.perf_counter()
    is_open = requests.post(f"{control.url}/change", timeout=30).json()["is_open"]
    while True:
        connection.request("POST", "/v1/chat/completions", body, headers)
        answer = connection.getresponse()
        answer.read()
        if (answer.status == 200) is is_open:
            break
        assert time.perf_counter() - began < 30, "the change never came into force"
    seconds = time.perf_counter() - began
    connection.close()
    time.sleep(_BETWEEN_CHANGES_SECONDS / 2)
    return seconds
