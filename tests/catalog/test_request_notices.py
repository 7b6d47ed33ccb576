"""Whom a request tells what: those who decide its reviews, and whoever made it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from guardian.shortcuts import assign_perm, remove_perm

from accounts.actions import choose_notifications
from accounts.models import OutboxMessage, User
from accounts.outbox.sending import send_mail_due
from catalog.actions import decide_review, withdraw_access_request
from catalog.models import ReviewScope
from catalog.notices import MOST_TOLD
from catalog.review_scopes import DECIDE, deciders_of, may_decide
from core.scope import person_scope, scoped
from tests.factories import TenantFactory, UserFactory, staff

pytestmark = pytest.mark.django_db


def told(event):
    """Who was told of an event by mail."""
    messages = OutboxMessage.objects.filter(event=event, channel="mail").select_related("user")
    return {message.user for message in messages}


def titles(client, person):
    client.force_login(person)
    return client.get("/account/inbox/").content.decode()


def test_a_new_request_tells_those_who_decide_it(
    ask, review_of, security_reviewer, cost_reviewer, developer, lab
):
    with scoped(person_scope(developer.pk, [lab.pk])):
        access_request = ask()
    review = review_of(access_request)
    assert security_reviewer in told("review.waits")
    assert all(may_decide(person, review) for person in deciders_of(review, access_request))
    assert developer not in told("review.waits")
    send_mail_due()
    mine = [one for one in mail.outbox if one.to == [security_reviewer.email]]
    assert mine
    assert f"/admin/catalog/review/{review.pk}/change/" in mine[0].body
    assert "“Lab”" in mine[0].body
    assert '<html lang="en">' in mine[0].alternatives[0][0]


def test_those_who_decide_are_those_who_may(ask, review_of):
    inside, outside, gone = (staff("security-reviewer") for _ in range(3))
    User.objects.filter(pk=gone.pk).update(is_active=False)
    no_reviewer = UserFactory()
    access_request = ask()
    review = review_of(access_request)
    found = set(deciders_of(review, access_request))
    assert found == {inside, outside}
    for person in (inside, outside, gone, no_reviewer):
        assert may_decide(User.objects.get(pk=person.pk), review) == (person in found)


def test_a_scope_elsewhere_tells_nobody(ask, review_of, lab):
    reviewer = staff("security-reviewer")
    everywhere = ReviewScope.objects.get(track__code="security", tenant=None, model=None)
    remove_perm(DECIDE, Group.objects.get(name="security-reviewer"), everywhere)
    elsewhere = ReviewScope.objects.create(track_id="security", tenant=TenantFactory())
    assign_perm(DECIDE, reviewer, elsewhere)
    access_request = ask()
    assert list(deciders_of(review_of(access_request), access_request)) == []
    assign_perm(DECIDE, reviewer, ReviewScope.objects.create(track_id="security", tenant=lab))
    assert list(deciders_of(review_of(access_request), access_request)) == [reviewer]


def test_a_crowd_of_reviewers_is_not_told_of_each_request(ask, security_reviewer):
    for _ in range(MOST_TOLD):
        staff("security-reviewer")
    ask()
    assert security_reviewer not in told("review.waits")


def test_a_mail_about_what_no_longer_waits_is_not_sent(ask, security_reviewer, developer):
    withdraw_access_request(ask().pk, by=developer)
    assert send_mail_due() == 0
    assert set(OutboxMessage.objects.filter(channel="mail").values_list("state", flat=True)) == {"dropped"}


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_a_rejection_says_the_reason(client, ask, review_of, security_reviewer, developer, language):
    User.objects.filter(pk=developer.pk).update(language=language)
    access_request = ask()
    decide_review(review_of(access_request).pk, by=security_reviewer, verdict="reject", comment="Too dear.")
    send_mail_due()
    (sent,) = [one for one in mail.outbox if one.to == [developer.email]]
    assert "“Too dear.”" in sent.body
    assert f"/t/lab/requests/{access_request.pk}/" in sent.body
    said = {"en": "was rejected", "zh-hans": "被拒绝"}[language]
    assert said in sent.subject
    assert f'<html lang="{language}">' in sent.alternatives[0][0]
    assert said in titles(client, developer)


def test_an_approval_tells_the_requester(
    client, ask, review_of, security_reviewer, compliance_reviewer, developer
):
    access_request = ask()
    for review in access_request.reviews.all():
        person = {"security": security_reviewer, "compliance": compliance_reviewer}.get(review.track_id)
        decide_review(review.pk, by=person or staff(f"{review.track_id}-reviewer"), verdict="approve")
    assert told("access_request.approved") == {developer}
    assert "was approved" in titles(client, developer)
    assert "review is over" in titles(client, security_reviewer)


def test_a_request_that_comes_back_tells_its_author(client, ask, review_of, security_reviewer, developer):
    decide_review(review_of(ask()).pk, by=security_reviewer, verdict="return", comment="Name a lower volume.")
    assert told("access_request.returned") == {developer}
    assert "wants changes" in titles(client, developer)


def test_a_mail_that_waits_when_it_is_switched_off_is_not_sent(ask, review_of, security_reviewer, developer):
    decide_review(review_of(ask()).pk, by=security_reviewer, verdict="reject", comment="Too dear.")
    choose_notifications(developer, muted=["access_request.rejected:mail"])
    send_mail_due()
    assert [one for one in mail.outbox if one.to == [developer.email]] == []


def test_whoever_left_the_tenant_reads_nothing_of_it(client, ask, review_of, security_reviewer, developer):
    decide_review(review_of(ask()).pk, by=security_reviewer, verdict="reject", comment="Too dear.")
    developer.memberships.all().delete()
    page = titles(client, developer)
    assert "was rejected" not in page
    assert "You can no longer see" in page
    send_mail_due()
    assert [one for one in mail.outbox if one.to == [developer.email]] == []
