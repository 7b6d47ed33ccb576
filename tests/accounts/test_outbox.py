"""The outbox: told once, tried again, given up in the end, and never lost with a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from smtplib import SMTPDataError, SMTPRecipientsRefused, SMTPSenderRefused, SMTPServerDisconnected

import psycopg
import pytest
from django.apps import apps
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now
from structlog.testing import capture_logs

from accounts.actions import send_message_again
from accounts.models import OutboxMessage
from accounts.outbox import sending
from accounts.outbox.posting import tell
from accounts.outbox.sending import MOST_ATTEMPTS, claim, is_final, message_id, send_mail_due
from audit.models import AuditEntry
from core.errors import Conflict
from core.scope import NOBODY, Scope, person_scope, scoped
from tenants.actions import invite, resend_invitation
from tenants.invitation_mail import INVITATION, occasion_of
from tenants.models import EmergencyAccess, Invitation
from tests.concurrency import at_the_same_time
from tests.emergency import REASON
from tests.factories import member_of, staff

pytestmark = pytest.mark.django_db
NIA = "nia@example.org"


@pytest.fixture
def invitation(lab, owner):
    return invite(lab, NIA, "viewer", by=owner)[0]


class Troubled(BaseEmailBackend):
    """A server that answers every mail with the error of the day."""

    error: Exception

    def send_messages(self, messages):
        raise self.error


@pytest.fixture
def troubled(settings):
    settings.EMAIL_BACKEND = f"{__name__}.Troubled"

    def answer(error):
        Troubled.error = error

    return answer


def due_now():
    OutboxMessage.objects.filter(state="waiting").update(due_at=now())


def the_message():
    return OutboxMessage.objects.get()


def test_what_is_rolled_back_tells_nobody(lab, owner):
    with transaction.atomic():
        invite(lab, NIA, "viewer", by=owner)
        transaction.set_rollback(True)
    assert send_mail_due() == 0


def test_telling_the_same_again_tells_once(invitation, lab):
    for _ in range(2):
        tell(INVITATION, [NIA], subject=invitation, tenant=lab, occasion=occasion_of(invitation))
    assert send_mail_due() == 1
    assert the_message().state == "sent"


def test_no_secret_and_no_words_lie_in_the_table(invitation, lab, owner):
    _, secret = resend_invitation(invitation.pk, by=owner)
    send_mail_due()
    assert secret in mail.outbox[0].body
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(m::text, '') FROM accounts_outboxmessage m")
        assert secret not in cursor.fetchone()[0]


def test_a_mail_whose_invitation_was_sent_again_is_needed_no_longer(invitation, owner):
    resend_invitation(invitation.pk, by=owner)
    assert send_mail_due() == 1
    assert sorted(OutboxMessage.objects.values_list("state", flat=True)) == ["dropped", "sent"]


def test_whoever_has_no_active_account_is_not_told(invitation, developer):
    message = the_message()
    message.user, message.address = developer, ""
    message.save()
    developer.is_active = False
    developer.save()
    assert send_mail_due() == 0
    assert the_message().state == "dropped"


class TestTrouble:
    @pytest.mark.parametrize(
        ("error", "is_for_good"),
        [
            (SMTPRecipientsRefused({NIA: (550, b"no such person")}), True),
            (SMTPRecipientsRefused({NIA: (450, b"greylisted")}), False),
            (SMTPDataError(554, b"spam"), True),
            (SMTPDataError(452, b"disk full"), False),
            (SMTPSenderRefused(550, b"unknown sender", "us@example.org"), False),
            (SMTPServerDisconnected("gone"), False),
            (TimeoutError(), False),
        ],
    )
    def test_a_refusal_is_for_good_by_its_code(self, invitation, troubled, error, is_for_good):
        assert is_final(error) == is_for_good
        troubled(error)
        assert send_mail_due() == 0
        message = the_message()
        assert message.state == ("failed" if is_for_good else "waiting")
        assert type(error).__name__ in message.problem
        invitation.refresh_from_db()
        assert bool(invitation.mail_problem) == is_for_good

    def test_waits_double_and_end(self, invitation, troubled):
        troubled(SMTPDataError(452, b"disk full"))
        waits = []
        while (message := the_message()).state == "waiting":
            due_now()
            send_mail_due()
            waits.append(round((the_message().due_at - now()) / timedelta(minutes=1)))
        assert waits[:4] == [1, 2, 4, 8]
        assert max(waits) == 360
        assert len(waits) == message.attempts == MOST_ATTEMPTS
        invitation.refresh_from_db()
        assert "refused" in invitation.mail_problem

    @pytest.mark.parametrize(
        "error", [ConnectionResetError(), SMTPSenderRefused(550, b"unknown sender", "us@example.org")]
    )
    def test_a_server_that_takes_no_mail_of_ours_is_asked_once_a_run(self, lab, owner, troubled, error):
        for number in range(3):
            invite(lab, f"n{number}@example.org", "viewer", by=owner)
        troubled(error)
        send_mail_due()
        assert sorted(OutboxMessage.objects.values_list("attempts", flat=True)) == [0, 0, 1]
        said = "refused the mail" if isinstance(error, SMTPSenderRefused) else "did not answer"
        assert said in OutboxMessage.objects.get(attempts=1).problem

    def test_an_error_that_nobody_foresaw_holds_no_other_up_and_is_logged(self, lab, owner, troubled):
        for number in range(3):
            invite(lab, f"n{number}@example.org", "viewer", by=owner)
        troubled(UnicodeEncodeError("ascii", "é", 0, 1, "no"))
        with capture_logs() as logs:
            assert send_mail_due() == 0
        assert list(OutboxMessage.objects.values_list("state", "attempts")) == [("waiting", 1)] * 3
        assert "(UnicodeEncodeError)" in OutboxMessage.objects.first().problem
        unforeseen = [one for one in logs if one["event"] == "message_not_passed_on"]
        assert [one["exc_info"] for one in unforeseen] == [True] * 3

    def test_a_mail_that_we_cannot_write_holds_no_other_up(self, lab, owner):
        invite(lab, NIA, "viewer", by=owner)
        OutboxMessage.objects.update(event="of.a.newer.release")
        invite(lab, "next@example.org", "viewer", by=owner)
        assert send_mail_due() == 1
        assert "could not be written (KeyError)" in OutboxMessage.objects.get(address=NIA).problem

    def test_what_kills_every_process_that_tries_is_given_up(self, invitation):
        for _ in range(MOST_ATTEMPTS):
            assert claim("mail").pk == the_message().pk
            due_now()
        assert claim("mail") is None
        assert (the_message().state, the_message().attempts) == ("failed", MOST_ATTEMPTS)
        assert "ended before" in the_message().problem

    @pytest.mark.parametrize(("patience", "minutes"), [(1, 5), (10, 5), (60, 30)])
    def test_an_attempt_holds_its_message_for_as_long_as_it_can_take(
        self, invitation, settings, patience, minutes
    ):
        settings.EMAIL_TIMEOUT = patience
        assert round((claim("mail").due_at - now()) / timedelta(minutes=1)) == minutes

    def test_only_the_latest_attempt_records(self, invitation):
        first = claim("mail")
        due_now()
        second = claim("mail")
        sending.record(first, "failed", "too late")
        assert the_message().state == "waiting"
        sending.record(second, "sent")
        assert the_message().state == "sent"


@pytest.mark.django_db(transaction=True)
def test_two_workers_send_each_mail_once(lab, owner):
    addresses = [f"n{number}@example.org" for number in range(6)]
    for address in addresses:
        invite(lab, address, "viewer", by=owner)
    assert sum(at_the_same_time(send_mail_due, send_mail_due)) == 6
    assert sorted(one.to[0] for one in mail.outbox) == addresses


@contextmanager
def another_sender():
    """A worker elsewhere that is sending."""
    name = connection.settings_dict["NAME"]
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], dbname=name) as other:
        lock = other.execute("SELECT pg_try_advisory_lock(hashtext('accounts.send_mail_due'))")
        assert lock.fetchone() == (True,)
        yield
        # Closing gives it back, too, a moment later.
        other.execute("SELECT pg_advisory_unlock_all()")


@pytest.mark.django_db(transaction=True)
def test_one_worker_sends_at_a_time_and_then_the_next(lab, owner):
    invite(lab, NIA, "viewer", by=owner)
    with another_sender():
        assert send_mail_due() == 0
        assert the_message().attempts == 0
    assert send_mail_due() == 1
    # This one has given the lock back.
    with another_sender():
        assert send_mail_due() == 0


@pytest.mark.django_db(transaction=True)
def test_a_mail_whose_sender_was_turned_away_goes_out_in_the_other_ones_run(lab, owner, monkeypatch):
    """It is written after the sender's last look, and before the sender lets go."""
    really = sending.claim

    def last_look(channel):
        monkeypatch.setattr(sending, "claim", really)
        assert really(channel) is None
        invite(lab, NIA, "viewer", by=owner)
        assert at_the_same_time(send_mail_due) == [0]

    monkeypatch.setattr(sending, "claim", last_look)
    assert send_mail_due() == 1


@pytest.mark.django_db(transaction=True)
def test_an_error_in_a_run_lets_go_of_the_lock(lab, owner, monkeypatch):
    def fail(channel):
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr(sending, "claim", fail)
        with pytest.raises(RuntimeError):
            send_mail_due()
    invite(lab, NIA, "viewer", by=owner)
    assert at_the_same_time(send_mail_due) == [1]


@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_after_sending_leaves_it_to_be_sent_under_the_same_id(
    lab, owner, tmp_path, settings, database_url
):
    """The one moment in which a mail can go out twice. Its Message-ID lets mail programs show one."""
    invitation, _ = invite(lab, NIA, "viewer", by=owner)
    script = f"""
import django, os, signal; django.setup()
from django.conf import settings
settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
settings.EMAIL_FILE_PATH = {str(tmp_path)!r}
from accounts.outbox import sending
sending.record = lambda *result: os.kill(os.getpid(), signal.SIGKILL)
sending.send_mail_due()
"""
    worker = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True,
                            env=os.environ | {"DATABASE_URL": database_url})  # fmt: skip
    assert worker.returncode == -signal.SIGKILL, worker.stderr
    (first,) = tmp_path.iterdir()
    message = the_message()
    assert f"Message-ID: {message_id(message)}" in first.read_text()
    assert (message.state, message.attempts) == ("waiting", 1)
    # It may still be alive.
    assert send_mail_due() == 0
    due_now()
    assert send_mail_due() == 1
    assert mail.outbox[0].extra_headers["Message-ID"] == message_id(message)
    invitation.refresh_from_db()
    assert invitation.sent_at is not None
    assert send_mail_due() == 0


class TestSendingAgain:
    @pytest.fixture
    def failed(self, invitation, troubled):
        troubled(SMTPDataError(554, b"spam"))
        send_mail_due()
        return the_message()

    def test_lets_it_wait_and_is_recorded(self, failed, operator, invitation, settings):
        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
        send_message_again(failed.pk, by=operator)
        assert send_mail_due() == 1
        entry = AuditEntry.objects.across_tenants().get(verb="outbox_message.sent_again")
        assert (entry.tenant_id, entry.actor_id) == (invitation.tenant_id, operator.pk)
        invitation.refresh_from_db()
        assert (invitation.mail_problem, invitation.sent_at is None) == ("", False)

    def test_is_for_operators_and_for_what_failed(self, failed, operator):
        with pytest.raises(PermissionDenied):
            send_message_again(failed.pk, by=staff("auditor"))
        send_message_again(failed.pk, by=operator)
        with pytest.raises(Conflict):
            send_message_again(failed.pk, by=operator)

    def test_by_the_page(self, client, failed, operator):
        client.force_login(operator)
        listed = client.get("/admin/accounts/outboxmessage/?state__exact=failed").content.decode()
        assert NIA in listed
        page = client.get(f"/admin/accounts/outboxmessage/{failed.pk}/change/").content.decode()
        assert "The mail server refused the mail (SMTPDataError)." in page
        assert "/invitations/" not in page
        client.post(f"/admin/accounts/outboxmessage/{failed.pk}/again/", {"_form_submitted": "1"})
        assert the_message().state == "waiting"


def test_a_mail_that_its_event_fails_to_note_went_out_all_the_same(invitation, monkeypatch):
    def fail(message):
        Invitation.objects.across_tenants().update(mail_problem="half noted")
        raise RuntimeError("the event cannot note it")

    monkeypatch.setattr(INVITATION, "settle", fail)
    assert send_mail_due() == 1
    due_now()
    assert send_mail_due() == 0
    assert (the_message().state, len(mail.outbox)) == ("sent", 1)
    assert Invitation.objects.across_tenants().get().mail_problem == ""


def test_old_messages_go_and_waiting_ones_stay(lab, owner, settings):
    for number, (state, days) in enumerate(
        {"sent": 91, "failed": 91, "dropped": 89, "waiting": None}.items()
    ):
        address = f"n{number}@example.org"
        invite(lab, address, "viewer", by=owner)
        settled = now() - timedelta(days=days) if days else None
        OutboxMessage.objects.filter(address=address).update(state=state, settled_at=settled)
    assert sending.clear_settled_messages() == 2
    assert set(OutboxMessage.objects.values_list("state", flat=True)) == {"dropped", "waiting"}


def test_what_somebody_is_told_is_theirs_alone(lab, developer):
    """Whoever acts may write to anybody's; a colleague in the same tenant reads none of it, by raw SQL either."""
    others = member_of(lab, "owner")
    invited = Invitation.objects.create(
        tenant=lab, email=NIA, role="viewer", digest="d", invited_by=others, expires_at=now()
    )
    asked = "SELECT user_id FROM accounts_outboxmessage"
    with scoped(person_scope(developer.pk, [lab.pk])), connection.cursor() as cursor:
        tell(INVITATION, [developer, others, NIA], subject=invited, tenant=lab)
        tell(INVITATION, [developer, others, NIA], subject=invited, tenant=lab)
        cursor.execute(asked)
        assert cursor.fetchall() == [(developer.pk,)]
    for scope in (NOBODY, Scope(tenants=(str(lab.pk),))):
        with scoped(scope), connection.cursor() as cursor:
            cursor.execute(asked)
            assert cursor.fetchall() == []
    assert OutboxMessage.objects.count() == 3


def test_claiming_reads_an_index_whatever_was_sent(lab, owner):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_outboxmessage (id, event, channel, address, subject_id, occasion, created_at, state,"
            " attempts, due_at, problem, settled_at) SELECT gen_random_uuid(), 'invitation', 'mail', 'a@example.org',"
            " gen_random_uuid(), '', now(), 'sent', 1, now(), '', now() FROM generate_series(1, 20000)"
        )
        cursor.execute("ANALYZE accounts_outboxmessage")
    invite(lab, NIA, "viewer", by=owner)
    with CaptureQueriesContext(connection) as queries:
        assert claim("mail") is not None
    (asked,) = [one["sql"] for one in queries if "SKIP LOCKED" in one["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {asked}")
        assert "outbox_message_due" in str(cursor.fetchall())


def test_mails_that_were_due_before_the_outbox_move_there(lab, owner, operator):
    migration = import_module("tenants.migrations.0011_unsent_mails_in_the_outbox")
    unsent, sent = (invite(lab, f"{name}@example.org", "viewer", by=owner)[0] for name in ("unsent", "sent"))
    Invitation.objects.in_tenant(lab).filter(pk=sent.pk).update(sent_at=now())
    EmergencyAccess.objects.create(
        tenant=lab,
        opened_by=operator,
        reason=REASON,
        expires_at=now() + timedelta(minutes=15),
        session_digest="0",
    )
    member_of(lab, "viewer")
    OutboxMessage.objects.all().delete()
    migration.fill_the_outbox(apps, None)
    assert send_mail_due() == 2
    assert {one.to[0] for one in mail.outbox} == {unsent.email, owner.email}
    assert set(OutboxMessage.objects.values_list("occasion", flat=True)) == {"", occasion_of(unsent)}
