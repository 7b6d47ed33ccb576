"""Workers and beat as real processes: what is killed in the middle is done afterwards, once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult
from kombu import Connection

from config.celery import app
from deployments import tasks
from deployments.actions import create_deployment, delete_deployment
from deployments.connection import require_usable
from deployments.models import Cluster, Deployment
from tests.factories import ClusterFactory, ModelVersionFactory
from tests.stack import Stack

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def workshop(django_db_setup, django_db_blocker):
    """An engine host, a worker and beat; neither console nor gateway."""
    from tests.databases import renew_clone

    with django_db_blocker.unblock():
        stack = Stack()
        try:
            stack.start_all("engine-host", "worker", "beat")
            stack.wait_until(lambda: "ready." in stack.log("worker"), 60, "the worker being ready")
            yield stack
        finally:
            stack.close()
            renew_clone()


@pytest.fixture
def wanted(workshop):
    """A deployment that nobody has reconciled yet; no engine is left of it afterwards."""
    name = f"engine-{time.monotonic_ns()}"
    deployment = create_deployment(ModelVersionFactory(), ClusterFactory(), 1, name, by=None)
    yield deployment
    delete_deployment(deployment.pk, by=None)
    send(workshop, deployment)
    workshop.wait_until(lambda: not engines_of(deployment), what="the end of the engine")


def test_a_worker_tries_a_cluster_and_the_console_hears_what_it_said(workshop, monkeypatch):
    ask = tasks.try_cluster.apply_async
    with Connection(workshop.broker) as own_queue:
        monkeypatch.setattr(
            tasks.try_cluster, "apply_async", lambda *a, **kw: ask(*a, connection=own_queue, **kw)
        )
        assert require_usable(Cluster(driver="local", namespace="models")).version
        with pytest.raises(ValidationError, match="kubeconfig is not usable"):
            require_usable(
                Cluster(driver="kubernetes", namespace="models", kubeconfig_path="/nowhere/config")
            )
    assert not TaskResult.objects.exists(), "what was said is not kept"


def send(workshop, deployment):
    """Put the message into this stack's own queue; return its id."""
    with Connection(workshop.broker) as connection:
        return tasks.reconcile_deployment.apply_async((str(deployment.pk),), connection=connection).id


def events_of(workshop):
    """What the worker has logged."""
    return [json.loads(line) for line in workshop.log("worker").splitlines() if line.startswith("{")]


def reconciliations(workshop):
    """The ids of the messages by which a deployment was reconciled."""
    task = "deployments.tasks.reconcile_deployment"
    return [
        event["task_id"]
        for event in events_of(workshop)
        if event["event"] == "task_succeeded" and event["task"] == task
    ]


def engines_of(deployment):
    """Pids of the engines that run for `deployment`."""
    name = deployment.version.upstream_name.encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if entry.name.isdigit() and b"deployments.engine" in words and name in words:
                found.append(int(entry.name))
    return found


@contextlib.contextmanager
def cluster_that_thinks(workshop):
    """The driver waits for its lock for as long as this lasts: a reconciliation stands in the middle."""
    state = Path(workshop.environment["ENGINE_STATE_DIR"])
    with open(state / "driver.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def in_the_middle(workshop):
    """The pid of the worker's child that waits inside the cluster's entry point, if there is one."""
    children = Path(f"/proc/{workshop.processes['worker'].pid}/task")
    for thread in children.iterdir():
        for pid in (thread / "children").read_text().split():
            with contextlib.suppress(OSError):
                for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                    if os.readlink(descriptor).endswith("/driver.lock"):
                        return int(pid)
    return None


def is_done(deployment):
    row = Deployment.objects.get(pk=deployment.pk)
    return row.state == Deployment.State.HEALTHY and row.observed_generation == row.generation


def test_a_worker_killed_in_the_middle_of_a_reconcile_leaves_exactly_one_engine(workshop, wanted):
    with cluster_that_thinks(workshop):
        send(workshop, wanted)
        workshop.wait_until(lambda: in_the_middle(workshop), what="a reconciliation in the middle")
        workshop.kill("worker")
    assert not is_done(wanted)
    # Nobody sends the message again: the sweep finds the row.
    workshop.start("worker")
    workshop.wait_until(lambda: is_done(wanted), 60, "the repair by the sweep")
    assert len(engines_of(wanted)) == 1


def test_a_task_whose_process_is_killed_is_delivered_again(workshop, wanted):
    with cluster_that_thinks(workshop):
        sent = send(workshop, wanted)
        child = workshop.wait_until(lambda: in_the_middle(workshop), what="a reconciliation in the middle")
        os.kill(child, signal.SIGKILL)
    workshop.wait_until(lambda: sent in reconciliations(workshop), 60, "the same message, again")
    workshop.wait_until(lambda: is_done(wanted), what="the reconciliation")
    assert len(engines_of(wanted)) == 1


def test_every_clock_that_stands_beside_a_task_is_kept_by_beat(workshop):
    clocks = app.conf.beat_schedule
    assert {"watch-engines", "reconcile-stale-deployments", "announce-what-the-clock-changed"} <= set(clocks)

    def is_kept():
        return set(clocks) <= set(PeriodicTask.objects.values_list("name", flat=True))

    workshop.wait_until(is_kept, what="the schedule in the database")
    assert PeriodicTask.objects.get(name="watch-engines").expire_seconds == 2, "late ticks are dropped"
    for clock in clocks.values():
        assert clock["task"] in app.tasks, "a clock for a task that is not there"


def test_what_a_worker_logs_is_json_with_the_task_and_its_id(workshop, wanted):
    sent = send(workshop, wanted)
    workshop.wait_until(lambda: sent in reconciliations(workshop), what="a line in the log")
    said = {(event.get("task"), event["event"]) for event in events_of(workshop)}
    assert ("deployments.tasks.watch_engines", "task_started") not in said, "ticks are silent"
    assert ("deployments.tasks.watch_engines", "task_succeeded") not in said
