"""Invitations: a link that works once, for one address, while its inviter may still invite."""

from __future__ import annotations

from datetime import timedelta
from unittest import mock

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.timezone import now

from accounts.models import OutboxMessage, Source, User
from accounts.outbox.sending import send_mail_due
from audit.models import AuditEntry
from core.errors import Conflict
from tenants import invitation_mail
from tenants.actions import (
    accept_as_newcomer,
    accept_invitation,
    add_member,
    change_role,
    find_invitation,
    invite,
    remove_member,
    resend_invitation,
    withdraw_invitation,
)
from tenants.models import Invitation, Membership, Tenant
from tests.concurrency import at_the_same_time, queued_at
from tests.factories import TenantFactory, UserFactory, member_of

PASSWORD = "unguessable-otter-42"


@pytest.fixture
def newcomer(db):
    return UserFactory(email="nia@example.org", name="Nia Newcomer")


def role_of(user, tenant):
    return Membership.objects.in_tenant(tenant).filter(user=user).values_list("role", flat=True).first()


def expire(invitation):
    Invitation.objects.across_tenants().filter(pk=invitation.pk).update(
        expires_at=now() - timedelta(seconds=1)
    )


def test_who_accepts_gets_the_offered_role(lab, owner, newcomer):
    invitation, secret = invite(lab, " Nia@Example.org ", "developer", by=owner)
    assert accept_invitation(secret, newcomer).role == "developer"
    assert User.objects.get(pk=newcomer.pk).has_perm("tenants.claim_key", lab)
    invitation.refresh_from_db()
    assert invitation.accepted_by == newcomer
    verbs = set(AuditEntry.objects.in_tenant(lab).values_list("verb", flat=True))
    assert {"invitation.created", "invitation.accepted", "membership.added"} <= verbs


def test_the_secret_is_stored_nowhere(lab, owner):
    invitation, secret = invite(lab, "nia@example.org", "viewer", by=owner)
    assert secret not in str(Invitation.objects.in_tenant(lab).values().get())
    assert secret not in str(list(AuditEntry.objects.in_tenant(lab).values_list("details", flat=True)))
    assert invitation.digest != secret


def test_a_link_cannot_be_made_without_the_installations_key(lab, owner, settings):
    invitation, secret = invite(lab, "nia@example.org", "viewer", by=owner)
    assert invitation_mail.link_secret(invitation.pk, invitation.expires_at) == secret
    settings.SECRET_KEY = "another installation"
    assert invitation_mail.link_secret(invitation.pk, invitation.expires_at) != secret


def test_a_link_works_once(lab, owner, newcomer):
    _, secret = invite(lab, "nia@example.org", "developer", by=owner)
    accept_invitation(secret, newcomer)
    assert accept_invitation(secret, newcomer).role == "developer"  # a second click
    remove_member(newcomer.memberships.get().pk, by=owner)
    with pytest.raises(Invitation.DoesNotExist):
        accept_invitation(secret, newcomer)


def test_a_link_is_for_its_address_alone(lab, owner, stranger):
    _, secret = invite(lab, "nia@example.org", "developer", by=owner)
    with pytest.raises(PermissionDenied, match=r"nia@example\.org"):
        accept_invitation(secret, stranger)


@pytest.mark.parametrize(
    "end", ["expired", "withdrawn", "resent", "suspended tenant", "unknown", "malformed"]
)
def test_links_that_open_nothing_are_all_alike(lab, owner, newcomer, end):
    invitation, secret = invite(lab, "nia@example.org", "developer", by=owner)
    if end == "expired":
        expire(invitation)
    elif end == "withdrawn":
        withdraw_invitation(invitation.pk, by=owner)
    elif end == "resent":
        resend_invitation(invitation.pk, by=owner)
    elif end == "suspended tenant":
        Tenant.objects.filter(pk=lab.pk).update(status="suspended")
    elif end == "unknown":
        secret = invitation_mail.link_secret(lab.pk, now())
    else:
        secret = secret[:-1] + "\0"
    for action in (
        lambda: find_invitation(secret),
        lambda: accept_invitation(secret, newcomer),
        lambda: accept_as_newcomer(secret, name="Nia", password=PASSWORD),
    ):
        with pytest.raises(Invitation.DoesNotExist):
            action()
    assert role_of(newcomer, lab) is None


def test_a_link_dies_with_its_inviters_right_to_invite(lab, owner, newcomer):
    """Also when the right is lost where nobody thinks of invitations."""
    _, secret = invite(lab, "nia@example.org", "developer", by=owner)
    User.objects.filter(pk=owner.pk).update(is_active=False)
    with pytest.raises(Invitation.DoesNotExist):
        accept_invitation(secret, newcomer)


def test_a_link_dies_when_its_inviter_falls_below_its_role(lab, owner, newcomer):
    other = member_of(lab, "owner")
    _, secret = invite(lab, "nia@example.org", "owner", by=other)
    change_role(other.memberships.get().pk, "admin", by=owner)
    with pytest.raises(Invitation.DoesNotExist):
        accept_invitation(secret, newcomer)


def test_nobody_invites_above_their_role_or_themselves(lab, owner, developer):
    admin = member_of(lab, "admin")
    with pytest.raises(PermissionDenied, match="Only an owner"):
        invite(lab, "nia@example.org", "owner", by=admin)
    with pytest.raises(PermissionDenied, match="manage members"):
        invite(lab, "nia@example.org", "viewer", by=developer)
    with pytest.raises(PermissionDenied, match="yourself"):
        invite(lab, owner.email.upper(), "owner", by=owner)


def test_a_stranger_invites_nobody(lab, stranger):
    with pytest.raises(Tenant.DoesNotExist):
        invite(lab, "nia@example.org", "viewer", by=stranger)


@pytest.mark.parametrize(
    "address", ["nobody", "a@b@c.org", "x@lab.service.invalid", "x@y.invalid", "", "a\n@b.org"]
)
def test_an_address_that_no_mail_reaches_is_refused(lab, owner, address):
    with pytest.raises(ValidationError):
        invite(lab, address, "viewer", by=owner)


def test_a_member_is_not_invited_again(lab, owner, developer):
    with pytest.raises(Conflict, match="already a member"):
        invite(lab, developer.email, "viewer", by=owner)
    invite(lab, "nia@example.org", "viewer", by=owner)
    with pytest.raises(Conflict, match="already invited"):
        invite(lab, "nia@example.org", "admin", by=owner)


def test_an_expired_invitation_makes_room_for_another(lab, owner, newcomer):
    earlier, _ = invite(lab, "nia@example.org", "viewer", by=owner)
    expire(earlier)
    _, secret = invite(lab, "nia@example.org", "developer", by=owner)
    assert accept_invitation(secret, newcomer).role == "developer"


def test_whether_an_address_has_an_account_elsewhere_cannot_be_told(lab, owner, stranger):
    known, _ = invite(lab, stranger.email, "viewer", by=owner)
    unknown, _ = invite(lab, "nobody-yet@example.org", "viewer", by=owner)
    told = [str(invitation).replace(invitation.email, "") for invitation in (known, unknown)]
    assert told[0] == told[1]


def test_a_suspended_tenant_invites_nobody(lab, owner):
    Tenant.objects.filter(pk=lab.pk).update(status="suspended")
    with pytest.raises(Conflict, match="suspended"):
        invite(lab, "nia@example.org", "viewer", by=owner)


class TestAMember:
    def join_by_rule(self, lab, user, role):
        add_member(lab, user, role, by=None, source=Source.GROUP)

    def test_keeps_the_higher_role_of_their_own(self, lab, owner, newcomer):
        _, secret = invite(lab, "nia@example.org", "viewer", by=owner)
        self.join_by_rule(lab, newcomer, "admin")
        assert accept_invitation(secret, newcomer).role == "admin"

    def test_takes_the_higher_role_that_is_offered(self, lab, owner, newcomer):
        _, secret = invite(lab, "nia@example.org", "developer", by=owner)
        self.join_by_rule(lab, newcomer, "viewer")
        membership = accept_invitation(secret, newcomer)
        assert (membership.role, membership.source) == ("developer", Source.PERSON)

    def test_is_not_moved_sideways(self, lab, owner, newcomer):
        _, secret = invite(lab, "nia@example.org", "finance", by=owner)
        self.join_by_rule(lab, newcomer, "developer")
        assert accept_invitation(secret, newcomer).role == "developer"

    def test_given_a_role_by_hand_has_no_open_invitation_left(self, lab, owner, newcomer):
        _, secret = invite(lab, "nia@example.org", "admin", by=owner)
        add_member(lab, newcomer, "viewer", by=owner)
        accept_refused = pytest.raises(Invitation.DoesNotExist)
        with accept_refused:
            accept_invitation(secret, newcomer)
        assert role_of(newcomer, lab) == "viewer"


class TestANewcomer:
    def test_makes_an_account_with_a_name_and_a_password(self, client, lab, owner):
        _, secret = invite(lab, "nia@example.org", "developer", by=owner)
        membership, user = accept_as_newcomer(secret, name=" Nia ", password=PASSWORD)
        assert (user.email, user.name, membership.role) == ("nia@example.org", "Nia", "developer")
        said = {"username": "nia@example.org", "password": PASSWORD}
        assert client.post("/login/", said).status_code == 302

    def test_needs_a_good_password_and_a_name(self, lab, owner):
        _, secret = invite(lab, "nia@example.org", "developer", by=owner)
        with pytest.raises(ValidationError) as refusal:
            accept_as_newcomer(secret, name=" ", password="nia@example.org")
        assert set(refusal.value.message_dict) == {"name", "password"}
        assert not User.objects.filter(email="nia@example.org").exists()

    def test_cannot_take_over_an_account_that_there_is(self, lab, owner, newcomer):
        _, secret = invite(lab, "nia@example.org", "developer", by=owner)
        with pytest.raises(Conflict, match="Sign in"):
            accept_as_newcomer(secret, name="Nia", password=PASSWORD)


@pytest.mark.django_db(transaction=True)
def test_two_acceptances_at_once_make_one_membership(lab, owner, newcomer):
    _, secret = invite(lab, "nia@example.org", "developer", by=owner)
    action = lambda: accept_invitation(secret, newcomer)  # noqa: E731
    outcomes = at_the_same_time(action, action)
    assert all(isinstance(outcome, Membership) for outcome in outcomes)
    assert Membership.objects.in_tenant(lab).filter(user=newcomer).count() == 1
    assert AuditEntry.objects.in_tenant(lab).filter(verb="invitation.accepted").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_newcomers_at_once_make_one_account(lab, owner):
    _, secret = invite(lab, "nia@example.org", "developer", by=owner)
    action = lambda: accept_as_newcomer(secret, name="Nia", password=PASSWORD)  # noqa: E731
    outcomes = at_the_same_time(action, action)
    assert User.objects.filter(email="nia@example.org").count() == 1
    assert sum(isinstance(outcome, Exception) for outcome in outcomes) == 1


@pytest.mark.django_db(transaction=True)
def test_a_newcomer_invited_by_two_tenants_who_opens_both_links_at_once_makes_one_account(lab, owner):
    second = TenantFactory(slug="second")
    links = [
        invite(lab, "nia@example.org", "developer", by=owner)[1],
        invite(second, "nia@example.org", "viewer", by=member_of(second, "owner"))[1],
    ]
    actions = [
        lambda link=link: accept_as_newcomer(link, name="Nia", password=PASSWORD)[0].role for link in links
    ]
    outcomes = queued_at(Tenant.objects.filter(pk__in=[lab.pk, second.pk]), *actions)
    assert User.objects.filter(email="nia@example.org").count() == 1
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "str"]


@pytest.mark.django_db(transaction=True)
def test_a_withdrawal_at_the_moment_of_acceptance_is_one_or_the_other(lab, owner, newcomer):
    invitation, secret = invite(lab, "nia@example.org", "developer", by=owner)
    at_the_same_time(
        lambda: accept_invitation(secret, newcomer), lambda: withdraw_invitation(invitation.pk, by=owner)
    )
    invitation.refresh_from_db()
    assert (invitation.accepted_at is None) != (invitation.withdrawn_at is None)
    assert (role_of(newcomer, lab) is None) == (invitation.accepted_at is None)


class TestTheMail:
    def test_carries_the_link_as_text_and_html_and_goes_out_once(self, lab, owner, settings):
        _invitation, secret = invite(lab, "nia@example.org", "developer", by=owner)
        assert send_mail_due() == 1
        assert send_mail_due() == 0
        (sent,) = mail.outbox
        assert (sent.to, sent.from_email) == (["nia@example.org"], settings.DEFAULT_FROM_EMAIL)
        assert f"/invitations/{secret}/" in sent.body
        assert f"/invitations/{secret}/" in sent.alternatives[0][0]
        assert sent.alternatives[0][1] == "text/html"

    def test_has_one_line_of_subject_and_no_markup_of_others(self, lab, owner):
        Tenant.objects.filter(pk=lab.pk).update(name="Lab\nBcc: all@example.org <script>")
        invite(lab, "nia@example.org", "developer", by=owner)
        assert send_mail_due() == 1
        (sent,) = mail.outbox
        assert "\n" not in sent.subject
        assert "<script>" not in sent.alternatives[0][0]
        assert sent.recipients() == ["nia@example.org"]

    def test_of_a_withdrawn_invitation_is_not_sent(self, lab, owner):
        invitation, _ = invite(lab, "nia@example.org", "developer", by=owner)
        withdraw_invitation(invitation.pk, by=owner)
        assert send_mail_due() == 0
        assert mail.outbox == []

    def test_sent_again_has_another_link(self, lab, owner):
        invitation, first = invite(lab, "nia@example.org", "developer", by=owner)
        send_mail_due()
        _, second = resend_invitation(invitation.pk, by=owner)
        send_mail_due()
        assert first != second
        assert second in mail.outbox[1].body

    def test_waits_for_a_server_that_is_away(self, lab, owner, settings, unused_port):
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", unused_port
        invitation, _ = invite(lab, "nia@example.org", "developer", by=owner)
        assert send_mail_due() == 0
        invitation.refresh_from_db()
        assert (invitation.sent_at, invitation.mail_problem) == (None, "")

    def test_that_cannot_be_written_is_not_taken_for_sent(self, lab, owner):
        invite(lab, "nia@example.org", "developer", by=owner)
        with mock.patch("tenants.invitation_mail.compose", side_effect=RuntimeError):
            assert send_mail_due() == 0
        OutboxMessage.objects.update(due_at=now())
        assert send_mail_due() == 1

    @pytest.fixture
    def unused_port(self):
        from launcher.ports import free_port

        return free_port()
