"""Whom a request tells what: those who decide its reviews, and whoever made it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from guardian.shortcuts import assign_perm, remove_perm

from accounts.actions import choose_notifications
from accounts.models import OutboxMessage, User
from accounts.outbox.sending import send_mail_due
from catalog.actions import decide_review, resend_access_request, withdraw_access_request
from catalog.models import Review, ReviewScope
from catalog.notices import MOST_TOLD, REQUEST_NEEDS_MORE, tell_requester
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


def test_the_inbox_keeps_what_happened_and_no_mail_says_it_late(
    client, ask, review_of, security_reviewer, developer
):
    access_request = ask()
    decide_review(review_of(access_request).pk, by=security_reviewer, verdict="return", comment="Which?")
    resend_access_request(access_request.pk, by=developer, purpose="Score people who apply for a job.")
    page = titles(client, developer)
    assert "You can no longer see" not in page
    assert "A reviewer wanted changes" in page
    tell_requester(REQUEST_NEEDS_MORE, access_request)
    assert "needs another review" in titles(client, developer)
    decide_review(review_of(access_request).pk, by=security_reviewer, verdict="reject", comment="No.")
    assert "needed another review" in titles(client, developer)
    send_mail_due()
    assert [one.subject for one in mail.outbox if one.to == [developer.email]] == [
        "Your request for GLM-4.6 in “Letters” was rejected"
    ]


class TestSentAgain:
    def told_of(self, review):
        messages = OutboxMessage.objects.filter(event="review.waits", subject_id=review.pk, channel="mail")
        return list(messages.order_by("-id").values_list("user", flat=True))

    def test_those_who_decide_are_told_each_time(
        self, ask, review_of, security_reviewer, compliance_reviewer, developer
    ):
        access_request = ask(data_class="confidential")
        review = review_of(access_request, "compliance")
        decide_review(review_of(access_request).pk, by=security_reviewer, verdict="approve")
        for times in (2, 3):
            decide_review(review.pk, by=compliance_reviewer, verdict="return", comment="Which letters?")
            resend_access_request(access_request.pk, by=developer)
            assert self.told_of(review) == [compliance_reviewer.pk] * times
        assert self.told_of(review_of(access_request)) == [security_reviewer.pk]
        send_mail_due()
        assert [one for one in mail.outbox if one.to == [compliance_reviewer.email]]

    def test_approvals_that_no_longer_hold_are_asked_for(
        self, ask, review_of, security_reviewer, compliance_reviewer, developer
    ):
        access_request = ask(data_class="confidential")
        decide_review(review_of(access_request).pk, by=security_reviewer, verdict="approve")
        review = review_of(access_request, "compliance")
        decide_review(review.pk, by=compliance_reviewer, verdict="return", comment="Which letters?")
        resend_access_request(access_request.pk, by=developer, purpose="Score people who apply for a job.")
        assert self.told_of(review_of(access_request)) == [security_reviewer.pk] * 2

    def test_whoever_has_approved_is_not_told_to_approve(self, ask, review_of, security_reviewer, developer):
        colleague = staff("security-reviewer")
        access_request = ask()
        review = review_of(access_request)
        Review.objects.across_tenants().filter(pk=review.pk).update(quorum=2)
        decide_review(review.pk, by=security_reviewer, verdict="approve")
        decide_review(review.pk, by=colleague, verdict="return", comment="Which letters?")
        resend_access_request(access_request.pk, by=developer)
        assert sorted(self.told_of(review)) == sorted([security_reviewer.pk, colleague.pk, colleague.pk])
