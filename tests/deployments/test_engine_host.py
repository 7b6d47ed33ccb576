"""The engine host keeps engines running, whatever happens to them, to it or to those who ask."""

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from deployments.cluster.base import PermanentClusterError, TemporaryClusterError
from deployments.cluster.local import LocalCluster
from deployments.engine_host.engine import bound_log
from deployments.engine_host.state import StateDirectory, is_running, read_document
from deployments.manifests import RuntimeSpec, engine_manifests
from launcher.processes import MARKER, marked_processes
from tests.deployments.cluster_fixtures import (
    ROOT,
    STUB_ID,
    Arena,
    Host,
    ask,
    eventually,
    with_args,
)

pytest_plugins = ["tests.deployments.cluster_plugin"]


@pytest.fixture
def local(local_arena):
    return local_arena


def running(arena, spec=None):
    """Apply, wait, and ask the one engine what it is."""
    arena.apply(spec or arena.spec)
    return ask(arena.settled(spec or arena.spec).endpoints[0])


def ended(pid):
    return eventually(lambda: not is_running(pid), within_seconds=5)


def problem_of(arena, kind):
    def claim():
        return next((problem for problem in arena.observe().problems if problem.type == kind), None)

    return eventually(claim)


def replicas_of(host, arena):
    state = StateDirectory(host.state_dir)
    return read_document(state.observed / f"{arena.spec.namespace}__{arena.spec.name}.json")["replicas"]


def test_a_killed_engine_comes_back_at_the_same_address_and_is_counted(local, engine_host):
    first = running(local)
    endpoint = local.observe().endpoints[0]
    os.kill(first["pid"], 9)
    eventually(lambda: ask(endpoint)["pid"] != first["pid"] if local.observe().endpoints else False)
    (replica,) = replicas_of(engine_host, local)
    assert replica["restarts"] == 1
    assert replica["last_exit"] == "was killed by SIGKILL"
    assert local.observe().problems == ()


def test_when_the_host_is_killed_its_engines_die_and_the_next_host_starts_them_again(
    own_local_arena, own_engine_host
):
    local, host = own_local_arena, own_engine_host
    first = running(local)
    endpoints = local.observe().endpoints
    host.kill()
    ended(first["pid"])
    with pytest.raises(TemporaryClusterError, match="engine host is not running"):
        local.observe()
    host.start()
    assert local.settled(local.spec).endpoints == endpoints
    assert ask(endpoints[0])["pid"] != first["pid"]


def test_when_the_host_is_told_to_stop_it_stops_every_engine_first(own_local_arena, own_engine_host):
    local, host = own_local_arena, own_engine_host
    two = replace(local.spec, replicas=2)
    local.apply(two)
    pids = [ask(endpoint)["pid"] for endpoint in local.settled(two).endpoints]
    assert host.stop() == 0
    assert [is_running(pid) for pid in pids] == [False, False]
    with pytest.raises(TemporaryClusterError, match="engine host is not running"):
        local.observe()


def test_a_wish_made_while_the_host_is_away_is_kept(own_local_arena, own_engine_host):
    local, host = own_local_arena, own_engine_host
    host.stop()
    with pytest.raises(TemporaryClusterError, match="engine host is not running"):
        local.apply(local.spec)
    host.start()
    assert local.settled(local.spec).ready_replicas == 1
    host.stop()
    with pytest.raises(TemporaryClusterError):
        local.delete()
    host.start()
    local.gone()


def test_a_host_that_cannot_write_what_it_sees_leaves_its_engines_alone(own_local_arena, own_engine_host):
    """As on a full disk; here something is in the place of its file."""
    local, host = own_local_arena, own_engine_host
    engine = running(local)
    in_the_way = StateDirectory(host.state_dir).host_file

    def is_blocked():
        with contextlib.suppress(OSError):
            in_the_way.unlink()
            in_the_way.mkdir()
        return in_the_way.is_dir()

    eventually(is_blocked)
    time.sleep(2.5)  # some beats later
    assert host.process.poll() is None
    assert is_running(engine["pid"])
    in_the_way.rmdir()
    eventually(lambda: in_the_way.is_file())
    assert running(local)["pid"] == engine["pid"]


def test_one_state_directory_has_one_host(engine_host):
    command = [sys.executable, "-m", "deployments.engine_host", "--state-dir", str(engine_host.state_dir)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert f"Process {engine_host.process.pid} already runs the engines" in second.stderr


def test_an_engine_that_ends_at_once_is_tried_again_ever_more_slowly_and_says_why(local):
    local.apply(with_args(local.spec, "--say", "no such weights", "--exit-code", "3"))
    problem = problem_of(local, "Crashing")
    assert "exited with code 3" in problem.message
    assert 'Its last line: "no such weights"' in problem.message
    eventually(lambda: "pause of 0.2 s" in problem_of(local, "Crashing").message)
    seen = local.observe()
    assert (seen.ready_replicas, seen.is_settled, seen.endpoints) == (0, False, ())


def test_an_engine_that_ends_in_silence_is_not_quoted_with_the_words_of_another(local):
    running(local, with_args(local.spec, "--say", "all is well"))
    local.apply(with_args(local.spec, "--exit-code", "1"))
    eventually(lambda: "2 time(s)" in problem_of(local, "Crashing").message)
    assert "Its last line" not in problem_of(local, "Crashing").message


def test_a_program_that_is_not_there_is_named(local):
    runtime = RuntimeSpec(image="registry.example/vllm:1", command=("no-such-engine", "--port", "{port}"))
    local.apply(replace(local.spec, runtime=runtime))
    assert "'no-such-engine': No such file or directory" in problem_of(local, "CannotStart").message


def test_a_runtime_that_only_names_an_image_is_refused(local):
    image_only = replace(local.spec, runtime=RuntimeSpec(image="registry.example/engine:1"))
    with pytest.raises(PermanentClusterError, match="give the runtime a command"):
        local.apply(image_only)


def test_a_change_never_leaves_callers_without_an_engine(local):
    assert "--say" not in running(local)["argv"]
    changed = with_args(local.spec, "--say", "new")
    seen = local.apply(changed)
    while not seen.is_settled:
        assert seen.endpoints
        seen = local.observe()
    assert "--say" in ask(seen.endpoints[0])["argv"]


def test_a_change_that_does_not_start_leaves_the_old_engine_serving(local):
    first = running(local)
    local.apply(with_args(local.spec, "--exit-code", "1"))
    problem_of(local, "Crashing")
    seen = local.observe()
    assert (seen.ready_replicas, seen.is_settled) == (1, False)
    assert ask(seen.endpoints[0])["pid"] == first["pid"]
    local.apply(local.spec)
    assert ask(local.settled(local.spec).endpoints[0])["pid"] == first["pid"]


def test_a_replaced_engine_serves_on_for_a_while_after_it_left_the_list(tmp_path):
    host = Host(tmp_path / "engines", "--drain-seconds", "1").start()
    try:
        arena = Arena(LocalCluster(host.state_dir))
        old = running(arena)
        old_endpoint = arena.observe().endpoints[0]
        running(arena, with_args(arena.spec, "--say", "new"))
        assert old_endpoint not in arena.observe().endpoints
        assert ask(old_endpoint)["pid"] == old["pid"]
        ended(old["pid"])
    finally:
        host.stop()


def with_probe_periods(spec, *, startup_failures=30):
    """Manifests that are probed every second, so that a test need not wait long."""
    deployment, service = engine_manifests(spec)
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["startupProbe"] |= {"periodSeconds": 1, "failureThreshold": startup_failures}
    container["readinessProbe"] |= {"periodSeconds": 1}
    container["livenessProbe"] |= {"periodSeconds": 1, "failureThreshold": 4}
    return [deployment, service]


def test_an_engine_that_falls_ill_gets_no_calls_and_is_restarted_unless_it_recovers(
    local, engine_host, tmp_path
):
    illness = tmp_path / "ill"
    spec = with_args(local.spec, "--sick-file", str(illness))
    local.cluster.apply(with_probe_periods(spec))
    first = ask(local.settled(spec).endpoints[0])

    illness.touch()
    eventually(lambda: local.observe().endpoints == ())
    illness.unlink()
    assert ask(local.settled(spec).endpoints[0])["pid"] == first["pid"]

    illness.touch()
    ended_in_seconds = 15
    eventually(lambda: not is_running(first["pid"]), ended_in_seconds)
    eventually(lambda: replicas_of(engine_host, local)[0]["last_exit"] == "stopped answering its health path")


def test_an_engine_that_never_becomes_healthy_is_given_up_in_time(local, tmp_path):
    illness = tmp_path / "ill"
    illness.touch()
    spec = with_args(local.spec, "--sick-file", str(illness))
    local.cluster.apply(with_probe_periods(spec, startup_failures=1))
    assert "gave no healthy answer within 1 s" in problem_of(local, "Crashing").message


def test_engines_see_no_secret_of_ours(local):
    runtime = replace(local.spec.runtime, env={"HF_HUB_OFFLINE": "1"})
    environment = running(local, replace(local.spec, runtime=runtime))["env"]
    assert "SECRET_KEY" not in environment
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["HOME"].endswith("/home")
    assert environment["ENGINE_HOST"] == "127.0.0.1"


def test_engines_carry_the_mark_by_which_a_demo_sweeps_up(tmp_path, monkeypatch):
    """What an engine starts itself survives a killed host; the launcher finds it by this variable."""
    monkeypatch.setenv(MARKER, f"{tmp_path}#run")
    host = Host(tmp_path / "engines").start()
    try:
        engine = running(Arena(LocalCluster(host.state_dir)))
        assert engine["pid"] in set(marked_processes(f"{tmp_path}#"))
    finally:
        host.stop()


def test_gpus_are_handed_out_once(local, free_gpus):
    def one_gpu(name):
        return replace(local.spec, name=name, gpus_per_replica=1)

    def visible(name):
        seen = local.cluster.observe(local.spec.namespace, name, local.spec.deployment_id)
        return ask(seen.endpoints[0])["env"]["CUDA_VISIBLE_DEVICES"] if seen.endpoints else None

    for name in ("first", "second", "third"):
        local.apply(one_gpu(name))
        if name != "third":
            eventually(lambda name=name: visible(name) is not None)
    assert {visible("first"), visible("second")} == {"0", "1"}

    third = local.cluster.observe(local.spec.namespace, "third", local.spec.deployment_id)
    assert third.ready_replicas == 0
    assert problem_type(local, "third") == "Unschedulable"
    local.cluster.delete(local.spec.namespace, "first", local.spec.deployment_id)
    assert eventually(lambda: visible("third")) in {"0", "1"}
    assert visible("third") != visible("second")
    for name in ("second", "third"):
        local.cluster.delete(local.spec.namespace, name, local.spec.deployment_id)


def problem_type(arena, name):
    spec = arena.spec
    seen = eventually(lambda: arena.cluster.observe(spec.namespace, name, spec.deployment_id).problems)
    return seen[0].type


def test_a_worker_killed_while_applying_harms_nothing(local, engine_host):
    script = """
import pathlib, sys
from deployments.cluster.local import LocalCluster
from deployments.manifests import engine_manifests
from tests.deployments.cluster_fixtures import engine_spec, with_args
cluster, namespace = LocalCluster(pathlib.Path(sys.argv[1])), sys.argv[2]
spec = engine_spec(namespace=namespace, deployment_id=sys.argv[3])
number = 0
while True:
    number += 1
    cluster.apply(engine_manifests(with_args(spec, "--say", str(number))))
    print(number, flush=True)
"""
    ids = [local.spec.namespace, local.spec.deployment_id]
    for kills in range(4):
        command = [sys.executable, "-c", script, str(engine_host.state_dir), *ids]
        worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        worker.stdout.readline()
        time.sleep(0.01 * kills)  # another moment each time
        worker.kill()
        worker.wait()
        worker.stdout.close()
    final = with_args(local.spec, "--say", "final")
    local.apply(final)
    assert ask(local.settled(final).endpoints[0])["argv"][-1] == "final"


def test_half_written_files_are_not_read_and_are_swept_away(own_local_arena, own_engine_host):
    local, host = own_local_arena, own_engine_host
    running(local)
    leftover = StateDirectory(host.state_dir).desired / "tmpabc.tmp"
    leftover.write_text('{"uid": "x", "manif')
    host.stop()
    host.start()
    assert local.settled(local.spec).ready_replicas == 1
    assert not leftover.exists()


def test_names_cannot_lead_out_of_the_state_directory(local):
    with pytest.raises(PermanentClusterError, match="is not a name"):
        local.cluster.observe("..", "passwd", STUB_ID)
    with pytest.raises(PermanentClusterError, match="is not a name"):
        local.cluster.delete("a/b", "c", STUB_ID)


def test_what_an_engine_prints_is_kept_and_bounded(local, engine_host, tmp_path):
    running(local, with_args(local.spec, "--say", "loading weights"))
    folder = StateDirectory(engine_host.state_dir).logs / f"{local.spec.namespace}__{local.spec.name}"
    assert (folder / "0.log").read_text().startswith("loading weights")

    log = tmp_path / "1.log"
    with open(log, "ab") as writer:
        writer.write(b"x" * 1000)
        writer.flush()
        bound_log(log, 500)
        writer.write(b"after")
        writer.flush()
    assert log.read_bytes() == b"after"
    assert (tmp_path / "1.log.1").stat().st_size == 1000
