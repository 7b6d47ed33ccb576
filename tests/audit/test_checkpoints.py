"""Checkpoints prove the audit log, and whatever was done to it is named."""

from __future__ import annotations

import hashlib
import json
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

import audit
from audit.anchors import checkpoint_lines
from audit.checkpoints import checkpoint_pending_entries
from audit.models import AuditCheckpoint, AuditEntry, AuditPending
from audit.verify import Broken, verify
from tests.audit.tampering import as_owner_of_the_tables, behind_the_audit_log, grow_older
from tests.concurrency import at_the_same_time
from tests.factories import TenantFactory

pytestmark = pytest.mark.as_owner


@pytest.fixture
def log(lab, owner):
    """Three checkpoints of three lines each, after one of all that made the lab."""
    checkpoint_pending_entries()
    lines = []
    for checkpoint in range(3):
        lines += [
            audit.record(
                "thing.done", actor=owner, subject=lab, reason="It was due.", place=[checkpoint, line], note=owner.name,
                changes={"name": ("a", "b")},
            )
            for line in range(3)
        ]  # fmt: skip
        checkpoint_pending_entries()
    return lines


def verdict(**options):
    """What verify_audit prints."""
    out = StringIO()
    call_command("verify_audit", stdout=out, **options)
    return out.getvalue()


def test_what_was_written_is_checkpointed_and_proved(log):
    assert not AuditPending.objects.exists()
    assert AuditCheckpoint.objects.count() == 4
    proof = verify()
    assert (proof.checkpoints, proof.entries, proof.pending) == (4, AuditEntry.unscoped.count(), 0)
    assert verdict().startswith(f"Proved: {proof.entries} entries in 4 checkpoints.")


def test_an_empty_audit_log_is_proved(db):
    assert verdict().startswith("Proved: 0 entries in 0 checkpoints.")


def test_nothing_waiting_makes_no_checkpoint(log):
    assert checkpoint_pending_entries() == 0
    assert AuditCheckpoint.objects.count() == 4


def test_many_entries_take_several_checkpoints(lab, monkeypatch):
    checkpoint_pending_entries()
    monkeypatch.setattr("audit.checkpoints.LARGEST_CHECKPOINT", 4)
    for _ in range(9):
        audit.record("thing.done", actor=None, subject=lab)
    assert checkpoint_pending_entries() == 9
    assert [len(checkpoint.entry_ids) for checkpoint in AuditCheckpoint.objects.order_by("number")] == [
        4,
        4,
        1,
    ]
    verify()


def test_what_waits_for_its_checkpoint_is_told(log, lab):
    audit.record("thing.done", actor=None, subject=lab)
    assert "; 1 have no checkpoint yet" in verdict()


CHANGES = {
    "the verb": "UPDATE audit_auditentry SET verb = 'thing.undone' WHERE id = %s",
    "the actor": "UPDATE audit_auditentry SET actor_id = NULL WHERE id = %s",
    "the actor's name": "UPDATE audit_auditentry SET actor_label = 'someone@else.example' WHERE id = %s",
    "the time": "UPDATE audit_auditentry SET at = at - interval '1 second' WHERE id = %s",
    "the tenant": "UPDATE audit_auditentry SET tenant_id = NULL WHERE id = %s",
    "the address": "UPDATE audit_auditentry SET address = '192.0.2.66' WHERE id = %s",
    "a number": """UPDATE audit_auditentry SET details = jsonb_set(details, '{place,1}', '7') WHERE id = %s""",
    "a word": """UPDATE audit_auditentry SET changes = '{"name": ["a", "c"]}' WHERE id = %s""",
    "a new fact": """UPDATE audit_auditentry SET details = details || '{"more": true}' WHERE id = %s""",
    "a fact taken out": """UPDATE audit_auditentry SET details = details - 'note' WHERE id = %s""",
    "the salt": "UPDATE audit_auditentry SET salt = '\\x00' WHERE id = %s",
    "the reason": "UPDATE audit_auditentry SET reason = '' WHERE id = %s",
    "the capacity": "UPDATE audit_auditentry SET acting_as = 'staff' WHERE id = %s",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_entry_is_named(log, change):
    with behind_the_audit_log() as run:
        run(change, [log[4].pk])
    with pytest.raises(Broken, match=f"Entry {log[4].pk} was changed after its checkpoint .checkpoint 3"):
        verify()


def test_the_first_of_several_is_named(log):
    with behind_the_audit_log() as run:
        run("UPDATE audit_auditentry SET verb = 'x' WHERE id = ANY(%s)", [[log[8].pk, log[2].pk]])
    with pytest.raises(CommandError, match=f"BROKEN. Entry {log[2].pk} was changed"):
        verdict()


def test_a_deleted_entry_is_named(log):
    with behind_the_audit_log() as run:
        run("DELETE FROM audit_auditentry WHERE id = %s", [log[4].pk])
    with pytest.raises(Broken, match=f"Entry {log[4].pk} is missing; checkpoint 3"):
        verify()


def test_an_inserted_entry_is_named(log, lab):
    with behind_the_audit_log():
        stray = audit.record("thing.done", actor=None, subject=lab)
    with pytest.raises(Broken, match=f"Entry {stray.pk} is in no checkpoint"):
        verify()


def test_an_entry_deleted_before_its_checkpoint_is_named(log, lab):
    line = audit.record("thing.done", actor=None, subject=lab)
    with behind_the_audit_log() as run:
        run("DELETE FROM audit_auditentry WHERE id = %s", [line.pk])
    with pytest.raises(Broken, match=f"Entry {line.pk} was deleted before its checkpoint"):
        verify()
    checkpoint_pending_entries()
    vanished = AuditEntry.unscoped.get(verb="audit.entry_vanished")
    assert vanished.subject_id == str(line.pk)


def test_an_entry_taken_off_the_queue_is_named(log, lab):
    line = audit.record("thing.done", actor=None, subject=lab)
    with behind_the_audit_log():
        AuditPending.objects.filter(pk=line.pk).delete()
    with pytest.raises(Broken, match=f"Entry {line.pk} is in no checkpoint"):
        verify()


def test_a_missing_checkpoint_is_named(log):
    with behind_the_audit_log() as run:
        run("DELETE FROM audit_auditcheckpoint WHERE number = 2")
    with pytest.raises(Broken, match="Checkpoint 2 is missing: the next one is 3"):
        verify()


CHECKPOINTS = {
    "its entries": "UPDATE audit_auditcheckpoint SET entry_ids = entry_ids[2:] || entry_ids[1] WHERE number = 3",
    "its digests": "UPDATE audit_auditcheckpoint SET entry_digests = substr(entry_digests, 33) WHERE number = 3",
    "its time": "UPDATE audit_auditcheckpoint SET created_at = created_at + interval '1 day' WHERE number = 3",
    "its sum": "UPDATE audit_auditcheckpoint SET sha256 = sha256(sha256) WHERE number = 3",
}


@pytest.mark.parametrize("change", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_an_altered_checkpoint_is_named(log, change):
    with behind_the_audit_log() as run:
        run(change)
    with pytest.raises(Broken, match="Checkpoint 3 was altered"):
        verify()


def test_exchanged_checkpoints_are_named(log):
    with behind_the_audit_log() as run:
        run("UPDATE audit_auditcheckpoint SET number = -2 WHERE number = 2")
        run("UPDATE audit_auditcheckpoint SET number = 2 WHERE number = 3")
        run("UPDATE audit_auditcheckpoint SET number = 3 WHERE number = -2")
    with pytest.raises(Broken, match="Checkpoint 2 does not continue checkpoint 1"):
        verify()


def write_checkpoints(path):
    path.write_text("".join(f"{json.dumps(line)}\n" for line in checkpoint_lines()))
    return str(path)


def test_a_cut_end_shows_against_exported_checkpoints(log, tmp_path):
    exported = write_checkpoints(tmp_path / "checkpoints.jsonl")
    assert verdict(against=exported).startswith("Proved")
    with behind_the_audit_log() as run:
        last = "SELECT unnest(entry_ids) FROM audit_auditcheckpoint WHERE number = 4"
        run(f"DELETE FROM audit_auditentry WHERE id IN ({last})")
        run("DELETE FROM audit_auditcheckpoint WHERE number = 4")
    assert verdict().startswith("Proved")
    with pytest.raises(CommandError, match="ends with checkpoint 3, but checkpoint 4 was exported"):
        verdict(against=exported)


def test_a_rewritten_chain_shows_against_exported_checkpoints(log, tmp_path):
    exported = write_checkpoints(tmp_path / "checkpoints.jsonl")
    # A perfect forgery of everything.
    grow_older(1)
    verify()
    with pytest.raises(CommandError, match="Checkpoint 1 is not the one that was exported"):
        verdict(against=exported)


def test_the_database_refuses_to_touch_checkpoints(log):
    for statement in (
        "UPDATE audit_auditcheckpoint SET created_at = now()",
        "DELETE FROM audit_auditcheckpoint WHERE number = 4",
        "INSERT INTO audit_auditcheckpoint SELECT 9, sha256, sha256, created_at, first_at, last_at, entry_ids, "
        "entry_digests FROM audit_auditcheckpoint WHERE number = 4",
        "INSERT INTO audit_auditcheckpoint SELECT 5, previous, sha256, created_at, first_at, last_at, entry_ids, "
        "entry_digests FROM audit_auditcheckpoint WHERE number = 4",
    ):
        with (
            pytest.raises(IntegrityError),
            as_owner_of_the_tables(),
            transaction.atomic(),
            connection.cursor() as c,
        ):
            c.execute(statement)


def test_the_canonical_form_is_what_the_page_says(lab, db):
    """docs/audit.md tells the form; this computes it by hand, from nothing but that page."""
    line = audit.record("thing.done", actor=None, subject=lab, count=3, note="due", empty=[])
    checkpoint_pending_entries()
    line = AuditEntry.unscoped.get(pk=line.pk)
    salt = bytes(line.salt)

    def word(path, text):
        return hashlib.sha256(hashlib.sha256(salt + path.encode()).digest() + text.encode()).hexdigest()

    document = {
        "v": 1, "id": str(line.pk), "at": line.at.isoformat(timespec="microseconds"), "tenant": str(lab.pk),
        "actor": None,
        "acting_as": "platform", "on_behalf_of": None, "verb": "thing.done", "subject_type": "tenants.tenant",
        "subject_id": str(lab.pk), "request_id": "", "trace_id": "", "facts": {"details/count": 3, "details/empty": []},
        "words": {
            "actor_label": word("actor_label", "platform"), "subject_label": word("subject_label", "Lab"),
            "details/note": word("details/note", "due"),
        },
    }  # fmt: skip
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    checkpoint = AuditCheckpoint.objects.latest("number")
    place = checkpoint.entry_ids.index(UUID(str(line.pk)))
    assert (
        bytes(checkpoint.entry_digests)[32 * place : 32 * place + 32]
        == hashlib.sha256(text.encode()).digest()
    )


@pytest.mark.django_db(transaction=True)
def test_two_checkpointers_make_one_chain():
    lab = TenantFactory()
    for _ in range(50):
        audit.record("thing.done", actor=None, subject=lab)
    at_the_same_time(checkpoint_pending_entries, checkpoint_pending_entries)
    checkpoint_pending_entries()
    assert verify().entries == AuditEntry.unscoped.count()


@pytest.mark.django_db(transaction=True)
def test_the_proof_reads_one_snapshot_and_leaves_the_connection_as_it_was():
    audit.record("thing.done", actor=None, subject=TenantFactory())
    checkpoint_pending_entries()
    assert verify().entries == 1
    audit.record("thing.done", actor=None, subject=TenantFactory())  # the connection writes again
    assert verify().pending == 1
