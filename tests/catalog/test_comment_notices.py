"""Who is told of a comment: those whom it mentions, and whoever made the request; nobody twice, and not its author."""

from __future__ import annotations

import pytest
from django.core import mail

from accounts.models import OutboxMessage
from accounts.outbox.sending import send_mail_due
from catalog.actions import comment_on_request
from tests.factories import member_of

pytestmark = pytest.mark.django_db


def told(event):
    return {
        one.user for one in OutboxMessage.objects.filter(event=event, channel="inbox").select_related("user")
    }


def test_a_mention_and_a_comment_are_told_and_lead_to_the_request(
    client, ask, developer, lab, security_reviewer
):
    asked = ask()
    colleague = member_of(lab, "viewer", name="Cora Colleague")
    comment_on_request(asked.pk, by=security_reviewer, text=f"@{colleague.email}, a secret plan?")
    assert told("access_request.mentioned") == {colleague}
    assert told("access_request.commented") == {developer}
    send_mail_due()
    (to_colleague,) = [one for one in mail.outbox if one.to == [colleague.email]]
    assert f"/t/lab/requests/{asked.pk}/" in to_colleague.body
    # What somebody writes is read on the page, by those who may read it then.
    assert not any("secret plan" in one.body for one in mail.outbox)
    client.force_login(developer)
    assert "wrote on your request" in client.get("/account/inbox/").content.decode()


def test_a_reviewer_is_led_to_the_staff_site(ask, developer, security_reviewer):
    asked = ask()
    comment_on_request(asked.pk, by=security_reviewer, text="Which letters?")
    comment_on_request(asked.pk, by=developer, text=f"All of them, @{security_reviewer.email}")
    assert told("access_request.mentioned") == {security_reviewer}
    send_mail_due()
    mine = [
        one.body
        for one in mail.outbox
        if one.to == [security_reviewer.email] and "mentions you" in one.subject
    ]
    assert len(mine) == 1
    assert f"/admin/catalog/accessrequest/{asked.pk}/change/" in mine[0]


def test_nobody_is_told_of_their_own_comment_or_twice(ask, developer, security_reviewer):
    asked = ask()
    comment_on_request(asked.pk, by=developer, text=f"I, @{developer.email}, ask again.")
    assert not told("access_request.mentioned") | told("access_request.commented")
    comment_on_request(asked.pk, by=security_reviewer, text=f"@{developer.email}, wait.")
    assert told("access_request.mentioned") == {developer}
    assert not told("access_request.commented")


def test_who_left_the_tenant_meanwhile_is_told_nothing(ask, lab, security_reviewer):
    asked = ask()
    colleague = member_of(lab, "viewer")
    comment_on_request(asked.pk, by=security_reviewer, text=f"@{colleague.email}?")
    colleague.memberships.all().delete()
    send_mail_due()
    assert colleague.email not in [to for one in mail.outbox for to in one.to]
    assert OutboxMessage.objects.get(user=colleague, channel="mail").state == "dropped"
