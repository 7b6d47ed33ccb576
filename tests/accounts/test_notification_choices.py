"""People choose what they are told, and how; what protects them is told regardless."""

from __future__ import annotations

import pytest

from accounts.actions import choose_notifications
from accounts.models import OutboxMessage, User
from accounts.outbox.choices import events_for, switch_of
from accounts.outbox.posting import tell
from audit.models import AuditEntry
from catalog.notices import REQUEST_REJECTED
from tenants.emergency_mail import EMERGENCY_ACCESS
from tests.factories import AccessRequestFactory

pytestmark = pytest.mark.django_db
REJECTED_MAIL, REJECTED_INBOX = "access_request.rejected:mail", "access_request.rejected:inbox"


@pytest.fixture
def rejected(lab, project, developer):
    return AccessRequestFactory(tenant=lab, project=project, requested_by=developer)


def offered_to(user):
    # The chat is no column for those who have none.
    return {switch_of(event, channel) for event in events_for(user) for channel in event.channels}


def channels_told(user, event, subject):
    tell(event, [user], subject=subject)
    return sorted(OutboxMessage.objects.filter(user=user).values_list("channel", flat=True))


def test_everything_is_told_until_somebody_chooses(developer, rejected):
    assert channels_told(developer, REQUEST_REJECTED, rejected) == ["inbox", "mail"]


@pytest.mark.parametrize(
    ("muted", "told"),
    [([REJECTED_MAIL], ["inbox"]), ([REJECTED_INBOX], ["mail"]), ([REJECTED_MAIL, REJECTED_INBOX], [])],
)
def test_what_is_switched_off_is_not_told(developer, rejected, muted, told):
    choose_notifications(developer, muted=muted)
    assert channels_told(User.objects.get(pk=developer.pk), REQUEST_REJECTED, rejected) == told


def test_what_protects_people_cannot_be_switched_off(owner, rejected):
    choose_notifications(owner, muted=["emergency_access.opened:mail", "invitation:mail", "nonsense"])
    owner.refresh_from_db()
    assert owner.muted == []
    assert channels_told(owner, EMERGENCY_ACCESS, rejected) == ["inbox", "mail"]


def test_the_page_stores_what_is_checked_and_is_recorded_once(client, developer):
    client.force_login(developer)
    page = client.get("/account/notifications/").content.decode()
    assert "Your request was rejected" in page
    assert page.count("checked") == page.count('type="checkbox"') == len(offered_to(developer))
    # Only reviewers are told of reviews.
    assert "A review waits" not in page
    assert REJECTED_MAIL in offered_to(developer)
    told = ["access_request.approved:mail", "access_request.approved:inbox", REJECTED_INBOX]
    for _ in range(2):
        assert client.post("/account/notifications/", {"told": told}).status_code == 302
    developer.refresh_from_db()
    assert developer.muted == sorted(offered_to(developer) - {*told})
    assert client.get("/account/notifications/").content.decode().count("checked") == 3
    assert AuditEntry.objects.across_tenants().filter(verb="person.notifications_chosen").count() == 1


def test_reviewers_choose_about_reviews(client, security_reviewer):
    client.force_login(security_reviewer)
    assert "A review waits for you" in client.get("/account/notifications/").content.decode()


def test_the_page_speaks_chinese(client, developer):
    User.objects.filter(pk=developer.pk).update(language="zh-hans")
    client.force_login(developer)
    assert "通知" in client.get("/account/notifications/").content.decode()
