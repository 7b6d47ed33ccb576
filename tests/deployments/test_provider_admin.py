"""The operators' pages of providers: what is wrong stands beside its field, and no page holds a credential."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils.timezone import now

from deployments.models import EgressPolicy, Provider, ProviderCredential
from deployments.provider_credentials import clean_credential, credentials_for_gateways
from deployments.provider_rotation import end_provider_credential, rotate_provider_credential
from gateway.models import Gateway
from tests.deployments.provider_stub import GOOD_KEY, WRONG_KEY, serving
from tests.factories import CatalogModelFactory, ProviderFactory, allow_loopback, credential_of

pytestmark = pytest.mark.django_db
SENT = {"_form_submitted": "on"}
ADD = "/admin/deployments/provider/add/"


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


@pytest.fixture
def stub(db):
    allow_loopback()
    with serving() as stub:
        yield stub


def form(stub, **more):
    return {
        "name": "openai-eu", "title": "OpenAI EU", "dialect": "openai", "base_url": stub.url, "api_version": "",
        "regions": "EU-west-1, eu-west-2,,", "highest_data_class": "internal", "trains_on_data": "false",
        "extra_headers": "OpenAI-Organization: org-1", "connect_timeout_seconds": "5",
        "first_byte_timeout_seconds": "60", "idle_timeout_seconds": "60", "credential_kind": "stored",
        "credential": GOOD_KEY, "reference": "", "test": "yes",
    } | more  # fmt: skip


def page(desk, path):
    answer = desk.get(path)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def test_an_empty_form_and_an_empty_list(desk):
    assert "Up to and including the version" in page(desk, ADD)
    assert "Allowed networks" in page(desk, "/admin/deployments/provider/")


def test_a_wrong_key_is_told_beside_its_field_and_never_comes_back(desk, stub):
    answer = desk.post(ADD, form(stub, credential=WRONG_KEY))
    text = answer.content.decode()
    assert "It rejects the credential (401). It says: Incorrect API key provided: …" in text
    assert WRONG_KEY not in text
    assert not Provider.objects.exists()
    mended = desk.post(ADD, form(stub), follow=True)
    assert "Reached, 37 models listed," in mended.content.decode()
    provider = Provider.objects.get()
    assert (provider.regions, provider.extra_headers, provider.trains_on_data) == (
        ["eu-west-1", "eu-west-2"], {"openai-organization": "org-1"}, False,
    )  # fmt: skip
    text = page(desk, f"/admin/deployments/provider/{provider.pk}/change/")
    for words in ("OpenAI EU", "…GOOD", "37 listed, 0 of them in the catalog", "reached,"):
        assert words in text
    assert GOOD_KEY not in text
    assert "enabled" in page(desk, "/admin/deployments/provider/")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("base_url", "https://169.254.169.254/v1", "metadata service"),
        ("base_url", "https://10.1.2.3/v1", "is a private address"),
        ("credential_kind", "", "wants a credential (401)"),
        ("credential", "", "Enter the credential."),
        ("extra_headers", "Authorization: Bearer x", "Credentials have a field of their own"),
        ("extra_headers", "no colon", "Write each header as name: value."),
        ("private_ca", "nonsense", "PEM form"),
        ("name", "two words", "Use only letters"),
        ("regions", "EU West!", "is no region"),
        ("base_url", "https://api.example.com:99999/v1", "The port is no number from 1 to 65535."),
        ("base_url", "https://ex\u00e4mple.com/v1", "a character beyond ASCII"),
        ("proxy_url", "proxy.example.com:3128", "The URL of a proxy begins with http://."),
    ],
)
def test_each_mistake_is_told_on_the_page(desk, stub, field, value, words):
    more = {"credential": ""} if (field, value) == ("credential_kind", "") else {}
    answer = desk.post(ADD, form(stub, **{field: value}, **more))
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not Provider.objects.exists()


def test_pages_say_what_a_quota_does_and_who_may_move_a_provider(desk):
    provider = ProviderFactory()
    path = f"/admin/deployments/provider/{provider.pk}"
    assert "not known; gateways send calls until the provider refuses them" in page(desk, f"{path}/change/")
    Provider.objects.update(requests_per_minute=60, tokens_per_minute=90_000)
    assert "60 requests, 90,000 tokens; while it is used up, gateways send" in page(desk, f"{path}/change/")
    assert "Gateways send it no more, and use the next target instead" in page(desk, f"{path}/settings/")
    assert "are for people who may manage all providers" in page(desk, f"{path}/settings/")
    assert "but not where calls go: base URL, proxy and private CA" in page(desk, f"{path}/managers/")


def test_a_page_says_until_when_there_is_a_credential(desk, operator):
    """Whoever ends the new one of two has the old one left, with its end."""
    provider = ProviderFactory()
    path = f"/admin/deployments/provider/{provider.pk}/change/"

    def said():
        shown = page(desk, path).partition("Credential in use")[2]
        return " ".join(re.sub(r"<[^>]*>", " ", shown).split()).partition("List of models read")[0].strip()

    assert said() == "none"
    first = credential_of(provider, "first-credential-of-ours-0001")
    assert said() == first.label
    new = clean_credential("stored", "wrong-credential-of-ours-0002", "")
    newer = rotate_provider_credential(provider.pk, new, 24, by=operator, is_tested=False)
    assert said() == newer.label
    end_provider_credential(newer.pk, by=operator)
    assert said().startswith(f"{first.label}, until ")
    assert said().endswith("and no longer. Enter a new one before.")
    ProviderCredential.objects.update(
        valid_from=now() - timedelta(days=2), valid_until=now() - timedelta(days=1)
    )
    assert said() == "Each has ended, so gateways send it no calls. Enter a new one."


def gateway(name, **report):
    return Gateway.objects.create(
        name=name, prefix="qmg_", digest=name, last_seen_at=now(), report={"contract_version": 2, **report}
    )


def test_where_a_quota_is_set_and_shown_it_says_who_shares_it(desk):
    provider = ProviderFactory(requests_per_minute=60)
    places = [ADD, *(f"/admin/deployments/provider/{provider.pk}/{name}/" for name in ("change", "settings"))]

    def all_say(words):
        assert [words in page(desk, place) for place in places] == [True] * 3

    all_say("No gateway is alive now. Gateways share a quota if they count in one Redis (GATEWAY_REDIS_URL)")
    gateway("gw-1")
    all_say("1 gateway counts it now. More gateways share it if all count in one Redis (GATEWAY_REDIS_URL).")
    Gateway.objects.update(report={"contract_version": 2, "counts_in": "a"})
    gateway("gw-2", counts_in="a")
    # These heed no quotas.
    gateway("gw-plugin", kind="litellm")
    gateway("gw-old", contract_version=1)
    all_say("2 gateways share it now: they count in one Redis.")
    gateway("gw-3")
    gateway("gw-4", counts_in="b")
    all_say("4 gateways do not share it")
    all_say("they count in 3 places, so together they may send 3 times as much.")


def test_settings_are_tested_and_changed(desk, stub):
    desk.post(ADD, form(stub))
    provider = Provider.objects.get()
    path = f"/admin/deployments/provider/{provider.pk}/settings/"
    text = page(desk, path)
    assert 'value="OpenAI EU"' in text
    assert "openai-organization: org-1" in text
    wrong = desk.post(path, form(stub, base_url=stub.url[:-3]))
    assert (wrong.status_code, f"Try {stub.url}" in wrong.content.decode()) == (422, True)
    nothing = {"credential_kind": "", "credential": ""}
    moved = desk.post(path, form(stub, base_url="https://api.example.com/v1", test="no", **nothing))
    assert (moved.status_code, "Enter it again" in moved.content.decode()) == (422, True)
    mixed_up = desk.post(path, form(stub, credential_kind=""))
    assert (mixed_up.status_code, GOOD_KEY in mixed_up.content.decode()) == (422, False)
    kept = form(stub, title="OpenAI Europe", retention_days="30", receives_traces="True", **nothing)
    assert desk.post(path, kept).status_code == 302
    provider.refresh_from_db()
    assert (provider.title, provider.retention_days) == ("OpenAI Europe", 30)
    assert provider.receives_traces is True
    # A page from before the release does not know the field.
    assert desk.post(path, form(stub, title="OpenAI Europe", **nothing)).status_code == 302
    provider.refresh_from_db()
    assert provider.receives_traces is True
    assert desk.post(path, form(stub, receives_traces="False", **nothing)).status_code == 302
    provider.refresh_from_db()
    assert provider.receives_traces is False
    assert desk.post(path, kept).status_code == 302
    assert "OpenAI Europe is changed." in page(desk, f"/admin/deployments/provider/{provider.pk}/change/")


def test_rotating_ending_disabling_and_deleting_ask_first(desk, stub):
    desk.post(ADD, form(stub))
    provider = Provider.objects.get()
    own = f"/admin/deployments/provider/{provider.pk}"
    assert "Enter a new credential" in page(desk, f"{own}/rotate/")
    rotated = SENT | {
        "credential_kind": "stored", "credential": "brand-new-key-1234567", "overlap_hours": "24", "test": "no",
    }  # fmt: skip
    answer = desk.post(f"{own}/rotate/", rotated)
    assert "brand-new-key-1234567" not in answer.content.decode()
    assert credentials_for_gateways(provider)[1].value == GOOD_KEY
    old = provider.credentials.exclude(valid_until=None).get()
    desk.post(f"/admin/deployments/providercredential/{old.pk}/end/", SENT)
    assert len(credentials_for_gateways(provider)) == 1
    assert "has ended" in page(desk, "/admin/deployments/providercredential/")

    CatalogModelFactory(name="gpt-4o")
    desk.post(f"{own}/rotate/", rotated | {"credential": GOOD_KEY, "test": "yes"})
    dialog = page(desk, f"{own}/disable/")
    assert "Disable this provider?" in dialog
    assert "Models that nothing else serves" in dialog
    desk.post(f"{own}/disable/", SENT)
    assert not Provider.objects.get().is_enabled
    desk.post(f"{own}/enable/", SENT)
    assert Provider.objects.get().is_enabled
    desk.post(f"{own}/remove/", SENT)
    assert not Provider.objects.exists()


def test_refreshing_says_what_was_found_and_what_is_wrong(desk, stub):
    desk.post(ADD, form(stub))
    provider = Provider.objects.get()
    own = f"/admin/deployments/provider/{provider.pk}"
    assert desk.post(f"{own}/refresh/", SENT).status_code == 302
    assert "Reached, 37 models listed," in page(desk, f"{own}/change/")
    Provider.objects.update(base_url="http://127.0.0.1:1024/v1")
    assert desk.post(f"{own}/refresh/", SENT).status_code == 409
    assert "refuses the connection" in page(desk, "/admin/deployments/provider/")


def test_models_are_listed_named_and_matched(desk, stub):
    CatalogModelFactory(name="aya-expanse")
    provider = ProviderFactory(dialect="azure")
    own = f"/admin/deployments/provider/{provider.pk}"
    wrong = desk.post(f"{own}/name-model/", SENT | {"name": "our-gpt", "mode": "chats"}).content.decode()
    assert "This is not among the choices" in wrong
    desk.post(f"{own}/name-model/", SENT | {"name": "our-gpt", "mode": "chat"})
    row = provider.models.get()
    text = page(desk, f"/admin/deployments/providermodel/?provider__id__exact={provider.pk}")
    assert "our-gpt" in text
    match = f"/admin/deployments/providermodel/{row.pk}/match/"
    assert (
        "The catalog has no model with this name."
        in desk.post(match, SENT | {"model": "nothing"}).content.decode()
    )
    desk.post(match, SENT | {"model": "aya-expanse"})
    assert "aya-expanse (Published)" in page(desk, f"/admin/deployments/providermodel/{row.pk}/change/")


def test_networks_have_a_page(desk):
    path = "/admin/deployments/provider/networks/"
    assert "Networks that providers may be in" in page(desk, path)
    assert "too wide" in desk.post(path, SENT | {"networks": "0.0.0.0/0"}).content.decode()
    desk.post(path, SENT | {"networks": "10.20.0.0/16\nfd12:3456::/48"})
    assert EgressPolicy.objects.get().allowed_networks == ["10.20.0.0/16", "fd12:3456::/48"]
    assert "fd12:3456::/48" in page(desk, path)


@pytest.mark.parametrize("name", ["provider", "providercredential", "providermodel"])
def test_reviewers_do_not_see_providers(client, security_reviewer, name):
    client.force_login(security_reviewer)
    assert client.get(f"/admin/deployments/{name}/").status_code == 403


def test_no_filter_of_the_admin_reads_a_ciphertext(desk, stub):
    desk.post(ADD, form(stub))
    answer = desk.get("/admin/deployments/providercredential/?ciphertext__startswith=gAAAA")
    assert answer.status_code in (302, 400)
