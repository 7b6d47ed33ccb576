"""Operators add, test, change, disable and delete providers, and let others manage one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.timezone import now

from audit.models import AuditEntry
from billing.folding import fold_rollups
from billing.ingest import record_usage
from billing.usage import UsageRecord
from core.errors import Conflict
from core.ids import uuid7
from deployments.models import Provider, ProviderCredential, ProviderModel
from deployments.provider_actions import (
    change_provider,
    delete_provider,
    disable_provider,
    set_allowed_networks,
)
from deployments.provider_credentials import credentials_for_gateways
from deployments.provider_fields import clean_headers
from deployments.provider_lists import refresh_provider
from deployments.provider_managers import set_provider_manager
from deployments.routes import change_route, make_routable, plan_with, route_of
from tenants.revision import current_revision
from tests.deployments.provider_cast import PROVIDERS, as_user, stored, verbs, whole_answer
from tests.deployments.provider_stub import GOOD_KEY, MODELS, WRONG_KEY, Authority, serving
from tests.factories import (
    ApiKeyFactory,
    CatalogModelFactory,
    ProviderFactory,
    ProviderModelFactory,
    UserFactory,
    allow_loopback,
    credential_of,
    staff,
)
from tests.gateway.granted import grant

pytestmark = pytest.mark.django_db


def new(upstream, **more):
    return {
        "name": "openai-eu", "title": "OpenAI EU", "dialect": "openai", "base_url": upstream.url,
        "credential": {"kind": "stored", "secret": GOOD_KEY},
    } | more  # fmt: skip


# Adding, and the test before it.


def test_a_wrong_key_is_not_saved_and_a_right_one_is(upstream, operator):
    client = as_user(operator)
    wrong = client.post(
        PROVIDERS, new(upstream, credential={"kind": "stored", "secret": WRONG_KEY}), format="json"
    )
    assert wrong.status_code == 400
    assert "rejects the credential (401)" in whole_answer(wrong)
    assert WRONG_KEY not in whole_answer(wrong)
    assert not Provider.objects.exists()

    right = client.post(PROVIDERS, new(upstream), format="json")
    assert right.status_code == 201, whole_answer(right)
    assert GOOD_KEY not in whole_answer(right)
    [credential] = right.json()["credentials"]
    assert (credential["hint"], credential["kind"], credential["valid_until"]) == ("GOOD", "stored", None)
    assert ProviderModel.objects.filter(provider__name="openai-eu").count() == len(MODELS)
    assert "provider.added" in verbs()
    assert client.post(PROVIDERS, new(upstream), format="json").status_code == 409


def test_a_test_without_saving_says_what_was_reached(upstream, operator):
    client = as_user(operator)
    tried = client.post(f"{PROVIDERS}try/", new(upstream), format="json").json()
    assert tried["words"].startswith("Reached, 37 models listed, ")
    assert len(tried["models"]) == 37
    incomplete = client.post(f"{PROVIDERS}try/", new(upstream, base_url=upstream.url[:-3]), format="json")
    assert f"Try {upstream.url}" in whole_answer(incomplete)
    assert not Provider.objects.exists()
    assert verbs().count("provider.tried") == 2


def test_what_only_gateways_can_reach_is_saved_without_a_test(operator):
    wanted = {
        "name": "inner", "title": "Inner", "dialect": "vllm", "base_url": "https://vllm.example.com/v1",
        "credential": {"kind": "environment", "reference": "PROVIDER_VLLM"}, "is_tested": False,
    }  # fmt: skip
    assert as_user(operator).post(PROVIDERS, wanted, format="json").status_code == 201
    entry = AuditEntry.objects.across_tenants().get(verb="provider.added")
    assert entry.details["is_tested"] is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", "http://10.0.0.1/v1"),
        ("base_url", "https://169.254.169.254/v1"),
        ("base_url", "https://user:pass@api.example.com/v1"),
        ("proxy_url", "http://10.0.0.1:3128"),
        ("private_ca", "not a certificate"),
        ("private_ca", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"),
        ("extra_headers", {"Authorization": "Bearer abc"}),
        ("regions", ["EU West!"]),
        ("dialect", "klingon"),
        ("name", "Not a slug"),
        ("connect_timeout_seconds", 0),
        ("requests_per_minute", 0),
        ("api_version", "2024&x=1"),
        ("title", "two\u202elines"),
    ],
)
def test_each_field_says_what_is_wrong_with_it(operator, field, value):
    wanted = {
        "name": "p", "title": "P", "dialect": "openai", "base_url": "https://api.example.com/v1", "is_tested": False,
    } | {field: value}  # fmt: skip
    answer = as_user(operator).post(PROVIDERS, wanted, format="json")
    assert answer.status_code == 400
    assert field in answer.json()["errors"], answer.json()
    assert not Provider.objects.exists()


@pytest.mark.parametrize(("field", "several"), [("name", False), ("api_version", False), ("regions", True)])
def test_a_key_that_is_pasted_into_another_field_is_refused(operator, field, several):
    key = "sk-" + "a" * 32
    wanted = {
        "name": "p",
        "title": "P",
        "dialect": "azure",
        "base_url": "https://api.example.com",
        "is_tested": False,
    }
    answer = as_user(operator).post(PROVIDERS, wanted | {field: [key] if several else key}, format="json")
    assert answer.status_code == 400
    assert "looks like a secret" in str(answer.json()["errors"][field])
    assert key not in whole_answer(answer)


@pytest.mark.parametrize(
    "name",
    ["authorization", "x-api-key", "api-key", "X-Goog-Api-Key", "cookie", "proxy-authorization", "x-auth-token", "host",
     "my-secret", "content-length", "transfer-encoding", "x-forwarded-for", "bad header", "x\r\ny", "x-session", ""],
)  # fmt: skip
def test_no_extra_header_is_a_secret_or_breaks_a_call(name):
    with pytest.raises(ValidationError):
        clean_headers({name: "value"})


@pytest.mark.parametrize("value", ["", "two\r\nlines", "ünicode", "x" * 501, "sk-" + "a" * 40])
def test_no_extra_header_has_a_value_that_is_none(value):
    with pytest.raises(ValidationError):
        clean_headers({"openai-organization": value})
    assert clean_headers({" OpenAI-Organization ": " org-1 "}) == {"openai-organization": "org-1"}


def test_a_private_ca_makes_an_inner_server_known(operator, tmp_path):
    allow_loopback()
    authority = Authority()
    with serving(authority.server(tmp_path, "127.0.0.1")) as upstream:
        refused = as_user(operator).post(PROVIDERS, new(upstream), format="json")
        assert "private_ca" in refused.json()["errors"]
        assert upstream.calls == []
        added = as_user(operator).post(PROVIDERS, new(upstream, private_ca=authority.pem), format="json")
        assert added.status_code == 201, whole_answer(added)


# Networks.


def test_networks_are_an_operators_decision_and_open_only_themselves(operator, upstream):
    set_allowed_networks([], by=operator)
    client = as_user(operator)
    assert "allow the network that it is in" in whole_answer(
        client.post(PROVIDERS, new(upstream), format="json")
    )
    before = current_revision()
    assert (
        client.post("/api/v1/provider-networks/", {"networks": ["127.0.0.0/8"]}, format="json").status_code
        == 200
    )
    assert current_revision() > before
    assert client.post(PROVIDERS, new(upstream), format="json").status_code == 201
    for text in ("0.0.0.0/0", "169.254.0.0/16", "nonsense"):
        answer = client.post("/api/v1/provider-networks/", {"networks": [text]}, format="json")
        assert (answer.status_code, text in whole_answer(answer)) == (400, True)
    assert client.get("/api/v1/provider-networks/").json() == {"networks": ["127.0.0.0/8"]}


# Changing, disabling, deleting.


def test_a_change_of_how_it_is_reached_is_tested_first(provider, upstream, operator):
    calls = len(upstream.calls)
    change_provider(provider.pk, by=operator, title="Other", regions=["EU-West-1"], retention_days=30)
    assert len(upstream.calls) == calls, "neither of these changes how it is reached"
    with pytest.raises(ValidationError) as refused:
        change_provider(provider.pk, by=operator, base_url=upstream.url[:-3])
    assert "base_url" in refused.value.message_dict
    provider.refresh_from_db()
    assert (provider.title, provider.regions, provider.base_url) == ("Other", ["eu-west-1"], upstream.url)
    change_provider(
        provider.pk,
        by=operator,
        base_url="https://api.example.com/v1",
        is_tested=False,
        credential=stored(GOOD_KEY),
    )
    entry = AuditEntry.objects.across_tenants().filter(verb="provider.changed").latest("pk")
    assert entry.changes == {"base_url": [upstream.url, "https://api.example.com/v1"]}


def moves(stub):
    """Changes after which calls, and the credential with them, go to another place."""
    return [
        {"base_url": stub.url.replace("127.0.0.1", "localhost")},
        {"base_url": "https://attacker.example.com/v1"},
        {"base_url": "https://api.example.com/v1", "proxy_url": "http://127.0.0.1:3128"},
        {"private_ca": Authority().pem},
    ]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("is_tested", [True, False])
def test_no_change_takes_the_credential_to_another_place(provider, upstream, operator, number, is_tested):
    """Whoever may change a provider could otherwise read its credential on a server of their own."""
    calls, before = len(upstream.calls), Provider.objects.values().get(pk=provider.pk)
    change = moves(upstream)[number]
    refused = as_user(operator).patch(
        f"{PROVIDERS}{provider.pk}/", {**change, "is_tested": is_tested}, format="json"
    )
    assert refused.status_code == 400
    assert "Enter it again" in whole_answer(refused)
    assert len(upstream.calls) == calls
    assert Provider.objects.values().get(pk=provider.pk) == before


def test_a_provider_moves_with_a_credential_that_is_entered_again(provider, operator):
    credential_of(provider, "another-credential-9", valid_until=now() + timedelta(days=1))
    with serving() as elsewhere:
        moved = as_user(operator).patch(
            f"{PROVIDERS}{provider.pk}/",
            {"base_url": elsewhere.url, "credential": {"kind": "stored", "secret": GOOD_KEY}},
            format="json",
        )
        assert moved.status_code == 200, whole_answer(moved)
        assert GOOD_KEY not in whole_answer(moved)
        assert len(elsewhere.calls) == 1
    [left] = credentials_for_gateways(provider)
    assert left.value == GOOD_KEY, "no other one goes to the new place"
    entry = AuditEntry.objects.across_tenants().filter(verb="provider.changed").latest("pk")
    assert entry.details["credential"].startswith("…GOOD")
    change_provider(provider.pk, by=operator, is_tested=False, credential=stored("a-new-credential-of-ours"))
    [left] = credentials_for_gateways(provider)
    assert left.value == "a-new-credential-of-ours"


def test_whoever_manages_one_provider_names_no_file_or_variable(provider, operator):
    """It could be that of another provider: gateways keep them all in one place."""
    auditor = staff("auditor")
    set_provider_manager(provider.pk, auditor.email, True, by=operator)
    client = as_user(type(auditor).objects.get(pk=auditor.pk))
    variable = {"kind": "environment", "reference": "PROVIDER_ANTHROPIC"}
    path = f"{PROVIDERS}{provider.pk}/"
    rotated = {"credential": variable, "overlap_hours": 0, "is_tested": False}
    moved = {"base_url": "https://attacker.example.com/v1", "credential": variable, "is_tested": False}
    assert client.post(f"{path}credentials/", rotated, format="json").status_code == 403
    assert client.patch(path, moved, format="json").status_code == 403
    rotated["credential"] = {"kind": "stored", "secret": "a-key-of-their-own"}
    assert client.post(f"{path}credentials/", rotated, format="json").status_code == 201
    assert as_user(operator).patch(path, moved, format="json").status_code == 200


def put_in_route(row, weight=1):
    """Route the calls of a provider's model to it."""
    make_routable([row])
    route = route_of(row.model)
    plan = plan_with(route, row.target, weight=weight)
    return change_route(route.pk, plan, based_on=route.generation, by=None)


def used(model, calls):
    """A tenant with a grant on a model, and calls of it that are in the rollups."""
    key = ApiKeyFactory()
    grant(key, model)
    records = [
        UsageRecord(
            event_id=uuid7(), key_id=key.pk, model=model.name, occurred_at=now(), usage={"input": 10, "output": 1}
        )
        for _ in range(calls)
    ]  # fmt: skip
    assert record_usage("test", records).recorded == calls
    fold_rollups()


def test_disabling_says_first_what_it_stops(provider, operator):
    shared, alone = CatalogModelFactory(name="shared-model"), CatalogModelFactory(name="only-here")
    for model in (shared, alone):
        put_in_route(ProviderModelFactory(provider=provider, model=model))
    put_in_route(
        ProviderModelFactory(provider=provider, model=CatalogModelFactory(name="without-share")), weight=0
    )
    put_in_route(ProviderModelFactory(provider=ProviderFactory(), model=shared))
    used(alone, calls=3)
    answer = as_user(operator).get(f"{PROVIDERS}{provider.pk}/impact/").json()
    assert [impact["value"] for impact in answer] == [2, 1, 1, 3, 1]
    before = current_revision()
    assert disable_provider(provider.pk, by=operator).is_enabled is False
    assert current_revision() > before
    with pytest.raises(Conflict):
        disable_provider(provider.pk, by=operator)


def test_a_provider_is_deleted_only_when_nothing_routes_there(provider, operator):
    row = provider.models.get(name="gpt-4o")
    row.model = CatalogModelFactory(name="gpt-4o")
    row.save()
    route = put_in_route(row)
    with pytest.raises(Conflict, match="gpt-4o"):
        delete_provider(provider.pk, by=operator)
    assert "provider.deleted" not in verbs()
    assert provider.credentials.exists()
    change_route(route.pk, [], based_on=route.generation, by=operator, may_end_service=True)
    delete_provider(provider.pk, by=operator)
    assert not Provider.objects.exists()
    assert not ProviderCredential.objects.exists()
    assert "provider.deleted" in verbs()


# Who may.


def test_a_person_may_be_given_one_provider_alone(provider, operator):
    auditor, other = staff("auditor"), ProviderFactory()
    client = as_user(auditor)
    assert client.get(PROVIDERS).status_code == 403
    given = as_user(operator).post(
        f"{PROVIDERS}{provider.pk}/managers/", {"email": auditor.email, "is_manager": True}, format="json"
    )
    assert given.json() == {"managers": [auditor.email]}
    auditor = type(auditor).objects.get(pk=auditor.pk)
    client = as_user(auditor)
    assert [row["name"] for row in client.get(PROVIDERS).json()["results"]] == ["openai-eu"]
    assert client.post(f"{PROVIDERS}{provider.pk}/disable/").status_code == 200
    assert client.post(f"{PROVIDERS}{other.pk}/disable/").status_code == 404
    credentials = client.get("/api/v1/provider-credentials/").json()["results"]
    assert [row["provider"] for row in credentials] == [str(provider.pk)]
    assert client.post(PROVIDERS, {}, format="json").status_code == 403
    assert client.post("/api/v1/provider-networks/", {"networks": []}, format="json").status_code == 403
    with pytest.raises(PermissionDenied):
        set_allowed_networks([], by=auditor)
    with pytest.raises(PermissionDenied):
        set_provider_manager(provider.pk, staff("controller").email, True, by=auditor)
    set_provider_manager(provider.pk, auditor.email, False, by=operator)
    auditor = type(auditor).objects.get(pk=auditor.pk)
    assert as_user(auditor).get(f"{PROVIDERS}{provider.pk}/").status_code == 404
    assert {"provider.manager_added", "provider.manager_removed"} <= set(verbs())


def test_only_staff_are_given_a_provider_and_lose_it_with_their_role(provider, operator, developer):
    with pytest.raises(ValidationError, match="No member of the staff"):
        set_provider_manager(provider.pk, developer.email, True, by=operator)
    auditor = staff("auditor")
    set_provider_manager(provider.pk, auditor.email, True, by=operator)
    auditor.is_staff = False
    auditor.save(update_fields=["is_staff"])
    auditor = type(auditor).objects.get(pk=auditor.pk)
    assert not Provider.objects.visible_to(auditor).exists()
    delete_provider(provider.pk, by=operator)
    assert not auditor.groups.filter(name__startswith="provider:").exists()


def test_nobody_else_knows_that_there_are_providers(provider, developer, security_reviewer):
    credential_of(provider, "another-credential-9", valid_until=now() + timedelta(days=1))
    for person in (developer, security_reviewer, UserFactory()):
        client = as_user(person)
        assert client.get(f"{PROVIDERS}{provider.pk}/").status_code == 404
        for path in (PROVIDERS, "/api/v1/provider-credentials/", "/api/v1/provider-models/"):
            assert client.get(path).status_code == 403
    with pytest.raises(Provider.DoesNotExist):
        refresh_provider(provider.pk, by=developer)
