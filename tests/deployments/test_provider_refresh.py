"""Lists of models are read again by themselves: bounded, as a test by hand asks, and told only if something changed."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.utils.timezone import now

from audit.models import AuditEntry
from core.dates import ago
from core.errors import Conflict
from core.secrets import new_key_secret
from deployments import provider_refresh
from deployments.models import EgressPolicy, Provider, ProviderCredential
from deployments.provider_credentials import NewCredential
from deployments.provider_lists import refresh_provider
from deployments.provider_refresh import EVERY, MOST_AT_ONCE, refresh_due_providers
from deployments.provider_rotation import rotate_provider_credential
from deployments.tasks import SCHEDULE, refresh_providers
from tests.deployments.provider_stub import GOOD_KEY, MODELS, saying, serving
from tests.factories import ProviderFactory, allow_loopback, credential_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def upstream():
    allow_loopback()
    with serving() as stub:
        yield stub


@pytest.fixture
def provider(upstream):
    return due(upstream.url)


def due(url, **fields):
    before = now() - EVERY - timedelta(minutes=1)
    found = ProviderFactory(base_url=url, tested_at=before, listed_at=before, **fields)
    credential_of(found, GOOD_KEY)
    return found


def entries():
    return AuditEntry.objects.across_tenants().filter(verb="provider.listed_anew")


def test_an_old_list_is_read_again_and_told_if_it_changed(provider, upstream, operator, client):
    refresh_providers()
    provider.refresh_from_db()
    assert provider.models.count() == 37
    assert now() - provider.listed_at < timedelta(minutes=1)
    entry = entries().get()
    assert (
        entry.details["added"]
        == "gpt-4o, model-0, model-1, model-10, model-11, model-12, model-13, model-14, "
        "model-15, model-16 + 27"
    )
    assert entry.details["removed"] == ""
    assert refresh_due_providers() == 0, "it is new"
    Provider.objects.update(tested_at=now() - EVERY - timedelta(minutes=1))
    refresh_providers()
    assert entries().count() == 1, "nothing changed"
    Provider.objects.update(tested_at=now() - EVERY - timedelta(minutes=1))
    upstream.answer = saying(200, {"object": "list", "data": MODELS[1:]})
    refresh_providers()
    assert entries().latest("pk").details["removed"] == "model-0"
    client.force_login(operator)
    Provider.objects.update(listed_at=now() - timedelta(hours=3))
    page = client.get(f"/admin/deployments/provider/{provider.pk}/change/").content.decode()
    assert ago(Provider.objects.get().listed_at) in page
    assert SCHEDULE["refresh-providers"]["task"] == refresh_providers.name


def test_a_provider_that_is_away_keeps_its_models_and_is_asked_later(provider, upstream):
    refresh_providers()
    Provider.objects.update(tested_at=now() - EVERY - timedelta(minutes=1))
    upstream.answer = saying(503, {})
    refresh_providers()
    provider.refresh_from_db()
    assert provider.fault
    assert provider.models.filter(last_seen_at__gte=provider.listed_at).count() == 37
    assert entries().latest("pk").details["fault"] == provider.fault
    assert refresh_due_providers() == 0
    Provider.objects.update(tested_at=now() - EVERY - timedelta(minutes=1))
    refresh_providers()
    assert entries().count() == 2, "still away"


def test_a_lost_credential_keeps_no_other_list_from_being_read(provider, upstream, operator):
    lost = due(upstream.url)
    ProviderCredential.objects.filter(provider=lost).update(ciphertext=b"of another SECRET_KEY")
    Provider.objects.filter(pk=lost.pk).update(tested_at=now() - timedelta(days=9))
    assert refresh_due_providers() == 2
    lost.refresh_from_db()
    provider.refresh_from_db()
    assert "Enter it again" in lost.fault
    assert provider.fault == ""
    with pytest.raises(Conflict, match="Enter it again"):
        refresh_provider(lost.pk, by=operator)
    again = NewCredential(ProviderCredential.Kind.STORED, secret=GOOD_KEY)
    rotate_provider_credential(lost.pk, again, 0, by=operator)
    lost.refresh_from_db()
    assert lost.fault == ""


def test_a_name_that_looks_like_a_secret_stops_nothing_and_is_not_recorded(provider, upstream):
    secret = new_key_secret()
    upstream.answer = saying(200, {"object": "list", "data": [{"id": secret}, {"id": "gpt-4o"}]})
    assert refresh_due_providers() == 1
    provider.refresh_from_db()
    assert now() - provider.tested_at < timedelta(minutes=1)
    assert secret not in str(entries().get().details)


def test_only_what_can_be_read_is_asked(upstream):
    due(upstream.url, is_enabled=False)
    never = ProviderFactory(base_url=upstream.url)
    assert never.listed_at is None
    assert refresh_due_providers() == 0
    assert upstream.calls == []


def test_a_closed_network_is_not_asked(provider, upstream):
    EgressPolicy.objects.update(allowed_networks=[])
    refresh_providers()
    provider.refresh_from_db()
    assert "allow the network" in provider.fault
    assert upstream.calls == []


def test_a_few_at_once_the_oldest_first(upstream):
    providers = [due(upstream.url) for _ in range(MOST_AT_ONCE + 1)]
    Provider.objects.filter(pk=providers[-1].pk).update(tested_at=now() - timedelta(days=9))
    assert refresh_due_providers() == MOST_AT_ONCE
    left = Provider.objects.get(tested_at__lt=now() - EVERY)
    assert left.pk == providers[MOST_AT_ONCE - 1].pk
    assert refresh_due_providers() == 1


def test_slow_providers_end_a_round_in_time_and_the_next_goes_on(upstream, monkeypatch):
    for _ in range(3):
        due(upstream.url)
    clock = itertools.count(0, 40)
    monkeypatch.setattr(provider_refresh, "monotonic", lambda: next(clock))
    assert refresh_due_providers() == 1
    assert refresh_due_providers() == 1


def test_what_a_person_tested_meanwhile_stays(provider, monkeypatch):
    real = provider_refresh.require_reached

    def slowly(asked):
        report = real(asked)
        Provider.objects.filter(pk=asked.pk).update(tested_at=now(), fault="Tested by hand.")
        return report

    monkeypatch.setattr(provider_refresh, "require_reached", slowly)
    refresh_providers()
    provider.refresh_from_db()
    assert (provider.fault, provider.models.count()) == ("Tested by hand.", 0)
