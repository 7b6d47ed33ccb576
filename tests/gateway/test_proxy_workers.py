"""Several workers of one gateway: one port, one identity, one count of limits, and a spool each."""

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import orjson
import pytest
import requests

from gateway.contract import Ack
from gateway.proxy.settings import SettingsError, read_settings
from gateway.proxy.siblings import Siblings, forget_reports
from gateway.proxy.workers import left_over
from tests.gateway.proxy_fixtures import MODEL, REPOSITORY, ask, limit, wait_until


def workers_of(gateway):
    """The worker processes, by number."""
    supervisor = gateway.process.popen.pid
    found = {}
    for pid in subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(supervisor)], capture_output=True
    ).stdout.split():
        with contextlib.suppress(OSError):
            environ = Path(f"/proc/{int(pid)}/environ").read_bytes()
            if number := re.search(rb"GATEWAY_WORKER=(\d+)", environ):
                found[int(number[1])] = int(pid)
    return found


@pytest.fixture
def two(new_rig, limits_server):
    """A rig whose gateway has two workers, both with the configuration."""

    def build(*engine_options, **environment):
        rig = new_rig(
            *engine_options, GATEWAY_WORKERS="2", GATEWAY_REDIS_URL=limits_server.url, **environment
        )
        wait_until(lambda: rig.gateway.process.output().count('"config_applied"') >= 2, what="both workers")
        return rig

    return build


def call_at_once(rig, secret, callers, times=1, **body):
    """Calls of many callers, each over its own connection; returns the statuses."""
    data = orjson.dumps(
        {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1, **body}
    )
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    url = f"{rig.gateway.url}/v1/chat/completions"

    async def caller():
        statuses = []
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
            for _ in range(times):
                async with session.post(url, data=data, headers=headers) as answer:
                    await answer.read()
                    statuses.append(answer.status)
        return statuses

    async def all_of_them():
        found = await asyncio.gather(*(caller() for _ in range(callers)))
        return [status for statuses in found for status in statuses]

    return asyncio.run(all_of_them())


def test_200_callers_over_two_workers_pass_as_often_as_the_limit_says(two):
    rig = two()
    secret = rig.new_key(limits=[limit("requests_per_minute", 150), limit("tokens_per_day", 10**9)])
    statuses = call_at_once(rig, secret, 200)
    assert sorted(set(statuses)) == [200, 429]
    assert statuses.count(200) == 150
    assert len(rig.events(secret, 150)) == 150
    # Both workers have served, and any of them speaks for both.
    pattern = rf'llm_requests_total{{worker="(\d)",model="{MODEL}",status="ok"}} (\d+)'

    def are_counted():
        # A busy worker may be missing for a moment.
        served = [
            int(number) for _, number in re.findall(pattern, requests.get(f"{rig.gateway.url}/metrics").text)
        ]
        return len(served) == 2 and min(served) > 0 and sum(served) == 150

    wait_until(are_counted, what="the metrics of both workers")
    wait_until(lambda: rig.control.acks[-1].counters["ok"] == 150, what="an acknowledgement of both")
    assert rig.control.acks[-1].counters["refused"] == 50


def test_concurrent_calls_of_two_workers_share_their_slots(two):
    rig = two("--latency-ms", "1500")
    secret = rig.new_key(limits=[limit("concurrent_calls", 20)])
    statuses = call_at_once(rig, secret, 60)
    assert (statuses.count(200), statuses.count(429)) == (20, 40)


def test_a_killed_worker_comes_back_and_sends_what_it_had_recorded(two):
    rig = two()
    secret = rig.new_key()
    rig.control.usage_status = 503
    assert set(call_at_once(rig, secret, 40)) == {200}
    spools = [rig.gateway.state / "spool", rig.gateway.state / "workers" / "2" / "spool"]
    assert all(any(spool.glob("*.spool")) for spool in spools)
    before = workers_of(rig.gateway)
    assert sorted(before) == [1, 2]
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: set(workers_of(rig.gateway)) == {1, 2} and workers_of(rig.gateway) != before,
        what="new workers",
    )
    rig.control.usage_status = None
    assert len(rig.events(secret, 40)) == 40
    wait_until(lambda: rig.gateway.status("/readyz") == 200, what="readiness")
    assert rig.gateway.process.popen.poll() is None
    assert '"event":"worker_ended"' in rig.gateway.process.output()


def test_on_sigterm_streams_of_all_workers_finish_and_the_gateway_ends_well(two):
    rig = two("--token-ms", "30")
    secret = rig.new_key()
    streams = [ask(rig.gateway.client(secret), stream=True, max_tokens=40) for _ in range(8)]
    for stream in streams:
        next(stream)
    rig.gateway.process.popen.send_signal(signal.SIGTERM)
    for stream in streams:
        assert list(stream)[-1].choices[0].finish_reason == "length"
    assert rig.gateway.process.popen.wait(60) == 0
    assert {event.status for event in rig.events(secret, 8)} == {"ok"}


def test_the_spool_of_a_worker_that_runs_no_more_is_sent(two):
    rig = two()
    secret = rig.new_key()
    rig.control.usage_status = 503
    assert set(call_at_once(rig, secret, 40)) == {200}
    assert rig.gateway.process.terminate() == 0
    assert any((rig.gateway.state / "workers" / "2" / "spool").glob("*.spool"))
    rig.control.usage_status = None
    del rig.gateway.environment["GATEWAY_WORKERS"]
    rig.gateway.start()
    assert len(rig.events(secret, 40)) == 40
    wait_until(lambda: 2 not in workers_of(rig.gateway), what="the end of the process that sent it")
    assert not any((rig.gateway.state / "workers" / "2" / "spool").glob("*.spool"))


def test_no_other_gateway_starts_while_a_worker_lives(two):
    rig = two("--token-ms", "30")
    secret = rig.new_key()
    stream = ask(rig.gateway.client(secret), stream=True, max_tokens=100)
    next(stream)
    rig.gateway.process.kill()  # the supervisor: its workers finish their calls
    with (rig.gateway.state / "lock").open() as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert list(stream)[-1].choices[0].finish_reason == "length"
        wait_until(lambda: is_free(lock), what="the end of the workers")
    rig.gateway.start()
    assert ask(rig.gateway.client(secret))


def is_free(lock):
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True


def environment(**changes):
    from core.secrets import GATEWAY_TOKEN, new_secret

    return {
        "GATEWAY_ID": "gw",
        "GATEWAY_TOKEN": new_secret(GATEWAY_TOKEN),
        "GATEWAY_CONTROL_URL": "http://127.0.0.1:1",
        "GATEWAY_STATE_DIR": "/nowhere",
        **changes,
    }


def test_without_a_redis_a_second_worker_is_refused_with_a_sentence():
    with pytest.raises(
        SettingsError, match=r"GATEWAY_WORKERS=2 needs GATEWAY_REDIS_URL: .* allow every limit"
    ):
        read_settings(environment(GATEWAY_WORKERS="2"))
    assert read_settings(environment(GATEWAY_WORKERS="1")).workers == 1
    assert read_settings(environment(GATEWAY_WORKERS="2", GATEWAY_REDIS_URL="redis://h")).workers == 2


def test_nobody_but_the_supervisor_makes_a_worker(tmp_path):
    wrong = environment(GATEWAY_STATE_DIR=str(tmp_path), GATEWAY_WORKER="1", GATEWAY_WORKER_LOCK="0")
    refused = subprocess.run(
        [sys.executable, "-m", "gateway.proxy"],
        env={**os.environ, **wrong},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "Set GATEWAY_WORKERS instead" in refused.stderr


def test_only_spools_with_usage_of_workers_that_run_no_more_are_left_over(tmp_path):
    settings = read_settings(
        environment(GATEWAY_STATE_DIR=str(tmp_path), GATEWAY_WORKERS="2", GATEWAY_REDIS_URL="redis://h")
    )
    assert left_over(settings) == []
    for name in ("2", "3", "4", "reports"):
        (tmp_path / "workers" / name / "spool").mkdir(parents=True)
    for name in ("2", "3", "reports"):
        (tmp_path / "workers" / name / "spool" / "000000000001.spool").write_bytes(b"x")
    assert left_over(settings) == [3]


def ack(revision, **changes):
    fields = {"started_at": "2026-01-01T00:00:00Z", "spool_pending": 1, "counters": {"ok": 2}, "version": "1"}
    return Ack(revision=revision, **{**fields, **changes})


def test_a_report_speaks_for_all_workers_that_are_alive(tmp_path):
    def metrics(number):
        return lambda: b'# HELP a Text {\n# TYPE a counter\na %d\na_b{c="{d"} 1\n' % number

    one, two, three = (Siblings(tmp_path, number, metrics(number)) for number in (1, 2, 3))
    assert one.acknowledge(ack(7)) == ack(7)
    two.acknowledge(ack(6, problem="P.", started_at="2026-01-02T00:00:00Z"))
    three.acknowledge(ack(5))
    os.utime(tmp_path / "workers" / "reports" / "3.ack", (0, 0))
    os.utime(tmp_path / "workers" / "reports" / "3.metrics", (0, 0))
    assert one.acknowledge(ack(7, counters={"ok": 1, "active": 4})) == ack(
        6, problem="P.", started_at="2026-01-02T00:00:00Z", spool_pending=2, counters={"ok": 3, "active": 4}
    )
    assert one.exposition().decode().splitlines() == [
        "# HELP a Text {",
        "# TYPE a counter",
        'a{worker="1"} 1',
        'a_b{worker="1",c="{d"} 1',
        'a{worker="2"} 2',
        'a_b{worker="2",c="{d"} 1',
    ]
    forget_reports(tmp_path, 2)
    assert one.acknowledge(ack(7)) == ack(7)


def test_reports_on_a_full_disk_stop_nobody(tmp_path):
    (tmp_path / "workers").write_bytes(b"no folder")
    assert Siblings(tmp_path, 1, lambda: b"").acknowledge(ack(7)) == ack(7)
