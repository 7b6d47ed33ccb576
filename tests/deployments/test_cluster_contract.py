"""What every cluster driver promises, asked of all three."""

import uuid
from dataclasses import replace

import pytest

from deployments.cluster.base import PermanentClusterError
from deployments.manifests import engine_manifests
from tests.deployments.cluster_fixtures import eventually, with_args

pytest_plugins = ["tests.deployments.cluster_plugin"]


def test_what_is_applied_becomes_ready_and_says_where_it_answers(arena):
    arena.apply(arena.spec)
    seen = arena.settled(arena.spec)
    assert (seen.wanted_replicas, seen.ready_replicas, seen.updated_replicas) == (1, 1, 1)
    assert len(seen.endpoints) == 1
    assert seen.endpoints[0].startswith("http://")
    assert seen.generation == arena.spec.generation
    assert seen.problems == ()
    assert {c.type: c.status for c in seen.conditions} == {"Available": "True", "Progressing": "False"}


def test_applying_the_same_again_changes_nothing(arena):
    arena.apply(arena.spec)
    before = arena.settled(arena.spec)
    again = arena.apply(arena.spec)
    assert again.cluster_generation == before.cluster_generation == 1
    assert arena.observe() == before


def test_what_somebody_changed_is_put_back_and_named(arena):
    first = arena.apply(arena.spec)
    assert (first.is_created, first.put_back) == (True, ())
    arena.settled(arena.spec)
    arena.tamper(replicas=3)
    assert arena.observe().wanted_replicas == 3
    again = arena.apply(arena.spec)
    assert (again.is_created, again.wanted_replicas) == (False, 1)
    assert again.put_back == ("Deployment spec.replicas: 3 → 1",)
    assert arena.apply(arena.spec).put_back == ()


def test_a_change_that_we_want_is_no_drift(arena):
    arena.apply(arena.spec)
    arena.tamper(replicas=3)
    assert arena.apply(replace(arena.spec, replicas=2, generation=2)).put_back == ()


def test_a_new_generation_of_the_same_spec_restarts_nothing(arena):
    arena.apply(arena.spec)
    before = arena.settled(arena.spec)
    assert arena.apply(replace(arena.spec, generation=7)).generation == 7
    seen = arena.settled(arena.spec)
    # On the local cluster, another process has another port.
    assert seen.endpoints == before.endpoints
    assert seen.total_replicas == 1


def test_replicas_are_added_and_taken_away(arena):
    arena.apply(arena.spec)
    arena.settled(arena.spec)
    three = replace(arena.spec, replicas=3, generation=2)
    assert arena.apply(three).wanted_replicas == 3
    assert arena.settled(three).ready_replicas == 3
    none = replace(arena.spec, replicas=0, generation=3)
    arena.apply(none)
    seen = arena.settled(none)
    assert seen.ready_replicas == 0
    assert seen.endpoints == ()
    assert seen.cluster_generation == 3


def test_other_arguments_replace_the_replicas(arena):
    arena.apply(arena.spec)
    arena.settled(arena.spec)
    changed = with_args(arena.spec, "--say", "hello")
    arena.apply(changed)
    seen = arena.settled(changed)
    assert seen.cluster_generation == 2
    assert seen.ready_replicas == seen.total_replicas == 1


def test_what_is_deleted_goes_away_and_may_be_deleted_again(arena):
    arena.apply(arena.spec)
    arena.settled(arena.spec)
    arena.delete()
    arena.gone()
    arena.delete()
    assert arena.observe() is None


def test_what_was_deleted_can_be_made_anew(arena):
    arena.apply(arena.spec)
    arena.settled(arena.spec)
    arena.delete()
    arena.gone()
    arena.apply(arena.spec)
    assert arena.settled(arena.spec).cluster_generation == 1


def test_another_deployment_of_that_name_is_neither_deleted_nor_seen_nor_overwritten(arena):
    arena.apply(arena.spec)
    before = arena.settled(arena.spec)
    another = replace(arena.spec, deployment_id=str(uuid.uuid4()), replicas=0)
    with pytest.raises(PermanentClusterError, match="belongs to another deployment"):
        arena.apply(another)
    arena.cluster.delete(another.namespace, another.name, another.deployment_id)
    assert arena.cluster.observe(another.namespace, another.name, another.deployment_id) is None
    assert arena.observe() == before


def test_nothing_is_known_of_what_was_never_applied(arena):
    assert arena.observe() is None
    arena.delete()


def test_more_gpus_than_there_are_is_a_condition_that_says_so(arena):
    arena.apply(replace(arena.spec, gpus_per_replica=100))

    def unschedulable():
        return [problem for problem in arena.observe().problems if problem.type == "Unschedulable"]

    (problem,) = eventually(unschedulable)
    assert "Insufficient nvidia.com/gpu" in problem.message
    seen = arena.observe()
    assert (seen.ready_replicas, seen.is_settled, seen.endpoints) == (0, False, ())


def test_gpus_that_are_there_are_given(arena):
    spec = replace(arena.spec, gpus_per_replica=2)
    arena.apply(spec)
    assert arena.settled(spec).ready_replicas == 1


def test_the_connection_test_says_what_the_cluster_is(arena):
    facts = arena.cluster.check(arena.spec.namespace)
    assert facts.version
    assert facts.missing_permissions == ()
    assert int(facts.resources["nvidia.com/gpu"]) >= 2


def test_objects_that_are_no_deployment_are_refused(arena):
    deployment, service = engine_manifests(arena.spec)
    with pytest.raises(PermanentClusterError, match="exactly one Deployment"):
        arena.cluster.apply([service])
    elsewhere = service | {"metadata": service["metadata"] | {"namespace": "elsewhere"}}
    with pytest.raises(PermanentClusterError, match="must be in its namespace"):
        arena.cluster.apply([deployment, elsewhere])
