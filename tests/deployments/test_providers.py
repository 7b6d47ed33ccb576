"""Operators add, test, change, rotate, disable and delete providers; no credential is ever readable again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.utils.timezone import now
from rest_framework.test import APIClient

from audit.models import AuditEntry
from core.encryption import CannotDecrypt
from core.errors import Conflict
from deployments.models import Provider, ProviderCredential, ProviderModel
from deployments.provider_actions import (
    add_provider,
    change_provider,
    delete_provider,
    disable_provider,
    set_allowed_networks,
)
from deployments.provider_credentials import (
    NewCredential,
    clean_credential,
    credential_for_gateways,
    row_of,
)
from deployments.provider_fields import clean_headers
from deployments.provider_impact import impact_of
from deployments.provider_lists import match_provider_model, name_provider_model, refresh_provider
from deployments.provider_managers import set_provider_manager
from deployments.provider_matching import candidates
from deployments.provider_rotation import (
    end_provider_credential,
    erase_ended_credentials,
    rotate_provider_credential,
)
from tenants.revision import current_revision
from tests.deployments.provider_stub import GOOD_KEY, MODELS, WRONG_KEY, Authority, saying, serving
from tests.factories import (
    CatalogModelFactory,
    ProviderFactory,
    ProviderModelFactory,
    UserFactory,
    allow_loopback,
    credential_of,
    staff,
)

pytestmark = pytest.mark.django_db
PROVIDERS = "/api/v1/providers/"
SECOND_KEY = "stub-key-second-77c1e0d4a92b-NEXT"


@pytest.fixture
def stub(db):
    allow_loopback()
    with serving() as stub:
        yield stub


@pytest.fixture
def provider(stub, operator):
    draft = Provider(name="openai-eu", title="OpenAI EU", dialect="openai", base_url=stub.url)
    return add_provider(draft, stored(GOOD_KEY), by=operator)


def stored(secret):
    return clean_credential("stored", secret, "")


def as_user(user):
    client = APIClient()
    client.force_authenticate(user)
    return client


def verbs():
    return list(AuditEntry.objects.across_tenants().order_by("pk").values_list("verb", flat=True))


def whole_answer(response):
    return response.content.decode()


def new(stub, **more):
    return {
        "name": "openai-eu", "title": "OpenAI EU", "dialect": "openai", "base_url": stub.url,
        "credential": {"kind": "stored", "secret": GOOD_KEY},
    } | more  # fmt: skip


# Adding, and the test before it.


def test_a_wrong_key_is_not_saved_and_a_right_one_is(stub, operator):
    client = as_user(operator)
    wrong = client.post(
        PROVIDERS, new(stub, credential={"kind": "stored", "secret": WRONG_KEY}), format="json"
    )
    assert wrong.status_code == 400
    assert "rejects the credential (401)" in whole_answer(wrong)
    assert WRONG_KEY not in whole_answer(wrong)
    assert not Provider.objects.exists()

    right = client.post(PROVIDERS, new(stub), format="json")
    assert right.status_code == 201, whole_answer(right)
    assert GOOD_KEY not in whole_answer(right)
    [credential] = right.json()["credentials"]
    assert (credential["hint"], credential["kind"], credential["valid_until"]) == ("GOOD", "stored", None)
    assert ProviderModel.objects.filter(provider__name="openai-eu").count() == len(MODELS)
    assert "provider.added" in verbs()
    assert client.post(PROVIDERS, new(stub), format="json").status_code == 409


def test_a_test_without_saving_says_what_was_reached(stub, operator):
    client = as_user(operator)
    tried = client.post(f"{PROVIDERS}try/", new(stub), format="json").json()
    assert tried["words"].startswith("Reached, 37 models listed, ")
    assert len(tried["models"]) == 37
    incomplete = client.post(f"{PROVIDERS}try/", new(stub, base_url=stub.url[:-3]), format="json")
    assert f"Try {stub.url}" in whole_answer(incomplete)
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
    with serving(authority.server(tmp_path, "127.0.0.1")) as stub:
        refused = as_user(operator).post(PROVIDERS, new(stub), format="json")
        assert "private_ca" in refused.json()["errors"]
        assert stub.calls == []
        added = as_user(operator).post(PROVIDERS, new(stub, private_ca=authority.pem), format="json")
        assert added.status_code == 201, whole_answer(added)


# Networks.


def test_networks_are_an_operators_decision_and_open_only_themselves(operator, stub):
    set_allowed_networks([], by=operator)
    client = as_user(operator)
    assert "allow the network that it is in" in whole_answer(client.post(PROVIDERS, new(stub), format="json"))
    before = current_revision()
    assert (
        client.post("/api/v1/provider-networks/", {"networks": ["127.0.0.0/8"]}, format="json").status_code
        == 200
    )
    assert current_revision() > before
    assert client.post(PROVIDERS, new(stub), format="json").status_code == 201
    for text in ("0.0.0.0/0", "169.254.0.0/16", "nonsense"):
        answer = client.post("/api/v1/provider-networks/", {"networks": [text]}, format="json")
        assert (answer.status_code, text in whole_answer(answer)) == (400, True)
    assert client.get("/api/v1/provider-networks/").json() == {"networks": ["127.0.0.0/8"]}


# Credentials.


def test_a_credential_is_encrypted_and_readable_by_gateways_alone(provider, operator):
    row = provider.credentials.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM deployments_providercredential")
        everything = str(
            [bytes(cell) if isinstance(cell, memoryview) else cell for cell in cursor.fetchone()]
        )
    assert GOOD_KEY not in everything
    assert GOOD_KEY[:12] not in str(vars(row)) + str(row) + row.label
    assert row.label == f"…GOOD ({row.fingerprint})"
    found = credential_for_gateways(provider)
    assert (found.kind, found.value, found.older) == ("stored", GOOD_KEY, None)
    assert GOOD_KEY not in repr(found)
    assert GOOD_KEY not in repr(NewCredential(ProviderCredential.Kind.STORED, secret=GOOD_KEY))


def test_another_secret_key_reads_nothing(provider, settings):
    settings.SECRET_KEY = "another secret key of at least fifty characters, for this test alone"
    with pytest.raises(CannotDecrypt):
        credential_for_gateways(provider)


@pytest.mark.parametrize("path", ["", "{pk}/", "{pk}/impact/"])
def test_no_answer_of_the_api_holds_a_credential(provider, operator, path):
    answer = as_user(operator).get(PROVIDERS + path.format(pk=provider.pk))
    assert answer.status_code == 200
    assert GOOD_KEY not in whole_answer(answer)
    assert "ciphertext" not in whole_answer(answer)


def test_a_short_credential_shows_no_end():
    assert row_of(Provider(), stored("short-key")).hint == ""


@pytest.mark.parametrize(
    ("kind", "secret", "reference"),
    [
        ("stored", "", ""),
        ("stored", "two words", ""),
        ("stored", "lines\r\nx: y", ""),
        ("stored", "x" * 4097, ""),
        ("stored", "secret", "also/a/file"),
        ("file", "", "../../proc/self/environ"),
        ("file", "", "/etc/shadow"),
        ("file", "", ""),
        ("environment", "", "GATEWAY_TOKEN"),
        ("environment", "", "SECRET_KEY"),
        ("environment", "secret", "PROVIDER_X"),
        ("vault", "", "x"),
    ],
)
def test_no_reference_names_another_secret_of_a_gateway(kind, secret, reference):
    with pytest.raises(ValidationError):
        clean_credential(kind, secret, reference)


def test_a_reference_is_handed_on_as_a_name(operator):
    provider = ProviderFactory()
    row = row_of(provider, clean_credential("file", "", "openai/key"))
    row.save()
    found = credential_for_gateways(provider)
    assert (found.kind, found.value) == ("file", "openai/key")
    row.reference = "../key"
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save()


def test_rotation_overlaps_and_the_old_one_ends_by_itself(provider, stub, operator):
    stub.answer = saying(200, {"data": []})
    before = current_revision()
    rotate_provider_credential(provider.pk, stored(SECOND_KEY), 24, by=operator)
    assert current_revision() > before
    found = credential_for_gateways(provider)
    assert (found.value, found.valid_until, found.older.value) == (SECOND_KEY, None, GOOD_KEY)
    assert timedelta(hours=23) < found.older.valid_until - now() < timedelta(hours=25)
    later = credential_for_gateways(provider, at=now() + timedelta(hours=25))
    assert (later.value, later.older) == (SECOND_KEY, None)
    entry = AuditEntry.objects.across_tenants().get(verb="provider.credential_rotated")
    assert (entry.actor_label, entry.details["overlap_hours"]) == (operator.email, 24)


def test_a_new_credential_is_tested_before_it_is_in_force(provider, operator):
    with pytest.raises(ValidationError, match="rejects the credential"):
        rotate_provider_credential(provider.pk, stored(WRONG_KEY), 24, by=operator)
    with pytest.raises(ValidationError, match="in force already"):
        rotate_provider_credential(provider.pk, stored(GOOD_KEY), 24, by=operator)
    assert credential_for_gateways(provider).value == GOOD_KEY


def test_without_overlap_the_old_one_ends_at_once_and_is_erased(provider, operator):
    rotate_provider_credential(provider.pk, stored(SECOND_KEY), 0, by=operator, is_tested=False)
    old = provider.credentials.order_by("valid_from").first()
    assert (old.ciphertext, credential_for_gateways(provider).older) == (None, None)


def test_the_old_one_can_be_ended_now_but_not_the_only_one(provider, operator):
    first = provider.credentials.get()
    with pytest.raises(Conflict, match="only credential in force"):
        end_provider_credential(first.pk, by=operator)
    rotate_provider_credential(provider.pk, stored(SECOND_KEY), 24, by=operator, is_tested=False)
    ended = end_provider_credential(first.pk, by=operator)
    assert ended.ciphertext is None
    assert credential_for_gateways(provider).older is None
    with pytest.raises(Conflict, match="already ended"):
        end_provider_credential(first.pk, by=operator)
    disable_provider(provider.pk, by=operator)
    end_provider_credential(provider.credentials.get(valid_until=None).pk, by=operator)
    assert credential_for_gateways(provider) is None


def test_credentials_past_their_deadline_are_erased(provider):
    provider.credentials.update(valid_until=now() + timedelta(hours=1))
    assert erase_ended_credentials() == 0
    ProviderCredential.objects.update(
        valid_from=now() - timedelta(hours=2), valid_until=now() - timedelta(seconds=1)
    )
    assert erase_ended_credentials() == 1
    assert provider.credentials.get().ciphertext is None


# Changing, disabling, deleting.


def test_a_change_of_how_it_is_reached_is_tested_first(provider, stub, operator):
    calls = len(stub.calls)
    change_provider(provider.pk, by=operator, title="Other", regions=["EU-West-1"], retention_days=30)
    assert len(stub.calls) == calls, "neither of these changes how it is reached"
    with pytest.raises(ValidationError) as refused:
        change_provider(provider.pk, by=operator, base_url=stub.url[:-3])
    assert "base_url" in refused.value.message_dict
    provider.refresh_from_db()
    assert (provider.title, provider.regions, provider.base_url) == ("Other", ["eu-west-1"], stub.url)
    change_provider(provider.pk, by=operator, base_url="https://api.example.com/v1", is_tested=False)
    entry = AuditEntry.objects.across_tenants().filter(verb="provider.changed").latest("pk")
    assert entry.changes == {"base_url": [stub.url, "https://api.example.com/v1"]}


def test_disabling_says_first_what_it_stops(provider, operator):
    model = CatalogModelFactory(name="grown-model")
    ProviderModelFactory(provider=provider, model=model)
    assert [impact.value for impact in impact_of(provider)][:2] == [1, 0]
    before = current_revision()
    assert disable_provider(provider.pk, by=operator).is_enabled is False
    assert current_revision() > before
    with pytest.raises(Conflict):
        disable_provider(provider.pk, by=operator)


def test_a_provider_is_deleted_only_when_nothing_routes_there(provider, operator, monkeypatch):
    def protected(self):
        raise ProtectedError("routed", {provider.models.get(name="gpt-4o")})

    with monkeypatch.context() as patched:
        patched.setattr(type(Provider.objects.all()), "delete", protected)
        with pytest.raises(Conflict, match="gpt-4o at OpenAI EU"):
            delete_provider(provider.pk, by=operator)
    assert "provider.deleted" not in verbs()
    delete_provider(provider.pk, by=operator)
    assert not Provider.objects.exists()
    assert not ProviderCredential.objects.exists()
    assert "provider.deleted" in verbs()


# Its models.


def test_refreshing_adds_what_is_new_and_keeps_what_is_gone(provider, stub, operator):
    stub.answer = saying(200, {"data": [{"id": "gpt-4o"}, {"id": "text-embedding-9"}]})
    refresh_provider(provider.pk, by=operator)
    assert provider.models.count() == len(MODELS) + 1
    provider.refresh_from_db()
    assert set(provider.models.listed().values_list("name", flat=True)) == {"gpt-4o", "text-embedding-9"}
    assert provider.models.get(name="text-embedding-9").mode == "embedding"
    assert not provider.models.get(name="model-3").is_listed


def test_a_failed_refresh_is_kept_as_the_fault_and_changes_no_model(provider, stub, operator):
    stub.answer = saying(503, {"error": {"message": "overloaded"}})
    answer = as_user(operator).post(f"{PROVIDERS}{provider.pk}/refresh/")
    assert (answer.status_code, "overloaded" in whole_answer(answer)) == (409, True)
    provider.refresh_from_db()
    assert "503" in provider.fault
    assert provider.models.listed().count() == len(MODELS)


@pytest.mark.parametrize(
    ("name", "dialect", "public", "by"),
    [
        ("gpt-4o", "openai", "gpt-4o", "exact"),
        ("gpt-4o-2024-08-06", "openai", "gpt-4o", "normalized"),
        ("GPT-4o", "openai", "gpt-4o", "exact"),
        ("openai/gpt-4o", "openrouter", "gpt-4o", "normalized"),
        ("meta-llama/llama-3.3-70b-instruct:free", "openrouter", "llama-3.3-70b-instruct", "normalized"),
        ("meta-llama/Llama-3.3-70B-Instruct", "vllm", "llama-3.3-70b-instruct", "normalized"),
        ("claude-sonnet-4-5-20250929", "anthropic", "claude-sonnet-4-5", "normalized"),
        ("mistral-large-latest", "mistral", "mistral-large", "normalized"),
        ("our-own-model", "openai", None, ""),
    ],
)
def test_names_are_matched_exactly_and_then_by_spelling(stub, operator, name, dialect, public, by):
    for known in ("gpt-4o", "llama-3.3-70b-instruct", "claude-sonnet-4-5", "mistral-large"):
        CatalogModelFactory(name=known)
    provider = ProviderFactory(dialect=dialect)
    row = name_provider_model(provider.pk, name, by=operator)
    assert (row.model.name if row.model else None, row.matched_by) == (public, by)


def test_a_model_of_another_mode_or_a_retired_one_is_no_match(operator):
    CatalogModelFactory(name="text-embed-x", mode="chat")
    CatalogModelFactory(name="old-model", lifecycle="retired")
    provider = ProviderFactory()
    assert name_provider_model(provider.pk, "text-embed-x", "embedding", by=operator).model is None
    assert name_provider_model(provider.pk, "old-model", by=operator).model is None


def test_a_persons_match_outlives_every_list(provider, stub, operator):
    other = CatalogModelFactory(name="aya-expanse")
    CatalogModelFactory(name="gpt-4o")
    row = provider.models.get(name="gpt-4o")
    match_provider_model(row.pk, other, by=operator)
    refresh_provider(provider.pk, by=operator)
    row.refresh_from_db()
    assert (row.model, row.matched_by) == (other, "person")
    match_provider_model(row.pk, None, by=operator)
    refresh_provider(provider.pk, by=operator)
    row.refresh_from_db()
    assert row.model is None
    embedding = CatalogModelFactory(name="embedder", mode="embedding")
    row.mode = "chat"
    row.save()
    with pytest.raises(ValidationError, match="gpt-4o is for chat"):
        match_provider_model(row.pk, embedding, by=operator)


def test_a_long_list_costs_few_queries(stub, operator, django_assert_max_num_queries):
    names = [{"id": f"vendor-{n}-2024-08-06"} for n in range(3_000)]
    stub.answer = saying(200, {"data": names})
    draft = Provider(name="many", title="Many", dialect="openai_compatible", base_url=stub.url)
    with django_assert_max_num_queries(60):
        add_provider(draft, None, by=operator)
    assert ProviderModel.objects.count() == 3_000
    assert candidates("x" * 200, "openai")[0][0] == "x" * 200


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
