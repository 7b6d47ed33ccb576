"""The daily summary: once a day at the chosen hour, on working days, and nothing where nothing waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail

from accounts.actions import choose_digest
from accounts.models import OutboxMessage, User
from accounts.outbox.sending import send_mail_due
from audit.models import AuditEntry
from catalog import digests
from catalog.actions import withdraw_access_request
from catalog.digests import send_digests
from catalog.models import Review
from core.scope import platform_scope

pytestmark = pytest.mark.django_db
# 07:20 in Shanghai on Tuesday.
TUESDAY = datetime(2026, 12, 1, 23, 20, tzinfo=UTC) - timedelta(days=1)


@pytest.fixture
def at(monkeypatch):
    def set_clock(moment):
        monkeypatch.setattr(digests, "now", lambda: moment)

    set_clock(TUESDAY)
    return set_clock


@pytest.fixture
def early(security_reviewer):
    """A reviewer who wants it at seven in Shanghai."""
    choose_digest(security_reviewer, hour=7, time_zone="Asia/Shanghai")
    return security_reviewer


def send():
    with platform_scope("a test of summaries"):
        told = send_digests()
    OutboxMessage.objects.exclude(event="review.digest").delete()
    send_mail_due()
    return told, len(mail.outbox)


def test_it_comes_once_at_the_hour_of_the_reviewer_and_says_what_is_late(at, early, ask, review_of):
    review = review_of(ask())
    at(TUESDAY - timedelta(hours=1))
    assert send() == (0, 0)
    at(TUESDAY)
    Review.objects.across_tenants().filter(pk=review.pk).update(due_at=TUESDAY - timedelta(days=4))
    assert send() == (1, 1)
    assert send()[1] == 1
    (message,) = mail.outbox
    assert message.to == [early.email]
    assert message.subject == "1 review waits for you"
    assert "Late since 26 Nov 2026" in message.body
    assert "/admin/catalog/review/" in message.body
    at(TUESDAY + timedelta(days=1))
    assert send()[1] == 2


def test_nothing_comes_where_nothing_waits(at, early):
    assert send() == (0, 0)
    assert not OutboxMessage.objects.exists()


def test_nothing_comes_on_days_off(at, early, ask):
    ask()
    at(TUESDAY + timedelta(days=4))
    assert send() == (0, 0)


def test_what_was_decided_before_the_mail_is_written_is_not_said(at, early, ask, developer):
    asked = ask()
    with platform_scope("a test of summaries"):
        assert send_digests() == 1
    withdraw_access_request(asked.pk, by=developer)
    send_mail_due()
    assert [one for one in mail.outbox if "waits" in one.subject and "review" in one.subject] == []


def test_reviewers_choose_it_on_their_page_and_others_cannot(client, security_reviewer, developer):
    client.force_login(security_reviewer)
    assert "Daily summary by e-mail at" in client.get("/account/notifications/").content.decode()
    said = {"digest_hour": "8", "time_zone": "Mars/Olympus"}
    assert client.post("/account/notifications/", said).status_code == 422
    for _ in range(2):
        said["time_zone"] = "Europe/Berlin"
        assert client.post("/account/notifications/", said).status_code == 302
    chosen = User.objects.get(pk=security_reviewer.pk)
    assert (chosen.digest_hour, chosen.time_zone, chosen.muted) == (8, "Europe/Berlin", [])
    assert AuditEntry.objects.across_tenants().filter(verb="person.digest_chosen").count() == 1
    client.force_login(developer)
    assert "Daily summary" not in client.get("/account/notifications/").content.decode()
    assert client.post("/account/notifications/", said).status_code == 403
