"""The last refused calls on a tenant's home: sums of all of a day, or of the time that the page names."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils.timezone import now

from gateway.models import RefusedCalls
from tests.factories import ApiKeyFactory, TenantFactory, member_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def refuse():
    """Report calls of a key that were refused so many minutes ago."""

    def report(key, minutes_ago, count, **fields):
        said = {"status": 429, "code": "rate_limit_exceeded"} | fields
        RefusedCalls.objects.create(
            tenant=key.tenant,
            project_id=key.project_id,
            key_id=key.pk,
            gateway_name="gate",
            minute=now().replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago),
            count=count,
            **said,
        )

    return report


@pytest.fixture
def home(client, lab):
    """The block of refused calls on the home of an owner, and the text of the page."""
    client.force_login(member_of(lab, "owner"))

    def read():
        response = client.get(reverse("tenant-home", args=[lab.slug]))
        blocks = response.context["home"].blocks
        facts = [one.facts for one in blocks if one.template.endswith("_last_refused.html")]
        return (facts[0] if facts else None), response.content.decode()

    return read


def test_every_report_of_a_day_counts(lab, home, refuse):
    assert home()[0] is None
    key, other = ApiKeyFactory(tenant=lab, name="letters"), ApiKeyFactory(tenant=lab, name="claims")
    for minute in range(400):
        refuse(key, minute, 2)
    refuse(other, 5, 7, status=403, code="model_not_allowed", model="aya")
    refuse(key, 25 * 60, 1000)
    refuse(ApiKeyFactory(tenant=TenantFactory()), 1, 5)
    facts, text = home()
    assert [(row.key, row.calls, row.model) for row in facts.rows] == [
        ("letters", 800, ""),
        ("claims", 7, "aya"),
    ]
    assert facts.since is None
    assert "counted over 24 hours" in text


def test_sums_of_a_part_of_the_day_say_since_when(lab, home, refuse, monkeypatch):
    monkeypatch.setattr("gateway.home.LOOKED_AT", 3)
    key, other = ApiKeyFactory(tenant=lab, name="letters"), ApiKeyFactory(tenant=lab, name="claims")
    for minute in (1, 2, 3, 30, 31):
        refuse(key, minute, 10)
    # Of the same minute as the last report that is read: all of it counts.
    refuse(other, 30, 7)
    facts, text = home()
    assert [(row.key, row.calls) for row in facts.rows] == [("letters", 40), ("claims", 7)]
    assert facts.since == RefusedCalls.objects.in_tenant(lab).get(key_id=other.pk).minute
    assert "counted since" in text


def test_one_busy_minute_is_shown_whole(lab, home, refuse, monkeypatch):
    monkeypatch.setattr("gateway.home.LOOKED_AT", 3)
    key = ApiKeyFactory(tenant=lab, name="letters")
    for count in range(1, 8):
        refuse(key, 1, count)
    facts, _text = home()
    assert [(row.key, row.calls) for row in facts.rows] == [("letters", 28)]
