"""A model's page says how it answered lately, and for whose calls."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from django.urls import reverse
from django.utils import translation
from django.utils.html import strip_tags
from django.utils.timezone import now

from billing.ingest import record_usage
from billing.tasks import measure_quality
from catalog.quality_words import in_seconds, rounded
from core.ids import uuid7
from tests.factories import ApiKeyFactory, CatalogModelFactory, ProjectFactory, TenantFactory, member_of
from tests.usage_records import usage_record

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client, lab):
    CatalogModelFactory(name="glm-4.6")
    client.force_login(member_of(lab, "viewer"))

    def text():
        """The words of the model's page."""
        return " ".join(
            strip_tags(client.get(reverse("model-detail", args=["lab", "glm-4.6"])).content.decode()).split()
        )

    return text


def record(tenant, count, **fields):
    key = ApiKeyFactory(tenant=tenant, project=ProjectFactory(tenant=tenant))
    yesterday = now().astimezone(UTC) - timedelta(days=1)
    usual = {"model": "glm-4.6", "occurred_at": yesterday, "target_id": "t", "is_stream": True, "output": 401}
    usual |= {"latency_ms": 11_000, "first_token_ms": 1000}
    calls = [usage_record(event_id=uuid7(), key_id=key.pk, **usual | fields) for _ in range(count)]
    record_usage("gateway", calls)


def by_api(client):
    return client.get("/api/v1/models/glm-4.6/").json()["quality"]


def test_nothing_is_said_of_too_few_calls(page, client, lab):
    record(lab, 19)
    measure_quality()
    assert by_api(client) is None
    assert "Not measured yet: fewer than 20 calls in the last 7 days." in page()


def test_a_tenant_reads_its_own_exact_number_of_calls(page, client, lab):
    record(lab, 123)
    record(lab, 2, status="error", http_status=502)
    measure_quality()
    text = page()
    assert "From 125 calls of Lab in the last 7 days." in text
    assert "within 1.0 s for half of the calls, within 1.0 s for 95% of them" in text
    assert "within 11 s for half of the calls" in text
    assert "39 tokens a second for half of the calls, 39 or more for 95% of them" in text
    assert "Failed calls 2%" in text
    assert by_api(client) == {
        "calls": 125,
        "is_own": True,
        "failed_percent": 1.6,
        "answered_in": {"middle": 11.0, "slow": 11.0},
        "first_token_in": {"middle": 1.0, "slow": 1.0},
        "tokens_per_second": {"middle": 39.0, "slow": 39.0},
    }


def test_of_other_tenants_only_a_rounded_sum_is_shown(page, client, lab):
    for tenant, count in ((TenantFactory(), 1234), (TenantFactory(), 30), (TenantFactory(), 5)):
        record(tenant, count)
    measure_quality()
    text = page()
    assert "From about 1,300 calls of all tenants in the last 7 days." in text
    assert "1,269" not in text
    assert (by_api(client)["calls"], by_api(client)["is_own"]) == (1300, False)


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0.0424, "0.04 s", "0.04 秒"),
        (0.42, "0.42 s", "0.42 秒"),
        (3.14, "3.1 s", "3.1 秒"),
        (74.4, "74 s", "74 秒"),
    ],
)
def test_durations_have_two_digits_that_matter(seconds, english, chinese):
    assert in_seconds(seconds) == english
    with translation.override("zh-hans"):
        assert in_seconds(seconds) == chinese


def test_numbers_are_rounded_to_two_digits():
    assert [rounded(number) for number in (7, 38.4, 99.6, 12_345, 1_269)] == [7, 38, 100, 12_000, 1_300]
