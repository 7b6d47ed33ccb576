"""Undoing what routes, providers and price lists were set to."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied
from django.utils.timezone import now

from audit.models import AuditEntry
from billing.prices import HOUR, current_prices, hour_of, publish_price_book, publish_prices, published_list
from core.errors import Conflict
from core.ids import uuid7
from deployments.degrading import Degrading, change_degrading, degrading_from_words, degrading_of
from deployments.fallbacks import change_fallbacks, names_of
from deployments.models import ProviderCredential
from deployments.provider_actions import change_provider
from deployments.provider_credentials import NewCredential
from deployments.provider_rotation import rotate_provider_credential
from deployments.route_handling import change_handling
from gateway.undo import entries_of, steps_of, undo_revision
from tenants.models import ConfigChange
from tenants.revision import current_revision
from tests.deployments.provider_stub import Authority
from tests.factories import CatalogModelFactory, ProviderFactory, staff
from tests.gateway.granted import RouteEntryFactory

# What links a revision with its entries happens at the commit.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator():
    return staff("operator")


@pytest.fixture
def route():
    return RouteEntryFactory().route


def newest():
    return ConfigChange.objects.get(revision=current_revision())


def step():
    """What undoing the one action behind the newest revision would do."""
    [found] = steps_of(entries_of(newest(), None))
    return found


def undo(by, revision=None):
    return undo_revision(revision or newest().revision, reason="It was wrong.", by=by)


# --- routes ---

HANDLING = {
    "connect_timeout_seconds": 7,
    "most_connections": 12,
    "most_attempts": 1,
    "retry_percent": 0,
    "probes": "idle",
    "is_sticky": True,
}


def handle(route, by, **values):
    route.refresh_from_db()
    change_handling(route.pk, values, based_on=route.generation, by=by)
    return newest().revision


def test_handling_is_undone_value_by_value(route, operator):
    before = {name: getattr(route, name) for name in HANDLING}
    first = handle(route, operator, **HANDLING)
    assert "retries in percent: 20" in step().words
    # Of something else, so it stays.
    handle(route, operator, call_timeout_seconds=90)
    undo(operator, first)
    route.refresh_from_db()
    assert {name: getattr(route, name) for name in HANDLING} == before
    assert route.call_timeout_seconds == 90
    undo(operator)
    route.refresh_from_db()
    assert {name: getattr(route, name) for name in HANDLING} == HANDLING, "an undo can be undone"


def test_handling_that_was_changed_since_is_not_undone(route, operator):
    first = handle(route, operator, most_attempts=1, is_sticky=True)
    handle(route, operator, most_attempts=2)
    with pytest.raises(Conflict, match="changed again since"):
        undo(operator, first)
    route.refresh_from_db()
    assert (route.most_attempts, route.is_sticky) == (2, True)


def test_fallbacks_are_undone(route, operator):
    for name in ("first", "second"):
        CatalogModelFactory(name=name)
    change_fallbacks(route.pk, ["second", "first"], based_on=route.generation, by=operator)
    assert step().words == f"Set the fallbacks of {route.model.name} to: none"
    route.refresh_from_db()
    change_fallbacks(route.pk, ["first"], based_on=route.generation, by=operator)
    undo(operator)
    assert names_of(route) == ["second", "first"]
    CatalogModelFactory(name="third")
    route.refresh_from_db()
    change_fallbacks(route.pk, ["third"], based_on=route.generation, by=operator)
    with pytest.raises(Conflict, match="changed again since"):
        undo(operator, newest().revision - 1)


@pytest.mark.parametrize(
    "wanted", [Degrading(), Degrading("tiny", 80), Degrading("tiny", None, 900), Degrading("tiny", 5, 40)]
)
def test_smaller_models_are_undone(route, operator, wanted):
    for name in ("tiny", "other or above"):
        CatalogModelFactory(name=name)
    change_degrading(route.pk, wanted, based_on=route.generation, by=None)
    route.refresh_from_db()
    change_degrading(route.pk, Degrading("other or above", 70), based_on=route.generation, by=operator)
    undo(operator)
    route.refresh_from_db()
    assert degrading_of(route) == wanted


def test_words_about_smaller_models_are_read_as_they_were_written_or_not_at_all():
    odd = Degrading("other or above", 70, 3)
    assert degrading_from_words(odd.in_words) == odd
    assert degrading_from_words("tiny whenever it is Monday") is None
    assert degrading_from_words("") is None


# --- providers ---


def test_settings_of_a_provider_are_undone_without_its_being_asked(operator):
    provider = ProviderFactory(
        regions=["eu-west-1", "eu-central-1"],
        highest_data_class="internal",
        trains_on_data=None,
        requests_per_minute=100,
        extra_headers={"openai-organization": "org-1"},
    )
    before = {name: getattr(provider, name) for name in provider.EDITABLE}
    change_provider(
        provider.pk,
        by=operator,
        is_tested=False,
        may_change_audience=True,
        regions=["us-east-1"],
        highest_data_class="public",
        retention_days=30,
        trains_on_data=False,
        extra_headers={"openai-organization": "org-2", "x-team": "search"},
        idle_timeout_seconds=7,
        requests_per_minute=None,
        tokens_per_minute=5,
    )
    assert "regions: eu-west-1, eu-central-1" in step().words
    assert "org-" not in str(list(AuditEntry.objects.across_tenants().values_list("details", "changes")))
    undo(operator)
    provider.refresh_from_db()
    assert {name: getattr(provider, name) for name in provider.EDITABLE} == before


def test_what_of_a_provider_was_changed_since_is_not_undone(operator):
    provider = ProviderFactory()
    for seconds in (7, 8):
        change_provider(provider.pk, by=operator, idle_timeout_seconds=seconds)
    with pytest.raises(Conflict, match="changed again since"):
        undo(operator, newest().revision - 1)


def test_values_of_headers_that_somebody_changed_since_stay(operator):
    provider = ProviderFactory(extra_headers={"x-team": "search"})
    for value in ("ads", "maps"):
        change_provider(
            provider.pk, by=operator, is_tested=False, extra_headers={"x-team": value, "x-new": "1"}
        )
    entry = entries_of(newest(), None).get()
    assert entry.details["same_in_words"] == ["extra_headers"], "the log says what was changed"
    assert not entry.changes
    with pytest.raises(Conflict, match="changed again since"):
        undo(operator, newest().revision - 1)
    assert "x-new, x-team" in step().words
    undo(operator)
    provider.refresh_from_db()
    assert provider.extra_headers == {"x-team": "ads", "x-new": "1"}


def test_the_log_says_that_a_certificate_was_replaced_by_another(operator):
    provider = ProviderFactory(private_ca=Authority().pem)
    change_provider(provider.pk, by=operator, is_tested=False, private_ca=Authority().pem)
    assert entries_of(newest(), None).get().details["same_in_words"] == ["private_ca"]
    assert step().undo is None
    assert "does not keep certificates" in step().words


def test_a_provider_whose_headers_nobody_can_read_any_more_is_named(operator, settings):
    change_provider(ProviderFactory().pk, by=operator, is_tested=False, extra_headers={"x-team": "search"})
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another" * 10, []
    assert step().undo is None
    assert "can no longer be read" in step().words


def test_a_credential_does_not_come_back(operator):
    provider = ProviderFactory()
    for _ in range(2):
        secret = NewCredential(ProviderCredential.Kind.STORED, secret=f"sk-{uuid7().hex}")
        rotate_provider_credential(provider.pk, secret, 0, by=operator, is_tested=False)
        assert step().undo is None
        assert "No entry has credentials" in step().words
    change_provider(provider.pk, by=operator, credential=secret, is_tested=False, title="Ours")
    assert "Its credential stays as it is" in step().words
    change_provider(
        provider.pk, by=operator, credential=secret, is_tested=False, base_url="https://other.example/v1"
    )
    with pytest.raises(Conflict, match="Calls would take the credential to another place"):
        undo(operator)


def test_each_inverse_of_a_provider_asks_for_its_permission(operator):
    provider = ProviderFactory()
    change_provider(provider.pk, by=operator, idle_timeout_seconds=7)
    with pytest.raises(PermissionDenied, match="A person must"):
        undo(None)


# --- prices ---


def test_a_price_list_is_undone_from_the_next_hour_on(operator):
    started = hour_of(now()) - 5 * HOUR
    first = {"input": Decimal(2), "output": Decimal(8)}
    publish_prices("m", first, valid_from=started, currency="EUR", reason="r", by=operator)
    assert step().undo is None
    assert "had no prices before" in step().words
    second = {"input": Decimal(3), "output": Decimal(8), "request": Decimal(1)}
    publish_prices("m", second, valid_from=started + 2 * HOUR, reason="typo", by=operator)
    assert "in EUR from the next hour, to input: 2, output: 8" in step().words
    undo(operator)
    assert current_prices(["m"])["m"].items() >= second.items(), "what was used meanwhile keeps its price"
    assert published_list(now() + HOUR, "m") == ({"input": "2", "output": "8"}, "EUR")
    with pytest.raises(Conflict, match="changed again since"):
        undo(operator, newest().revision - 1)


def test_an_import_of_prices_is_named_and_stands_in_the_way(operator):
    started = hour_of(now()) - 5 * HOUR
    for price in (2, 3):
        publish_prices("m", {"input": Decimal(price)}, valid_from=started, reason="r", by=operator)
        started += 2 * HOUR
    revision = newest().revision
    publish_price_book([("m", {"input": Decimal(9)})], reason="import", by=operator)
    assert step().undo is None
    assert "does not have the prices before" in step().words
    assert published_list(now() + timedelta(hours=1), "m")[0] == {"input": "9"}
    with pytest.raises(Conflict):
        undo(operator, revision)


def test_a_price_list_with_the_longest_reason_is_undone(operator):
    started = hour_of(now()) - 5 * HOUR
    for price in (2, 3):
        publish_prices("m", {"input": Decimal(price)}, valid_from=started, reason="r" * 300, by=operator)
        started += 2 * HOUR
    undo(operator)
    assert published_list(now() + HOUR, "m")[0] == {"input": "2"}


def test_undoing_prices_asks_for_the_permission_to_publish_them(operator):
    publish_prices("m", {"input": Decimal(2)}, valid_from=hour_of(now()) - 5 * HOUR, reason="r", by=operator)
    publish_prices("m", {"input": Decimal(3)}, valid_from=hour_of(now()) - 2 * HOUR, reason="r", by=operator)
    before = published_list(now() + HOUR, "m")
    with pytest.raises((PermissionDenied, ConfigChange.DoesNotExist)):
        undo(staff("auditor"))
    assert published_list(now() + HOUR, "m") == before


# --- what changed without an entry ---


def test_a_row_that_is_no_longer_as_the_entry_left_it_is_not_undone(route, operator):
    """As after a restored copy, or what the platform itself did."""
    for name in ("tiny", "other"):
        CatalogModelFactory(name=name)
    provider = ProviderFactory()
    revisions = [handle(route, operator, most_attempts=1)]
    route.refresh_from_db()
    change_fallbacks(route.pk, ["tiny"], based_on=route.generation, by=operator)
    revisions.append(newest().revision)
    route.refresh_from_db()
    change_degrading(route.pk, Degrading("tiny", 80), based_on=route.generation, by=operator)
    revisions.append(newest().revision)
    change_provider(provider.pk, by=operator, idle_timeout_seconds=7)
    revisions.append(newest().revision)
    type(route).objects.filter(pk=route.pk).update(most_attempts=5, degrades_at_money_percent=81)
    route.fallbacks.all().delete()
    type(provider).objects.filter(pk=provider.pk).update(idle_timeout_seconds=8)
    for revision in revisions:
        with pytest.raises(Conflict, match="changed again since"):
            undo(operator, revision)
    route.refresh_from_db()
    assert (route.most_attempts, route.degrades_at_money_percent, names_of(route)) == (5, 81, [])
