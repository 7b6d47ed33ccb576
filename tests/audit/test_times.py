"""When an entry was written is the database's to say; what is out of order is named."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils.timezone import now

import audit
from audit.canonical import checkpoint_digest, digest_of
from audit.checkpoints import checkpoint_pending_entries, fetch
from audit.models import AuditCheckpoint, AuditEntry, AuditPending
from audit.times import TOLERANCE
from audit.verify import Broken, verify
from core.ids import smallest_id, time_of_id, uuid7
from tests.audit.tampering import behind_the_audit_log

HOUR = timedelta(hours=1)
MONTHS = timedelta(days=90)


def backdated(lab, actor, age=MONTHS, **fields):
    """An entry as somebody with the console's rights would slip it in."""
    at = now() - age
    entry_id = str(smallest_id(at))[:-3] + "abc"
    return AuditEntry.objects.create(
        id=entry_id, at=at, tenant=lab, actor=actor, actor_label=actor.email, acting_as="self",
        verb="limits.set", subject_type="tenants.tenant", subject_id=str(lab.pk), subject_label="Lab", **fields,
    )  # fmt: skip


def test_an_entry_that_the_console_dates_back_has_the_time_of_its_insert(lab, owner):
    before = now()
    backdated(lab, owner, salt=b"", leaf_salts={"reason": "00"})
    [line] = AuditEntry.objects.in_tenant(lab).filter(verb="limits.set")
    assert before <= line.at <= now()
    assert abs(time_of_id(line.pk) - line.at) < timedelta(milliseconds=1)
    assert (len(line.salt), line.leaf_salts) == (16, None)


def test_so_has_one_by_sql(lab, owner):
    before = now()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_auditentry (id, at, tenant_id, actor_id, actor_label, verb, subject_type, subject_id, "
            "subject_label, details, request_id, user_agent) VALUES (%s, %s, %s, %s, 'x', 'planted.entry', 'x', 'x', "
            "'x', '{}', '', '') RETURNING id, at",
            [uuid7(), now() + MONTHS, lab.pk, owner.pk],
        )
        entry_id, at = cursor.fetchone()
    assert before <= at <= now()
    assert abs(time_of_id(entry_id) - at) < timedelta(milliseconds=1)


def test_ids_sort_as_they_were_written(lab):
    lines = [audit.record("thing.done", actor=None, subject=lab) for _ in range(50)]
    assert [line.pk for line in lines] == sorted(line.pk for line in lines)
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    assert {line.pk.version for line in lines} == {7}


@pytest.fixture
def checkpoint(lab):
    audit.record("thing.done", actor=None, subject=lab)
    checkpoint_pending_entries()
    return AuditCheckpoint.objects.latest("number")


@pytest.mark.as_owner
@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_an_entry_older_than_the_checkpoint_before_it_is_named(lab, owner, checkpoint, has_checkpoint):
    with behind_the_audit_log():
        line = backdated(lab, owner)
        AuditPending.objects.create(entry_id=line.pk)
        if has_checkpoint:
            checkpoint_pending_entries()
    with pytest.raises(
        Broken,
        match=f"Entry {line.pk} has the time {line.at:%Y-%m-%d}.* came after checkpoint {checkpoint.number}",
    ):
        verify()


@pytest.mark.as_owner
def test_an_old_id_under_a_new_time_is_named(lab, owner, checkpoint):
    with behind_the_audit_log() as run:
        line = backdated(lab, owner)
        run("UPDATE audit_auditentry SET at = now() WHERE id = %s", [line.pk])
        AuditPending.objects.create(entry_id=line.pk)
    checkpoint_pending_entries()
    with pytest.raises(Broken, match=f"Entry {line.pk} has an id of"):
        verify()


@pytest.mark.as_owner
def test_a_clock_that_is_set_back_is_tolerated_within_the_bound(lab, owner, checkpoint):
    with behind_the_audit_log():
        line = backdated(lab, owner, TOLERANCE - timedelta(minutes=1))
        AuditPending.objects.create(entry_id=line.pk)
    checkpoint_pending_entries()
    assert verify().entries == AuditEntry.unscoped.count()
    with behind_the_audit_log():
        line = backdated(lab, owner, TOLERANCE + timedelta(minutes=1))
        AuditPending.objects.create(entry_id=line.pk)
    checkpoint_pending_entries()
    with pytest.raises(Broken, match=f"Entry {line.pk} .* Out of order: 1. Everything else is proved."):
        verify()


@pytest.mark.as_owner
def test_what_was_changed_is_named_before_what_is_out_of_order(lab, owner, checkpoint):
    with behind_the_audit_log() as run:
        AuditPending.objects.create(entry_id=backdated(lab, owner).pk)
        checkpoint_pending_entries()
    line = audit.record("thing.done", actor=None, subject=lab)
    checkpoint_pending_entries()
    with behind_the_audit_log() as run:
        run("UPDATE audit_auditentry SET verb = 'thing.undone' WHERE id = %s", [line.pk])
    with pytest.raises(Broken, match=f"Entry {line.pk} was changed"):
        verify()


def next_checkpoint(lab, **other):
    """A checkpoint of one new entry as the console could write it, with its sum right."""
    line = audit.record("thing.done", actor=None, subject=lab)
    last = AuditCheckpoint.objects.latest("number")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        [row] = fetch(cursor, [line.pk])
        cursor.execute("SELECT clock_timestamp()")
        [created_at] = cursor.fetchone()
    head = {
        "number": last.number + 1, "previous": bytes(last.sha256), "created_at": created_at, "first_at": line.at,
        "last_at": line.at,
    }  # fmt: skip
    ids = other.pop("ids", [line.pk])
    head |= other
    digests = digest_of(row) * len(ids)
    sha256 = checkpoint_digest(**head, ids=b"".join(one.bytes for one in ids), digests=digests)
    return AuditCheckpoint(**head, sha256=sha256, entry_ids=ids, entry_digests=digests)


def test_the_console_cannot_forge_a_checkpoint(lab, checkpoint):
    forged = {
        "another time": {"created_at": now() - 24 * HOUR},
        "another time than": {"created_at": now() + HOUR},
        "not of entries": {"last_at": now() - MONTHS},
        "of entries that wait": {"ids": checkpoint.entry_ids},
        "that wait for one": {"ids": [uuid7()]},
    }
    for message, other in forged.items():
        with pytest.raises(IntegrityError, match=message), transaction.atomic():
            next_checkpoint(lab, **other).save(force_insert=True)
    # What is right is taken.
    next_checkpoint(lab).save(force_insert=True)


def test_the_console_cannot_keep_an_entry_from_its_checkpoint(lab, checkpoint):
    line = audit.record("thing.done", actor=None, subject=lab)
    with pytest.raises(IntegrityError, match="waits until a checkpoint holds it"), transaction.atomic():
        AuditPending.objects.filter(pk=line.pk).delete()
    checkpoint_pending_entries()
    assert verify().pending == 0


@pytest.mark.as_owner
@pytest.mark.parametrize(
    ("moved", "words"),
    [
        (-24 * HOUR, "has the time .*, before checkpoint 1 with"),
        (HOUR, "has the time .*, which is in the future"),
    ],
)
def test_a_checkpoint_of_another_time_is_named(lab, checkpoint, moved, words):
    with behind_the_audit_log():
        forged = next_checkpoint(lab, created_at=now() + moved)
        forged.save(force_insert=True)
    with pytest.raises(Broken, match=f"Checkpoint {forged.number} {words}"):
        verify()


@pytest.mark.as_owner
def test_an_entry_ten_minutes_old_is_refused_at_commit(lab, owner):
    """The trigger that gives the time sleeps, and the one that looks at commit does not."""
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE audit_auditentry DISABLE TRIGGER audit_entry_has_its_time")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        backdated(lab, owner, timedelta(minutes=9))
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute(
            "SELECT tgdeferrable, tginitdeferred FROM pg_trigger WHERE tgname = %s",
            ["audit_entry_is_not_held_back"],
        )
        assert cursor.fetchone() == (True, True)
        backdated(lab, owner, timedelta(minutes=11))
        with pytest.raises(IntegrityError, match="ten minutes old before it is committed"):
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
