"""While a provider is tested, somebody else may move it: neither a credential nor a result goes to the new place."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from core.errors import Conflict
from deployments import provider_actions, provider_lists, provider_refresh, provider_rotation
from deployments.models import Provider
from deployments.provider_actions import change_provider
from deployments.provider_credentials import credentials_for_gateways
from deployments.provider_lists import refresh_provider
from deployments.provider_refresh import EVERY, refresh_due_providers
from deployments.provider_rotation import rotate_provider_credential
from deployments.providers.listing import Listed, Report
from tests.deployments.provider_cast import PROVIDERS, SECOND_KEY, as_user, stored, whole_answer
from tests.deployments.provider_stub import GOOD_KEY

pytestmark = pytest.mark.django_db
ELSEWHERE = "https://elsewhere.example.com/v1"


@pytest.fixture
def moved_meanwhile(monkeypatch):
    """During the next test of a provider, in whichever module asks for it, calls to it are sent elsewhere."""

    def reached(provider, credential=None):
        Provider.objects.update(base_url=ELSEWHERE)
        return Report((Listed("of-the-place-before", "chat"),), 1)

    for module in (provider_actions, provider_lists, provider_refresh, provider_rotation):
        monkeypatch.setattr(module, "require_reached", reached)


def values_of(provider):
    [kept] = credentials_for_gateways(Provider.objects.get(pk=provider.pk))
    return kept.value


def test_a_new_credential_does_not_go_to_another_place(provider, operator, moved_meanwhile):
    with pytest.raises(Conflict, match="just changed where calls") as refused:
        rotate_provider_credential(provider.pk, stored(SECOND_KEY), 1, by=operator)
    assert refused.value.code == "changed_meanwhile"
    assert values_of(provider) == GOOD_KEY


def test_nor_one_that_comes_with_another_change(provider, operator, moved_meanwhile):
    answer = as_user(operator).patch(
        f"{PROVIDERS}{provider.pk}/",
        {"title": "Another", "credential": {"kind": "stored", "secret": SECOND_KEY}},
        format="json",
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "changed_meanwhile"), whole_answer(answer)
    assert values_of(provider) == GOOD_KEY
    assert Provider.objects.get(pk=provider.pk).title == provider.title


def test_nor_is_what_a_test_found_saved_there(provider, operator, moved_meanwhile):
    before = Provider.objects.values("tested_at", "listed_at", "fault").get(pk=provider.pk)
    with pytest.raises(Conflict):
        refresh_provider(provider.pk, by=operator)
    assert Provider.objects.values("tested_at", "listed_at", "fault").get(pk=provider.pk) == before
    assert not provider.models.filter(name="of-the-place-before").exists()


def test_nor_what_was_read_by_itself(provider, moved_meanwhile):
    moment = now() - EVERY - timedelta(minutes=1)
    Provider.objects.update(tested_at=moment, listed_at=moment)
    assert refresh_due_providers() == 1
    provider.refresh_from_db()
    assert (provider.base_url, provider.tested_at, provider.listed_at) == (ELSEWHERE, moment, moment)


def test_whoever_moves_it_is_not_in_their_own_way(provider, operator, upstream):
    url = upstream.url.replace("127.0.0.1", "localhost")
    moved = change_provider(provider.pk, by=operator, base_url=url, credential=stored(GOOD_KEY))
    assert moved.base_url == url
