"""What pages say of a model's quality is counted from calls, and shows nothing of a single tenant to another."""

from __future__ import annotations

import math
import random
from datetime import UTC, timedelta

import pytest
from django.utils.timezone import now

from billing import quality
from billing.ingest import record_usage
from billing.models import ModelQuality, TenantQuality
from billing.tasks import SCHEDULE, measure_quality
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory, member_of, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def noon():
    """Noon of yesterday, so that no test runs into midnight."""
    return (now().astimezone(UTC) - timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def answer(call, noon):
    """Make a call that a target answered as a stream: 1 s to the first token, then 64 tokens in 2 s."""

    def make(**fields):
        standard = {
            "model": "aya",
            "occurred_at": noon,
            "target_id": "deployment-1",
            "latency_ms": 3000,
            "first_token_ms": 1000,
            "is_stream": True,
            "output": 65,
        }
        return call(**{**standard, **fields})

    return make


def key_of(tenant):
    return ApiKeyFactory(tenant=tenant, project=ProjectFactory(tenant=tenant))


@pytest.fixture
def tenants(lab):
    """Three tenants with a key each; the first is the lab."""
    return [lab, TenantFactory(), TenantFactory()]


def test_a_percentile_is_within_five_percent_of_the_sorted_calls(lab, answer):
    chance = random.Random(3)
    times = [round(math.exp(chance.uniform(0, 11))) for _ in range(500)]
    record_usage("gateway", [answer(latency_ms=time, first_token_ms=time) for time in times])
    measure_quality()
    found = quality.quality_of("aya", lab)
    for measure in (found.answered_in, found.first_token_in):
        for value, share in ((measure.middle, 0.5), (measure.slow, 0.95)):
            exact = sorted(times)[math.ceil(share * len(times)) - 1]
            assert value * 1000 == pytest.approx(exact, rel=0.05)


def test_every_measure_counts_the_calls_that_have_it(lab, answer):
    calls = [answer() for _ in range(20)]
    # Not a stream, or too short for a speed.
    calls += [answer(is_stream=False, first_token_ms=None, latency_ms=9000) for _ in range(3)]
    calls += [answer(output=5, first_token_ms=100, latency_ms=9000) for _ in range(2)]
    calls += [answer(status="error", http_status=502, latency_ms=60_000) for _ in range(5)]
    calls += [answer(status="cancelled", http_status=499, latency_ms=60_000) for _ in range(10)]
    # An imported call reached no target.
    calls += [answer(target_id=None, latency_ms=60_000) for _ in range(40)]
    record_usage("gateway", calls)
    measure_quality()
    found = quality.quality_of("aya", lab)
    assert (found.calls, found.failed, found.failed_percent) == (40, 5, 12.5)
    assert found.answered_in.middle == pytest.approx(3, rel=0.05)
    assert found.answered_in.slow == pytest.approx(9, rel=0.05)
    assert found.first_token_in.slow == pytest.approx(1, rel=0.05)
    assert found.tokens_per_second.middle == pytest.approx(32, rel=0.05)


def test_measuring_again_counts_every_call_once(lab, answer):
    record_usage("gateway", [answer() for _ in range(20)])
    measure_quality()
    record_usage("gateway", [answer() for _ in range(7)])
    measure_quality()
    measure_quality()
    assert quality.quality_of("aya", lab).calls == 27
    assert ModelQuality.objects.count() == 1


def test_a_call_counts_on_its_own_day_and_for_seven_days(lab, answer, noon):
    week = [noon - timedelta(days=days) for days in range(10)]
    record_usage("gateway", [answer(occurred_at=day) for day in week for _ in range(20)])
    for day in week:
        quality.measure_day(day.date())
    # Today and the six days before.
    assert quality.quality_of("aya", lab).calls == 6 * 20
    midnight = noon.replace(hour=0)
    record_usage(
        "gateway", [answer(occurred_at=midnight), answer(occurred_at=midnight - timedelta(microseconds=1))]
    )
    quality.measure_day(noon.date())
    assert ModelQuality.objects.get(day=noon.date()).calls == 21


def test_old_days_go(lab, answer, noon):
    old = noon - quality.KEPT - timedelta(days=2)
    record_usage("gateway", [answer(occurred_at=old)])
    quality.measure_day(old.date())
    assert ModelQuality.objects.exists()
    measure_quality()
    assert not ModelQuality.objects.exists()
    assert not TenantQuality.objects.across_tenants().exists()


def test_too_few_calls_say_nothing(lab, answer):
    record_usage("gateway", [answer() for _ in range(19)])
    measure_quality()
    assert quality.quality_of("aya", lab) is None
    assert quality.quality_of("bree", lab) is None


@pytest.mark.parametrize("others", [1, 2])
def test_calls_of_fewer_than_three_tenants_are_shown_to_none_of_the_others(lab, tenants, answer, others):
    slow = [
        answer(key_id=key_of(tenant).pk, latency_ms=30_000)
        for tenant in tenants[1:][:others]
        for _ in range(30)
    ]
    record_usage("gateway", [*slow, *(answer() for _ in range(25))])
    measure_quality()
    found = quality.quality_of("aya", lab)
    if others == 1:
        assert found.is_own
        assert (found.calls, found.answered_in.slow) == (25, pytest.approx(3, rel=0.05))
        assert quality.quality_of("aya", TenantFactory()) is None
    else:
        assert not found.is_own
        assert (found.calls, found.answered_in.slow) == (85, pytest.approx(30, rel=0.05))
        assert quality.quality_of("aya", TenantFactory()) == found


def test_a_member_reads_only_rows_of_their_own_tenant(lab, tenants, answer):
    record_usage("gateway", [answer(key_id=key_of(tenant).pk) for tenant in tenants for _ in range(20)])
    measure_quality()
    assert TenantQuality.objects.across_tenants().count() == 3
    seen = TenantQuality.objects.visible_to(member_of(lab, "developer"))
    assert [row.tenant_id for row in seen] == [lab.pk]
    assert TenantQuality.objects.visible_to(staff("controller")).count() == 3


def test_it_is_measured_every_hour():
    assert SCHEDULE["billing-measure-quality"]["task"] == measure_quality.name
