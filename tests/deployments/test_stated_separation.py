"""An operator states by which field an engine separates its prefix cache, of which nothing is known by its program."""

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from rest_framework.test import APIClient

from audit.models import AuditEntry
from core.errors import Conflict
from deployments import judgment, runtimes, statements
from deployments.actions import create_deployment, reconcile
from deployments.client_fields import CLIENT_FIELDS, STATE, is_field_name, may_separate
from deployments.cluster.memory import MemoryCluster
from deployments.engine_controls import ENGINE, NEVER, SHARED_STATE
from deployments.models import Deployment, Sharing
from gateway.compile import compile_snapshot
from gateway.contract import ConfigSnapshot, decode, encode
from gateway.proxy import controls
from tenants.revision import current_revision
from tests.factories import ClusterFactory, ModelVersionFactory, now_wants, routed, staff

pytestmark = pytest.mark.django_db
MIRROR = {"image": "mirror.example.com/vllm/vllm-openai:v0.11.0", "command": ["vllm", "serve", "{model}"]}
SGLANG = {"image": "lmsysorg/sglang:v0.5", "command": ["python", "-m", "sglang.launch_server"]}
PROXY = {"image": "ghcr.io/berriai/litellm:main", "command": []}
REASON = "Tried with two tenants: no cached tokens across."
SUBMITTED = {"_form_submitted": "on"}


def running(**version):
    deployment = routed(
        create_deployment(ModelVersionFactory(**version), ClusterFactory(), 1, "stated", by=None)
    )
    reconcile(deployment.pk, cluster=MemoryCluster())
    return Deployment.objects.get(pk=deployment.pk)


def told(deployment):
    """By which fields the backends are separated that gateways are told of, as they read it."""
    snapshot = decode(ConfigSnapshot, encode(compile_snapshot()))
    [route] = [one for one in snapshot.routes if one.model == deployment.version.model.name]
    return [target.cache_key_field for target in route.targets]


def entries(verb):
    return AuditEntry.objects.across_tenants().filter(verb=verb)


@pytest.mark.parametrize(
    ("version", "field"), [(MIRROR, "cache_salt"), (SGLANG, "extra_key"), (PROXY, "x_Tenant_9" + "y" * 54)]
)
def test_what_is_stated_opens_the_engine_to_all_tenants_with_their_own_value(operator, version, field):
    deployment = running(**version)
    assert (deployment.sharing, told(deployment)) == (Sharing.NOBODY, [])
    before = current_revision()
    stated = statements.state_separation(deployment.pk, field, f" Tried\n{REASON}", by=operator)
    assert (stated.sharing, told(deployment), current_revision() > before) == (
        Sharing.SEPARATED,
        [field],
        True,
    )
    entry = entries("deployment.separation_stated").get()
    assert (entry.actor_id, entry.reason) == (operator.pk, f"Tried {REASON}")
    assert (entry.details["field"], entry.details["image"]) == (field, version["image"])
    before = current_revision()
    statements.withdraw_separation(deployment.pk, by=operator)
    assert (told(deployment), current_revision() > before) == ([], True)
    assert entries("deployment.separation_withdrawn").get().details["field"] == field
    with pytest.raises(Conflict):
        statements.withdraw_separation(deployment.pk, by=operator)


@pytest.mark.parametrize(
    "field",
    [
        "", " cache_salt", "cache_salt ", "cache_salt\n", "cache\nsalt", "cache-salt", "cache.salt", "9salt", "_", "__",
        "caché_salt", "\u212aey_salt", "ｓalt", "s" * 65, "a\0b", "salt\u200b", "salt\u202e", '"', "$.salt",
        "model", "Model", "MODEL", "messages", "stream", "stream_options", "user", "User", "max_tokens", "maxTokens",
        "metadata", "tools", "temperature", "n", "seed", "stop", "input", "prompt", "response_format", "logit_bias",
        "prompt_cache_key", "promptCacheKey", "session_id", "safety_identifier", "store", "previous_response_id",
        "service_tier", "chat_template_kwargs", "provider_options", "data_sources", "documents", "guided_json",
        "api_base", "api_key", "extra_body", "headers", "priority", "request_id", "lora_path", "lora_salt", "id_slot",
        "cache_prompt", "chat_template", "mock_response", "target_host", "salt_path", "image_url", "file_data",
        "kv_transfer_params", "adapter_salt", "litellm_metadata", "bypass_salt",
        "aws_salt", "salt_secret", "proxy_salt", "tenant_password",
    ],
)  # fmt: skip
def test_a_field_that_says_something_else_is_not_taken(operator, field):
    deployment = running(**MIRROR)
    with pytest.raises(ValidationError) as caught:
        statements.state_separation(deployment.pk, field, REASON, by=operator)
    assert "field" in caught.value.message_dict
    assert told(deployment) == []


def test_nothing_that_the_gateway_knows_of_clients_and_engines_can_be_stated():
    known = {*controls.PLAIN, *controls.NAMES_OF_USERS, *CLIENT_FIELDS, *STATE, *controls.CONTAINERS}
    assert not [name for name in known if may_separate(name)]
    separators = {
        "cachesalt", "extrakey", "cachekey", "cachenamespace", "tenant", "tenantid", "tenantkey", "namespace",
        "organizationid", "orgid", "workspaceid", "accountid", "projectid",
    }  # fmt: skip
    assert {name for name in NEVER | ENGINE | SHARED_STATE if may_separate(name)} == separators
    assert is_field_name("a" * 64)
    assert may_separate("tenant_tag")


def test_no_reason_is_no_statement(operator):
    deployment = running(**MIRROR)
    for reason in ("", "  \n", "x" * 501, "left\u202eright"):
        with pytest.raises(ValidationError) as caught:
            statements.state_separation(deployment.pk, "cache_salt", reason, by=operator)
        assert "reason" in caught.value.message_dict
    for part in (
        {"stated_field": "cache_salt"},
        {
            "stated_field": "a b",
            "stated_reason": "x",
            "stated_program": "x",
            "stated_at": "2026-11-29T00:00Z",
        },
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Deployment.objects.filter(pk=deployment.pk).update(**part)


@pytest.mark.parametrize("then", [{"image": MIRROR["image"] + "-2"}, {"command": ["vllm", "serve", "x"]}])
def test_a_statement_lapses_with_the_image_and_the_command_it_was_about(operator, client, then):
    deployment = running(**MIRROR)
    before = {name: getattr(deployment.version, name) for name in then}
    statements.state_separation(deployment.pk, "cache_salt", REASON, by=operator)
    now_wants(deployment, **then)
    assert told(deployment) == [], "also before anything has noted the change"
    revision = current_revision()
    assert judgment.judge_all() == 1
    assert current_revision() > revision
    assert entries("deployment.separation_lapsed").get().details["field"] == "cache_salt"
    assert judgment.judge_all() == 0
    client.force_login(operator)
    page = client.get(reverse("admin:deployments_deployment_change", args=[deployment.pk])).content.decode()
    assert "lapsed: the image or the command has changed since" in page
    assert "Serves nobody" in page
    now_wants(deployment, **before)
    assert told(deployment) == [], "what has lapsed comes back by nobody's doing"
    statements.state_separation(deployment.pk, "cache_salt", REASON, by=operator)
    assert told(deployment) == ["cache_salt"]


def test_a_statement_lapses_when_another_program_is_applied(operator):
    deployment = running(**MIRROR)
    statements.state_separation(deployment.pk, "cache_salt", REASON, by=operator)
    now_wants(deployment, image="mirror.example.com/own:2")
    reconcile(deployment.pk, cluster=MemoryCluster())
    deployment.refresh_from_db()
    assert deployment.statement_lapsed_at is not None
    assert entries("deployment.separation_lapsed").count() == 1


def test_what_is_known_wins_over_what_was_stated(operator, monkeypatch):
    deployment = running(**MIRROR)
    statements.state_separation(deployment.pk, "extra_key", REASON, by=operator)
    known = runtimes.RuntimeFacts("vLLM", "cache_salt")
    monkeypatch.setattr("deployments.models.deployments.facts_of", lambda image, command: known)
    assert told(deployment) == ["cache_salt"]
    with pytest.raises(Conflict, match="cache_salt"):
        statements.state_separation(deployment.pk, "extra_key", REASON, by=operator)


def test_what_cannot_be_true_is_not_stated(operator):
    old = running(image="vllm/vllm-openai:v0.8.5", command=[])
    with pytest.raises(ValidationError, match=r"before 0\.9"):
        statements.state_separation(old.pk, "cache_salt", REASON, by=operator)
    now_wants(old, **MIRROR)
    with pytest.raises(Conflict, match="is changing"):
        statements.state_separation(old.pk, "cache_salt", REASON, by=operator)


def test_one_statement_at_a_time_and_none_of_what_is_being_deleted(operator):
    deployment = running(**MIRROR)
    statements.state_separation(deployment.pk, "cache_salt", REASON, by=operator)
    with pytest.raises(Conflict):
        statements.state_separation(deployment.pk, "extra_key", REASON, by=operator)
    Deployment.objects.filter(pk=deployment.pk).update(is_deleted=True)
    for decide in (
        lambda: statements.state_separation(deployment.pk, "cache_salt", REASON, by=operator),
        lambda: statements.withdraw_separation(deployment.pk, by=operator),
    ):
        with pytest.raises(Conflict, match="deleted"):
            decide()


def test_a_control_of_the_stated_name_is_not_in_force(operator):
    deployment = running(**MIRROR)
    Deployment.objects.filter(pk=deployment.pk).update(allowed_controls=["kv_scope", "ignore_eos"])
    statements.state_separation(deployment.pk, "kvScope", REASON, by=operator)
    assert Deployment.objects.get(pk=deployment.pk).controls_in_force == ["ignore_eos"]


def test_people_without_the_right_state_nothing(owner):
    deployment = running(**MIRROR)
    with pytest.raises(Deployment.DoesNotExist):
        statements.state_separation(deployment.pk, "cache_salt", REASON, by=owner)
    with pytest.raises(Deployment.DoesNotExist):
        statements.withdraw_separation(deployment.pk, by=owner)
    with pytest.raises((Deployment.DoesNotExist, PermissionDenied)):
        statements.state_separation(deployment.pk, "cache_salt", REASON, by=staff("auditor"))
    assert told(deployment) == []


def test_the_page_takes_and_shows_a_statement(client, operator):
    deployment = running(image="vllm/vllm-openai:v0.8.5", command=[])
    client.force_login(operator)
    page = reverse("admin:deployments_deployment_change", args=[deployment.pk])

    def send(name, **sent):
        path = reverse(f"admin:deployments_deployment_{name}", args=[deployment.pk])
        assert client.get(path).status_code == 200
        return client.post(path, SUBMITTED | sent)

    for field, words in (
        ("model", "cannot separate"),
        ("a b", "digits and underscores"),
        ("cache_salt", "0.9"),
    ):
        assert words in send("state_separation", field=field, reason=REASON).content.decode()
    assert "how you know" in send("state_separation", field="tenant_tag", reason="\u202e").content.decode()
    assert told(deployment) == []
    assert send("state_separation", field="tenant_tag", reason=REASON).headers["Location"]
    shown = client.get(page).content.decode()
    assert f"tenant_tag: {REASON}" in shown
    assert "Serves nobody" not in shown
    send("withdraw_separation")
    assert "Serves nobody" in client.get(page).content.decode()


def test_the_api_says_and_does_the_same(operator):
    deployment = running(**MIRROR)
    client = APIClient()
    client.force_authenticate(operator)
    path = f"/api/v1/deployments/{deployment.pk}/"
    for wrong in (
        {"field": "model", "reason": REASON}, {"field": "cache_salt\n", "reason": REASON}, {"field": "cache_salt"},
        {"field": "cache_salt", "reason": ""}, {"field": "a\0", "reason": REASON}, {"field": ["x"], "reason": REASON},
        {"field": "s" * 65, "reason": REASON}, {}, [],
    ):  # fmt: skip
        refused = client.post(f"{path}separation/", wrong, format="json")
        assert (refused.status_code, refused["content-type"]) == (400, "application/problem+json"), wrong
    assert client.delete(f"{path}separation/").status_code == 409
    sent = {"field": "cache_salt", "reason": REASON}
    said = client.post(f"{path}separation/", sent, format="json").json()
    assert (said["sharing"], said["cache_key_field"], said["stated_field"]) == (
        "separated",
        "cache_salt",
        "cache_salt",
    )
    assert (said["stated_reason"], said["is_statement_in_force"]) == (REASON, True)
    assert client.post(f"{path}separation/", sent, format="json").status_code == 409
    said = client.delete(f"{path}separation/").json()
    assert (said["sharing"], said["stated_field"], said["is_statement_in_force"]) == ("nobody", "", False)
