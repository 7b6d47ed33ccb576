"""Emergency access is watched: four eyes stay four, a second person looks at it, and the owners are told by mail."""

from __future__ import annotations

from datetime import timedelta
from smtplib import SMTPRecipientsRefused

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.locmem import EmailBackend
from django.urls import reverse
from django.utils.timezone import now

from accounts.actions import end_staff_role, make_staff
from accounts.models import OutboxMessage, User
from accounts.outbox.posting import tell
from accounts.outbox.sending import send_mail_due
from audit.models import AuditEntry
from catalog.actions import decide_review
from catalog.models import AccessRequest, Review
from core.errors import Conflict
from launcher.ports import free_port
from privacy.personal_data import export_person
from tenants.actions import review_emergency_access
from tenants.emergency_mail import EMERGENCY_ACCESS, owners_of
from tenants.models import ApiKey, EmergencyAccess, Tenant
from tests.concurrency import queued_at
from tests.emergency import REASON, browser_of, may_claim, open_in, the_access
from tests.factories import CatalogModelFactory, TenantFactory, member_of, staff


@pytest.fixture
def browser(operator):
    return browser_of(operator)


@pytest.fixture
def access(browser, lab):
    assert open_in(browser, lab).status_code == 302
    return the_access(lab)


class TestFourEyes:
    @pytest.fixture
    def asked(self, browser, access, lab, project):
        """A request for a model, made by emergency access."""
        model = CatalogModelFactory(name="aya")
        answer = browser.post(
            reverse("request-new", args=["lab", model.name]),
            {
                "project": str(project.pk),
                "purpose": "Letters.",
                "expected_tokens_per_day": "9",
                "data_class": "internal",
                "duration_days": "30",
            },
        )
        assert answer.status_code == 302, answer.content.decode()[-3000:]
        return AccessRequest.objects.in_tenant(lab).get()

    def approve(self, asked):
        for review in Review.objects.in_tenant(asked.tenant).filter(access_request=asked):
            decide_review(review.pk, by=staff(f"{review.track_id}-reviewer"), verdict="approve")

    def test_a_request_is_approved_later_and_its_key_waits_for_the_tenants_people(
        self, browser, access, asked, lab, developer
    ):
        browser.post(reverse("emergency-access-end", args=["lab", access.pk]))
        self.approve(asked)
        key = ApiKey.objects.in_tenant(lab).get()
        assert not may_claim(browser, key)
        assert may_claim(browser_of(developer), key)

    def test_a_request_of_somebody_who_is_no_operator_any_more_is_not(self, asked, operator):
        end_staff_role(operator, "operator", by=staff("operator"))
        with pytest.raises(Conflict, match="may no longer request access"):
            self.approve(asked)

    def test_nobody_decides_what_they_asked_for_by_it(self, asked, operator):
        make_staff(operator, "security-reviewer", by=staff("operator"))
        review = Review.objects.in_tenant(asked.tenant).get(access_request=asked, track="security")
        with pytest.raises(PermissionDenied, match="someone else"):
            decide_review(review.pk, by=User.objects.get(pk=operator.pk), verdict="approve")


class TestLookingAtIt:
    @pytest.fixture
    def over(self, browser, access):
        browser.post(reverse("emergency-access-end", args=["lab", access.pk]))
        return access

    def test_a_second_person_does_with_a_remark(self, over, lab):
        auditor = staff("auditor")
        review_emergency_access(over.pk, by=auditor, remark="Two actions, both fit the reason.")
        found = the_access(lab)
        assert (found.reviewed_by, found.remark) == (auditor, "Two actions, both fit the reason.")
        assert (
            AuditEntry.objects.in_tenant(lab).filter(verb="emergency_access.reviewed", actor=auditor).exists()
        )
        with pytest.raises(Conflict, match="already"):
            review_emergency_access(over.pk, by=staff("operator"), remark="Me too.")

    def test_who_opened_it_does_not(self, over, operator):
        with pytest.raises(PermissionDenied, match="someone else"):
            review_emergency_access(over.pk, by=operator, remark="All fine.")

    def test_it_wants_a_remark_and_an_end(self, over, access, lab):
        with pytest.raises(ValidationError):
            review_emergency_access(over.pk, by=staff("auditor"), remark="  ")

    def test_not_before_it_is_over(self, access):
        with pytest.raises(Conflict, match="still open"):
            review_emergency_access(access.pk, by=staff("auditor"), remark="Fine.")

    def test_what_nobody_has_looked_at_is_found_in_the_admin(self, over, client):
        auditor = staff("auditor")
        client.force_login(auditor)
        address = "/admin/tenants/emergencyaccess/"
        assert str(over.pk) in client.get(address, {"reviewed": "no"}).content.decode()
        assert str(over.pk) not in client.get(address, {"reviewed": "yes"}).content.decode()
        review_emergency_access(over.pk, by=auditor, remark="Fine.")
        assert str(over.pk) not in client.get(address, {"reviewed": "no"}).content.decode()

    def test_owners_read_the_list_and_the_actions_and_developers_do_not(
        self, over, browser, owner, developer, lab
    ):
        browser.post(reverse("project-new", args=["lab"]), {"name": "Later", "slug": "later"})  # as staff
        seen = browser_of(owner)
        page = seen.get(reverse("emergency-access-list", args=["lab"])).content.decode()
        assert REASON in page
        assert "Not reviewed yet" in page
        audit_log = seen.get(reverse("audit-list", args=["lab"]), {"emergency": str(over.pk)})
        verbs = [line.verb for line in audit_log.context["lines"]]
        assert verbs == ["emergency_access.ended", "emergency_access.opened"]
        assert browser_of(developer).get(reverse("emergency-access-list", args=["lab"])).status_code == 403

    def test_its_opener_is_told_all_that_is_held_but_not_the_session(self, over, operator):
        told = dict(export_person(operator, by=None))
        (row,) = told["tenants.emergencyaccess.opened_by"]
        assert row["reason"] == REASON
        assert "session_digest" not in row


@pytest.mark.django_db(transaction=True)
def test_two_reviewers_at_once_make_one_review(lab, operator):
    access = EmergencyAccess.objects.create(
        tenant=lab,
        opened_by=operator,
        reason=REASON,
        expires_at=now() + timedelta(minutes=15),
        session_digest="0",
    )
    first, second = staff("auditor"), staff("operator")
    outcomes = queued_at(
        EmergencyAccess.objects.in_tenant(lab).filter(pk=access.pk),
        lambda: review_emergency_access(access.pk, by=first, remark="Fine."),
        lambda: review_emergency_access(access.pk, by=second, remark="Fine."),
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "EmergencyAccess"]


@pytest.fixture
def opened(lab, owner, operator):
    return EmergencyAccess.objects.create(
        tenant=lab,
        opened_by=operator,
        reason=REASON,
        expires_at=now() + timedelta(minutes=15),
        session_digest="0",
    )


def tell_owners(access):
    """Tell them, as the action does, and return how many mails went out."""
    tell(EMERGENCY_ACCESS, owners_of(access.tenant_id), subject=access, tenant=access.tenant)
    return send_mail_due()


def test_opening_tells_the_owners(lab, owner, operator):
    open_in(browser_of(operator), lab)
    assert send_mail_due() == 1
    assert [one.to for one in mail.outbox] == [[owner.email]]
    assert the_access(lab).mailed_at is not None


def test_it_says_who_why_until_when_and_where_to_look(opened, owner, operator, settings):
    assert tell_owners(opened) == 1
    (sent,) = mail.outbox
    assert (sent.to, sent.from_email) == ([owner.email], settings.DEFAULT_FROM_EMAIL)
    for body in (sent.body, sent.alternatives[0][0]):
        assert REASON in body
        assert operator.email in body
        assert f"{opened.expires_at:%H:%M} UTC" in body
        assert f"{settings.CONSOLE_URL}/t/lab/emergency-access/" in body


def test_every_active_owner_gets_their_own_and_nobody_else_any(opened, lab, owner, developer):
    second, gone = member_of(lab, "owner"), member_of(lab, "owner")
    User.objects.filter(pk=gone.pk).update(is_active=False)
    member_of(lab, "admin")
    member_of(TenantFactory(), "owner")
    assert tell_owners(opened) == 2
    assert sorted(one.to for one in mail.outbox) == sorted([[owner.email], [second.email]])


def test_it_has_one_line_of_subject_and_no_markup_of_others(opened, lab):
    Tenant.objects.filter(pk=lab.pk).update(name="Lab\nBcc: all@example.org <script>")
    tell_owners(opened)
    (sent,) = mail.outbox
    assert "\n" not in sent.subject
    assert "<script>" not in sent.alternatives[0][0]


def test_it_is_sent_once(opened):
    assert (tell_owners(opened), tell_owners(opened)) == (1, 0)
    assert len(mail.outbox) == 1


def test_who_is_no_owner_any_more_is_not_told(opened, owner):
    tell(EMERGENCY_ACCESS, [owner], subject=opened, tenant=opened.tenant)
    member_of(opened.tenant, "owner")
    owner.memberships.update(role="viewer")
    assert send_mail_due() == 0
    assert OutboxMessage.objects.get(channel="mail").state == "dropped"


def test_a_server_that_is_away_is_waited_for(opened, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    assert tell_owners(opened) == 0
    opened.refresh_from_db()
    assert (opened.mailed_at, opened.mail_problem) == (None, "")
    assert OutboxMessage.objects.get(channel="mail").state == "waiting"


class RefusingServer(BaseEmailBackend):
    """Answers, and takes no mail."""

    def send_messages(self, messages):
        raise SMTPRecipientsRefused({})


def test_a_server_that_refuses_is_noted(opened, settings):
    settings.EMAIL_BACKEND = f"{__name__}.RefusingServer"
    assert tell_owners(opened) == 0
    opened.refresh_from_db()
    assert "SMTPRecipientsRefused" in opened.mail_problem


class RefusingOne(EmailBackend):
    """Takes mail for everybody but one."""

    def send_messages(self, messages):
        if "a-full-box@example.com" in messages[0].to:
            raise SMTPRecipientsRefused({})
        return super().send_messages(messages)


def test_an_owner_whose_mail_is_refused_keeps_no_other_from_being_told(opened, settings):
    settings.EMAIL_BACKEND = f"{__name__}.RefusingOne"
    first = member_of(opened.tenant, "owner", email="a-full-box@example.com")
    others = [owner.email for owner in owners_of(opened.tenant_id) if owner != first]
    assert [owner.email for owner in owners_of(opened.tenant_id)] == [first.email, *others]
    assert others
    assert tell_owners(opened) == len(others)
    assert [message.to[0] for message in mail.outbox] == others
    opened.refresh_from_db()
    assert "SMTPRecipientsRefused" in opened.mail_problem
