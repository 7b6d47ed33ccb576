"""Several tenants share an engine only where its prefix cache tells nothing of them, or somebody accepts it."""

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from rest_framework.test import APIClient

from audit.models import AuditEntry
from core.errors import Conflict
from deployments import sharing
from deployments.actions import create_deployment, reconcile
from deployments.cluster.memory import MemoryCluster
from deployments.models import Deployment, Sharing
from gateway.actions import set_media_hosts
from gateway.compile import compile_snapshot
from gateway.targets import separation_key
from tenants.revision import current_revision
from tests.factories import (
    ClusterFactory,
    DeploymentFactory,
    ModelVersionFactory,
    TenantFactory,
    now_wants,
    routed,
)

pytestmark = pytest.mark.django_db
UNKNOWN = {"image": "somebody/engine:1", "command": ["serve", "{model}"]}
SUBMITTED = {"_form_submitted": "on"}


def running(**version):
    """A deployment that a cluster runs, and that gets all calls to its model."""
    deployment = routed(DeploymentFactory(version=ModelVersionFactory(**version)))
    reconcile(deployment.pk, cluster=MemoryCluster())
    deployment.refresh_from_db()
    return deployment


def told(deployment):
    """What gateways are told of its backends."""
    name = deployment.version.model.name
    [route] = [route for route in compile_snapshot().routes if route.model == name]
    return route.targets


def entries(verb):
    return AuditEntry.objects.across_tenants().filter(verb=verb)


def test_the_demo_engine_and_vllm_serve_all_tenants_with_a_salt():
    for version in ({}, {"image": "vllm/vllm-openai:v0.11.0", "command": []}):
        deployment = running(**version)
        assert deployment.sharing == Sharing.SEPARATED
        [backend] = told(deployment)
        assert (backend.cache_key_field, backend.only_tenant) == ("cache_salt", None)
    settings = compile_snapshot().settings
    assert settings.separation_key == separation_key()
    assert len(settings.separation_key) == 64


def test_the_key_is_of_this_purpose_and_this_installation(settings):
    before = separation_key()
    assert settings.SECRET_KEY not in before
    settings.SECRET_KEY = "another secret of another installation, long enough"
    assert separation_key() != before


def test_an_engine_of_which_nothing_is_known_serves_nobody():
    deployment = running(**UNKNOWN)
    assert deployment.sharing == Sharing.NOBODY
    assert deployment.target.addresses.count() == 1
    assert told(deployment) == []


@pytest.mark.parametrize(
    "version",
    [
        {"image": "vllm/vllm-openai:latest", "command": []},
        {
            "image": "nvcr.io/nvidia/tritonserver:24.05-vllm-python-py3",
            "command": ["vllm", "serve", "{model}"],
        },
        {
            "image": "vllm/vllm-openai:v0.11.0",
            "command": [
                "vllm",
                "serve",
                "{model}",
                "--kv-transfer-config",
                '{"kv_connector": "LMCacheConnectorV1"}',
            ],
        },
    ],
    ids=["no version", "an image of somebody else's", "a cache outside of it"],
)
def test_a_vllm_that_may_ignore_the_salt_serves_nobody_until_an_operator_decides(operator, lab, version):
    deployment = running(**version)
    assert (deployment.sharing, told(deployment)) == (Sharing.NOBODY, [])
    sharing.dedicate(deployment.pk, lab, by=operator)
    assert [backend.only_tenant for backend in told(deployment)] == [str(lab.pk)]
    sharing.dedicate(deployment.pk, None, by=operator)
    sharing.accept_sharing(deployment.pk, "All of one house.", by=operator)
    assert [backend.cache_key_field for backend in told(deployment)] == [None]


def test_an_engine_without_a_prefix_cache_serves_all():
    deployment = running(image="x", command=["llama-server", "--no-cache-prompt"])
    assert deployment.sharing == Sharing.NO_CACHE
    [backend] = told(deployment)
    assert backend.cache_key_field is None


def test_creating_a_deployment_notes_what_its_program_does(operator):
    deployment = create_deployment(ModelVersionFactory(), ClusterFactory(), 1, "noted", by=operator)
    assert (deployment.runtime, deployment.cache_key_field) == ("demo engine", "cache_salt")


def test_another_program_is_noticed_when_it_is_applied_and_gateways_hear_of_it():
    deployment = running()
    now_wants(deployment, command=["serve"])
    before = current_revision()
    reconcile(deployment.pk, cluster=MemoryCluster())
    assert current_revision() > before
    assert told(Deployment.objects.get(pk=deployment.pk)) == []


def test_an_operator_accepts_it_by_name_with_a_reason_and_withdraws_it(operator):
    deployment = running(**UNKNOWN)
    before = current_revision()
    sharing.accept_sharing(deployment.pk, " One team\nbehind all of them. ", by=operator)
    assert current_revision() > before
    [backend] = told(deployment)
    assert (backend.cache_key_field, backend.only_tenant) == (None, None)
    entry = entries("deployment.sharing_accepted").get()
    assert (entry.actor_id, entry.reason) == (operator.pk, "One team behind all of them.")
    with pytest.raises(Conflict):
        sharing.accept_sharing(deployment.pk, "again", by=operator)
    sharing.withdraw_sharing(deployment.pk, by=operator)
    assert told(deployment) == []
    assert entries("deployment.sharing_withdrawn").count() == 1
    with pytest.raises(Conflict):
        sharing.withdraw_sharing(deployment.pk, by=operator)


def test_no_reason_is_no_acceptance(operator):
    deployment = running(**UNKNOWN)
    for reason in ("", "   ", "x" * 501, "left\u202eright"):
        with pytest.raises(ValidationError):
            sharing.accept_sharing(deployment.pk, reason, by=operator)
    with pytest.raises(IntegrityError), transaction.atomic():
        Deployment.objects.filter(pk=deployment.pk).update(sharing_accepted_at=deployment.created_at)


def test_an_engine_of_one_tenant_serves_it_alone(operator, lab):
    deployment = running(**UNKNOWN)
    sharing.dedicate(deployment.pk, lab, by=operator)
    [backend] = told(deployment)
    assert (backend.only_tenant, backend.cache_key_field) == (str(lab.pk), None)
    with pytest.raises(Conflict):
        sharing.accept_sharing(deployment.pk, "why not", by=operator)
    with pytest.raises(Conflict):
        sharing.dedicate(deployment.pk, lab, by=operator)
    sharing.dedicate(deployment.pk, None, by=operator)
    assert told(deployment) == []
    assert entries("deployment.dedicated").count() == 2


def test_controls_are_allowed_by_name_and_some_only_where_one_tenant_is_served(operator, lab):
    deployment = running()
    sharing.allow_controls(deployment.pk, ["ignore_eos", "priority", "Priority"], by=operator)
    [backend] = told(deployment)
    assert sorted(name.lower() for name in backend.allowed_controls) == ["ignore_eos", "priority"]
    for names in (
        ["cache_salt"],
        ["api_base"],
        ["temperature"],
        ["id_slot"],
        ["no such thing!"],
        ["lora_path"],
    ):
        with pytest.raises(ValidationError, match=names[0]):
            sharing.allow_controls(deployment.pk, names, by=operator)
    sharing.dedicate(deployment.pk, lab, by=operator)
    sharing.allow_controls(deployment.pk, ["id_slot"], by=operator)
    assert told(deployment)[0].allowed_controls == ["id_slot"]
    sharing.dedicate(deployment.pk, None, by=operator)
    assert told(deployment)[0].allowed_controls == [], "for all tenants it is not in force"
    before = entries("deployment.controls_allowed").count()
    sharing.allow_controls(deployment.pk, [], by=operator)
    sharing.allow_controls(deployment.pk, [], by=operator)
    assert entries("deployment.controls_allowed").count() == before + 1


def test_people_of_a_tenant_decide_none_of_it(owner, lab):
    deployment = running(**UNKNOWN)
    actions = [
        lambda by: sharing.accept_sharing(deployment.pk, "please", by=by),
        lambda by: sharing.withdraw_sharing(deployment.pk, by=by),
        lambda by: sharing.dedicate(deployment.pk, lab, by=by),
        lambda by: sharing.allow_controls(deployment.pk, ["ignore_eos"], by=by),
    ]
    for action in actions:
        with pytest.raises(Deployment.DoesNotExist):
            action(owner)
    with pytest.raises(PermissionDenied):
        set_media_hosts(["pictures.example.com"], by=owner)
    assert told(deployment) == []


def test_the_page_says_why_an_engine_serves_nobody_and_lets_operators_decide(client, operator, lab):
    deployment = running(**UNKNOWN)
    client.force_login(operator)
    page = reverse("admin:deployments_deployment_change", args=[deployment.pk])
    assert "Serves nobody" in client.get(page).content.decode()
    assert "Serves nobody" in client.get(reverse("admin:deployments_deployment_changelist")).content.decode()

    def action(name, **sent):
        path = reverse(f"admin:deployments_deployment_{name}", args=[deployment.pk])
        assert client.get(path).status_code == 200
        return client.post(path, SUBMITTED | sent)

    assert action("accept_sharing", reason="One team.").headers["Location"]
    assert "One team." in client.get(page).content.decode()
    action("withdraw_sharing")
    assert "no tenant with this slug" in action("dedicate", tenant="nobody").content.decode()
    action("dedicate", tenant=lab.slug)
    assert f"({lab.slug})" in client.get(page).content.decode()
    assert "cannot be allowed" in action("allow_controls", names="cache_salt").content.decode()
    action("allow_controls", names="id_slot\nignore_eos")
    assert "id_slot, ignore_eos" in client.get(page).content.decode()


def test_the_api_says_and_does_the_same(operator, lab):
    deployment = running(**UNKNOWN)
    client = APIClient()
    client.force_authenticate(operator)
    path = f"/api/v1/deployments/{deployment.pk}/"
    assert client.get(path).json()["sharing"] == "nobody"
    assert client.post(f"{path}sharing/", {"reason": ""}, format="json").status_code == 400
    assert (
        client.post(f"{path}sharing/", {"reason": "One team."}, format="json").json()["sharing"] == "accepted"
    )
    assert client.post(f"{path}sharing/", {"reason": "Again."}, format="json").status_code == 409
    assert client.delete(f"{path}sharing/").json()["sharing"] == "nobody"
    for tenant in ("nobody", "a\0b", 7, ["x"]):
        assert client.post(f"{path}dedicate/", {"tenant": tenant}, format="json").status_code == 400
    dedicated = client.post(f"{path}dedicate/", {"tenant": lab.slug}, format="json").json()
    assert (dedicated["sharing"], dedicated["only_tenant"]) == ("one_tenant", lab.slug)
    allowed = client.post(f"{path}controls/", {"controls": ["id_slot"]}, format="json").json()
    assert allowed["controls_in_force"] == ["id_slot"]
    refused = client.post(f"{path}controls/", {"controls": ["cache_salt"]}, format="json")
    assert (refused.status_code, "cache_salt" in refused.content.decode()) == (400, True)
    back = client.post(f"{path}dedicate/", {"tenant": None}, format="json").json()
    assert (back["only_tenant"], back["allowed_controls"], back["controls_in_force"]) == (
        None,
        ["id_slot"],
        [],
    )


def test_hosts_of_media_are_set_on_the_page_of_gateways(client, operator):
    client.force_login(operator)
    path = reverse("admin:gateway_gateway_media_hosts")
    before = current_revision()
    sent = {"hosts": "Pictures.Example.com.\n*.cdn.example.org, 8.8.8.8"}
    assert client.post(path, SUBMITTED | sent).headers["Location"]
    assert current_revision() > before
    wanted = ["*.cdn.example.org", "8.8.8.8", "pictures.example.com"]
    assert compile_snapshot().settings.media_hosts == wanted
    assert entries("gateway.media_hosts_set").count() == 1
    assert "pictures.example.com" in client.get(path).content.decode()
    refused = client.post(path, SUBMITTED | {"hosts": "169.254.169.254"})
    assert "is not a public host" in refused.content.decode()
    assert compile_snapshot().settings.media_hosts == wanted


def test_hosts_of_media_are_set_over_the_api(operator, owner):
    client = APIClient()
    client.force_login(operator)
    path = "/api/v1/media-hosts/"
    assert client.get(path).json() == {"hosts": []}
    before = current_revision()
    answer = client.post(path, {"hosts": ["Pictures.Example.com.", "*.cdn.example.org"]}, format="json")
    wanted = ["*.cdn.example.org", "pictures.example.com"]
    assert (answer.status_code, answer.json()) == (200, {"hosts": wanted})
    assert client.get(path).json() == {"hosts": wanted}
    assert current_revision() > before
    assert compile_snapshot().settings.media_hosts == wanted
    assert entries("gateway.media_hosts_set").count() == 1
    for wrong in (
        {"hosts": ["169.254.169.254"]},
        {"hosts": "x"},
        {},
        {"hosts": [None]},
        {"hosts": ["x\0.example.com"]},
        [],
    ):
        refused = client.post(path, wrong, format="json")
        assert (refused.status_code, refused["content-type"]) == (400, "application/problem+json")
    client.force_login(owner)
    for refused in (client.get(path), client.post(path, {"hosts": []}, format="json")):
        assert refused.status_code == 403
    assert compile_snapshot().settings.media_hosts == wanted


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1", "127.0.0.1", "169.254.169.254", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "localhost",
        "metadata.google.internal", "engine.models.svc", "engine.models.svc.cluster.local", "printer.local", "*",
        "gpu-17", "*.com",
        "*.*.example.org", "https://pictures.example.com", "pictures.example.com:8080", "pictures.example.com/x",
        "user@pictures.example.com", "pictur\u0435s.example.com", "a..b.example", "-a.example.com", "x\0.example.com",
    ],
)  # fmt: skip
def test_no_host_of_our_own_network_is_taken(operator, host):
    with pytest.raises(ValidationError, match="not a public host"):
        set_media_hosts([host], by=operator)


def test_two_tenants_have_two_engines_of_their_own(operator, lab):
    other = TenantFactory()
    version = ModelVersionFactory(**UNKNOWN)
    for tenant in (lab, other):
        deployment = routed(DeploymentFactory(version=version))
        reconcile(deployment.pk, cluster=MemoryCluster())
        sharing.dedicate(deployment.pk, tenant, by=operator)
    assert {backend.only_tenant for backend in told(deployment)} == {str(lab.pk), str(other.pk)}
