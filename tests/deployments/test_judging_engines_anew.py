"""Whether tenants may share an engine follows what is known of it now, not what was known when it was applied."""

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from audit.models import AuditEntry
from deployments import judgment, observation, runtimes, tasks
from deployments.actions import create_deployment, reconcile
from deployments.cluster.base import TemporaryClusterError
from deployments.cluster.memory import MemoryCluster
from deployments.models import Deployment, Sharing
from gateway.compile import compile_snapshot
from tenants.revision import current_revision
from tests.factories import ClusterFactory, ModelVersionFactory, now_wants, routed

pytestmark = pytest.mark.django_db
VLLM = {"image": "vllm/vllm-openai:v0.11.0", "command": []}
LATEST = {"image": "vllm/vllm-openai:latest", "command": []}
OFF = {"image": "x", "command": ["llama-server", "--no-cache-prompt"]}


def running(**version):
    """A deployment that a cluster runs, so that it has a backend."""
    deployment = routed(
        create_deployment(ModelVersionFactory(**version), ClusterFactory(), 1, "judged", by=None)
    )
    reconcile(deployment.pk, cluster=MemoryCluster())
    return Deployment.objects.get(pk=deployment.pk)


def told(deployment):
    """By which fields the backends are separated that gateways are told of."""
    [route] = [one for one in compile_snapshot().routes if one.model == deployment.version.model.name]
    return [target.cache_key_field for target in route.targets]


@pytest.mark.parametrize("stored", [{"cache_key_field": "cache_salt"}, {"is_prefix_cache_off": True}])
def test_no_target_goes_on_under_an_old_judgment(stored, operator, client):
    """As after an upgrade from a release that took any vLLM for one that heeds the salt."""
    deployment = running(**LATEST)
    Deployment.objects.filter(pk=deployment.pk).update(**stored)
    assert told(deployment) == [], "no configuration compiled from now on follows it"
    client.force_login(operator)
    page = client.get(reverse("admin:deployments_deployment_change", args=[deployment.pk]))
    assert "Serves nobody" in page.content.decode()
    api = APIClient()
    api.force_authenticate(operator)
    said = api.get(f"/api/v1/deployments/{deployment.pk}/").json()
    assert (said["sharing"], said["cache_key_field"]) == ("nobody", "")


def test_gateways_hear_of_another_judgment_while_its_cluster_is_away():
    class Away:
        def apply(self, manifests):
            raise TemporaryClusterError("no route to host")

    deployment = running(**LATEST)
    Deployment.objects.filter(pk=deployment.pk).update(cache_key_field="cache_salt")
    with pytest.raises(TemporaryClusterError):
        reconcile(deployment.pk, cluster=Away())
    before = current_revision()
    tasks.judge_engines()
    assert current_revision() > before
    entry = AuditEntry.objects.across_tenants().get(verb="deployment.judged_anew")
    assert entry.changes == {"cache_key_field": ["cache_salt", ""]}
    after = current_revision()
    assert judgment.judge_all() == 0
    assert current_revision() == after, "what is as it was told raises nothing"


def test_what_a_new_release_has_learned_opens_a_target_too(monkeypatch):
    monkeypatch.setattr(runtimes, "_FIRST_VLLM_WITH_SALT", (0, 12))
    deployment = running(**VLLM)
    assert told(deployment) == []
    monkeypatch.undo()
    before = current_revision()
    assert judgment.judge_all() == 1
    assert (told(deployment), current_revision() > before) == (["cache_salt"], True)


@pytest.mark.parametrize(
    ("first", "then"), [(LATEST, VLLM), (VLLM, LATEST), ({"image": "x", "command": ["serve"]}, OFF)]
)
def test_while_one_program_replaces_another_only_what_is_known_of_both_counts(first, then):
    deployment = running(**first)
    now_wants(deployment, **then)
    judgment.judge_all()
    assert told(deployment) == []


def test_another_program_counts_once_nothing_else_runs():
    deployment = running(**LATEST)
    now_wants(deployment, **VLLM)
    cluster = MemoryCluster()
    observation.record(Deployment.objects.with_names().get(pk=deployment.pk), None)
    assert told(deployment) == [], "a look at the cluster applies nothing"
    reconcile(deployment.pk, cluster=cluster)
    assert told(deployment) == ["cache_salt"]
    assert Deployment.objects.get(pk=deployment.pk).applied_image == VLLM["image"]


def test_a_program_that_is_still_being_replaced_is_not_taken_for_the_one_that_runs():
    deployment = running(**LATEST)
    now_wants(deployment, **VLLM)
    wanted = Deployment.objects.with_names().get(pk=deployment.pk)
    observation.record(wanted, None, is_applied=True)
    wanted.refresh_from_db()
    assert (wanted.applied_image, wanted.sharing) == (LATEST["image"], Sharing.NOBODY)


def test_of_a_row_that_an_older_process_made_the_wanted_program_counts():
    deployment = running(**VLLM)
    Deployment.objects.filter(pk=deployment.pk).update(applied_image="", applied_command=[])
    assert told(deployment) == ["cache_salt"]
