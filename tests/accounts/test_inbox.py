"""The inbox: one's own, said as one may read it now, and free for whoever has nothing unread."""

from __future__ import annotations

import os
from datetime import timedelta

import psycopg
import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from accounts import tasks
from accounts.actions import mark_all_read, mark_read
from accounts.models import OutboxMessage, User
from accounts.outbox import posting
from accounts.outbox.posting import mark_the_missed, tell
from accounts.outbox.sending import send_mail_due
from core.ids import uuid7
from tenants.emergency_mail import EMERGENCY_ACCESS
from tenants.models import EmergencyAccess
from tests.concurrency import queued_behind
from tests.emergency import REASON
from tests.factories import member_of

pytestmark = pytest.mark.django_db
TITLE = "Emergency access to “Lab” was opened"


@pytest.fixture
def opened(lab, owner, operator):
    return EmergencyAccess.objects.create(
        tenant=lab,
        opened_by=operator,
        reason=REASON,
        expires_at=now() + timedelta(minutes=15),
        session_digest="0",
    )


@pytest.fixture
def told(opened, owner, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        tell(EMERGENCY_ACCESS, [owner], subject=opened, tenant=opened.tenant)
    owner.refresh_from_db()
    return OutboxMessage.objects.in_inbox_of(owner).get()


def test_the_bell_counts_and_the_page_lists(client, told, owner):
    client.force_login(owner)
    page = client.get("/account/inbox/").content.decode()
    assert TITLE in page
    assert '<span class="count">1<span class="visually-hidden"> unread' in page
    assert TITLE in client.get("/account/inbox/?tab=unread").content.decode()


def test_opening_marks_it_read_and_leads_to_its_page(client, told, owner):
    client.force_login(owner)
    answer = client.get(f"/account/inbox/{told.pk}/")
    assert (answer.status_code, answer["Location"]) == (302, "/t/lab/emergency-access/")
    assert 'class="count"' not in client.get("/account/inbox/").content.decode()
    assert "You have read everything." in client.get("/account/inbox/?tab=unread").content.decode()
    owner.refresh_from_db()
    assert not owner.has_unread


def test_all_of_it_is_marked_with_one_button(client, told, owner):
    client.force_login(owner)
    assert client.post("/account/inbox/").status_code == 302
    told.refresh_from_db()
    assert told.read_at is not None


def test_whoever_lost_access_meanwhile_reads_nothing_of_it(client, told, owner):
    member_of(told.of_tenant, "owner")
    owner.memberships.update(role="viewer")
    client.force_login(owner)
    page = client.get("/account/inbox/").content.decode()
    assert "You can no longer see what this was about." in page
    assert "Emergency" not in page
    assert client.get(f"/account/inbox/{told.pk}/")["Location"] == "/account/inbox/"


def test_nobody_opens_or_marks_what_others_were_told(client, told, owner, developer, operator):
    for other in (developer, operator):
        client.force_login(other)
        assert TITLE not in client.get("/account/inbox/").content.decode()
        assert client.get(f"/account/inbox/{told.pk}/").status_code == 404
        with pytest.raises(OutboxMessage.DoesNotExist):
            mark_read(told.pk, reader=other)
        mark_all_read(reader=other)
    told.refresh_from_db()
    assert told.read_at is None


def test_the_same_is_in_the_mail_and_a_mail_is_not_in_the_inbox(told, owner):
    assert send_mail_due() == 1
    assert OutboxMessage.objects.in_inbox_of(owner).count() == 1


def test_the_page_speaks_chinese(client, told, owner):
    User.objects.filter(pk=owner.pk).update(language="zh-hans")
    client.force_login(owner)
    page = client.get("/account/inbox/").content.decode()
    assert "收件箱" in page
    assert "未读" in page


def test_whoever_has_nothing_unread_costs_no_query(client, owner, told):
    client.force_login(owner)

    def asked():
        with CaptureQueriesContext(connection) as queries:
            client.get("/account/sessions/")
        return [one["sql"] for one in queries if "accounts_outboxmessage" in one["sql"]]

    assert len(asked()) == 1
    mark_all_read(reader=owner)
    assert asked() == []


def test_a_page_asks_once_for_each_kind_of_event_however_long_it_is(client, owner, opened):
    client.force_login(owner)

    def queries_for_page():
        with CaptureQueriesContext(connection) as queries:
            client.get("/account/inbox/")
        return len(queries)

    tell(EMERGENCY_ACCESS, [owner], subject=opened, tenant=opened.tenant)
    few = queries_for_page()
    for number in range(30):
        tell(EMERGENCY_ACCESS, [owner], subject=opened, tenant=opened.tenant, occasion=str(number))
    assert queries_for_page() == few
    page = client.get("/account/inbox/").content.decode()
    assert "after=" in page
    assert page.count(TITLE) == 25


def test_what_a_newer_release_told_breaks_nothing(client, owner):
    OutboxMessage.objects.create(
        event="of.a.newer.release",
        channel="inbox",
        user=owner,
        subject_id=uuid7(),
        state="sent",
        settled_at=now(),
    )
    client.force_login(owner)
    assert "You can no longer see" in client.get("/account/inbox/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_what_is_told_while_another_is_read_stays_unread(lab, owner, opened):
    """What is told marks the person when reading has unmarked them."""

    def tell_owner(occasion):
        tell(EMERGENCY_ACCESS, [owner], subject=opened, tenant=lab, occasion=occasion)

    tell_owner("first")
    first = OutboxMessage.objects.in_inbox_of(owner).get()
    queued_behind(lambda: tell_owner("second"), lambda: mark_read(first.pk, reader=owner))
    owner.refresh_from_db()
    assert owner.has_unread
    assert owner.unread == 1


def not_marked(owner):
    User.objects.filter(pk=owner.pk).update(has_unread=False)


def is_marked(owner):
    owner.refresh_from_db()
    return owner.has_unread


def test_whom_a_process_that_died_did_not_mark_the_sweep_marks(told, owner, developer):
    not_marked(owner)
    tasks.mark_the_missed()
    assert is_marked(owner)
    assert not is_marked(developer)
    mark_all_read(reader=owner)
    assert mark_the_missed() == 0
    assert not is_marked(owner)
    assert tasks.SCHEDULE["mark-the-missed"]["task"] == tasks.mark_the_missed.name


def test_whoever_reads_during_the_sweep_stays_unmarked(told, owner, monkeypatch):
    """The sweep found them, then they read everything, then it comes to mark them."""
    not_marked(owner)
    mark = posting._mark_if_unread

    def read_first(pk):
        mark_all_read(reader=owner)
        return mark(pk)

    monkeypatch.setattr(posting, "_mark_if_unread", read_first)
    assert mark_the_missed() == 0
    assert not is_marked(owner)


@pytest.mark.django_db(transaction=True)
def test_the_sweep_reads_a_day_of_an_index_whatever_lies_in_inboxes(opened, owner):
    tell(EMERGENCY_ACCESS, [owner], subject=opened, tenant=opened.tenant)
    not_marked(owner)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_outboxmessage (id, event, channel, user_id, address, subject_id, occasion,"
            " created_at, state, attempts, due_at, problem, settled_at) SELECT gen_random_uuid(), 'x', 'inbox', %s,"
            " '', gen_random_uuid(), '', now(), 'sent', 0, now(), '', now() - interval '30 days'"
            " FROM generate_series(1, 20000)",
            [owner.pk],
        )
    # Only the owner of a table may.
    name = connection.settings_dict["NAME"]
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], dbname=name, autocommit=True) as theirs:
        theirs.execute("ANALYZE accounts_outboxmessage")
    with CaptureQueriesContext(connection) as queries:
        assert mark_the_missed() == 1
    (asked,) = [one["sql"] for one in queries if one["sql"].startswith("SELECT DISTINCT")]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {asked}")
        assert "outbox_message_settled" in str(cursor.fetchall())


@pytest.mark.parametrize(
    "broken", ["accounts.outbox.posting.User.objects.filter", "accounts.tasks.send_mail_due.delay"]
)
def test_an_error_after_the_commit_is_no_error_of_what_happened(
    opened, owner, monkeypatch, django_capture_on_commit_callbacks, broken
):
    later = []

    def fail(*args, **kwargs):
        raise OperationalError

    monkeypatch.setattr(broken, fail)
    with django_capture_on_commit_callbacks(execute=True):
        tell(EMERGENCY_ACCESS, [owner], subject=opened, tenant=opened.tenant)
        transaction.on_commit(lambda: later.append("done"))
    assert later == ["done"]
    assert OutboxMessage.objects.in_inbox_of(owner).count() == 1
