"""What the memory cluster can be told, so that other tests meet a cluster's bad days."""

from dataclasses import replace

import pytest

from deployments.cluster.base import (
    Condition,
    ConditionType,
    PermanentClusterError,
    TemporaryClusterError,
)
from deployments.cluster.memory import MemoryCluster
from tests.deployments.cluster_fixtures import Arena


@pytest.fixture
def arena():
    return Arena(MemoryCluster(endpoint="http://127.0.0.1:4711"))


def test_a_cluster_told_to_be_away_is_a_temporary_error(arena):
    arena.apply(arena.spec)
    arena.cluster.is_away = True
    for ask in (
        lambda: arena.apply(arena.spec),
        arena.observe,
        arena.delete,
        lambda: arena.cluster.check("lab"),
    ):
        with pytest.raises(TemporaryClusterError):
            ask()
    arena.cluster.is_away = False
    assert arena.observe().is_settled


def test_a_denied_permission_is_a_permanent_error_that_names_it(arena):
    arena.cluster.denied = {"patch deployments.apps"}
    with pytest.raises(PermanentClusterError, match=r"may not patch deployments\.apps"):
        arena.apply(arena.spec)
    assert arena.cluster.check("lab").missing_permissions == ("patch deployments.apps",)


def test_a_problem_keeps_a_deployment_from_becoming_ready(arena):
    trouble = Condition(ConditionType.IMAGE_PULL, "True", "ErrImagePull", "No such image.")
    arena.cluster.problems[arena.spec.namespace, arena.spec.name] = trouble
    seen = arena.apply(arena.spec)
    assert (seen.ready_replicas, seen.endpoints, seen.problems) == (0, (), (trouble,))


def test_the_endpoint_can_be_a_real_server_of_the_test(arena):
    assert arena.apply(arena.spec).endpoints == ("http://127.0.0.1:4711",)


def test_what_was_applied_first_keeps_its_gpus(arena):
    first = replace(arena.spec, gpus_per_replica=16)
    second = replace(first, name="second", deployment_id="second")
    assert arena.apply(first).is_settled
    assert arena.apply(second).problems[0].type == "Unschedulable"
    arena.delete()
    assert arena.cluster.observe(second.namespace, second.name, second.deployment_id).is_settled
    assert arena.cluster.names() == [(second.namespace, second.name)]


def test_asks_and_changes_are_counted_apart(arena):
    arena.apply(arena.spec)
    assert arena.cluster.changes == 1
    arena.apply(arena.spec)
    assert (arena.cluster.applies, arena.cluster.changes) == (2, 1)
