"""Old entries go after their time, whole checkpoints at once; the chain goes on proving itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.db import IntegrityError, connection, transaction

import audit
from audit.checkpoints import checkpoint_pending_entries
from audit.models import AuditCheckpoint, AuditEntry, AuditPruning
from audit.retention import prune_old_entries
from audit.verify import Broken, verify
from tests.audit.tampering import as_owner_of_the_tables, behind_the_audit_log, grow_older

pytestmark = pytest.mark.as_owner


@pytest.fixture
def old_audit_log(lab):
    """A checkpoint of five lines from long ago, and one of two from today."""
    for _ in range(5):
        audit.record("thing.done", actor=None, subject=lab)
    checkpoint_pending_entries()
    grow_older(800)
    for _ in range(2):
        audit.record("thing.done", actor=None, subject=lab)
    checkpoint_pending_entries()


def sql(statement, *values):
    with as_owner_of_the_tables(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_old_entries_go_and_the_chain_still_proves_itself(old_audit_log):
    assert prune_old_entries() == 5
    assert AuditEntry.unscoped.filter(verb="thing.done").count() == 2
    record = AuditEntry.unscoped.get(verb="audit.pruned")
    assert (record.details["up_to_checkpoint"], record.details["entries"]) == (1, 5)
    checkpoint_pending_entries()
    proof = verify()
    assert (proof.checkpoints, proof.entries, proof.pruned) == (3, 3, 5)


def test_pruning_again_prunes_nothing(old_audit_log):
    prune_old_entries()
    assert prune_old_entries() == 0
    assert AuditEntry.unscoped.filter(verb="audit.pruned").count() == 1


def test_young_entries_stay(lab, settings):
    audit.record("thing.done", actor=None, subject=lab)
    checkpoint_pending_entries()
    grow_older(settings.AUDIT_RETENTION_DAYS - 1)
    assert prune_old_entries() == 0


def test_retention_follows_its_setting(lab, settings):
    audit.record("thing.done", actor=None, subject=lab)
    checkpoint_pending_entries()
    grow_older(200)
    settings.AUDIT_RETENTION_DAYS = 190
    assert prune_old_entries() == 1


def test_entries_without_a_checkpoint_stay_however_old(lab):
    audit.record("thing.done", actor=None, subject=lab)
    grow_older(800)
    assert prune_old_entries() == 0


def test_later_prunings_cover_earlier_records(old_audit_log, lab):
    prune_old_entries()
    checkpoint_pending_entries()
    grow_older(800)
    # Two lines and the record of the first pruning.
    assert prune_old_entries() == 3
    checkpoint_pending_entries()
    assert verify().pruned == 8


def test_an_entry_missing_from_a_checkpoint_that_was_not_pruned_is_named(old_audit_log):
    prune_old_entries()
    gone = AuditEntry.unscoped.filter(verb="thing.done").earliest("pk")
    with behind_the_audit_log() as run:
        run("DELETE FROM audit_auditentry WHERE id = %s", [gone.pk])
    with pytest.raises(Broken, match=f"Entry {gone.pk} is missing"):
        verify()


def test_a_pruning_that_nobody_recorded_is_named(old_audit_log):
    with behind_the_audit_log() as run:
        run("DELETE FROM audit_auditentry WHERE verb = 'thing.done'")
        run("INSERT INTO audit_auditpruning VALUES (2, gen_random_uuid(), now())")
    with pytest.raises(Broken, match="no record in the audit log says so"):
        verify()


def test_a_recorded_pruning_of_young_entries_is_named(lab):
    """Its record is easily written by who owns the tables; the checkpoints, anchored or not, stay as they were."""
    audit.record("thing.done", actor=None, subject=lab)
    checkpoint_pending_entries()
    gone = AuditEntry.unscoped.get(verb="thing.done")
    record = audit.record(
        "audit.pruned", actor=None, subject=AuditCheckpoint.objects.get(), up_to_checkpoint=1
    )
    with behind_the_audit_log() as run:
        run("DELETE FROM audit_auditentry WHERE verb = 'thing.done'")
        run("INSERT INTO audit_auditpruning VALUES (1, %s, now())", [record.pk])
    with pytest.raises(Broken, match=f"Entry {gone.pk} is missing"):
        verify()


def test_the_database_refuses_every_other_deletion(old_audit_log, lab):
    old, young = AuditEntry.unscoped.earliest("pk"), AuditEntry.unscoped.latest("pk")
    for statement, values in [
        ("DELETE FROM audit_auditentry WHERE id = %s", [old.pk]),
        ("DELETE FROM audit_auditentry WHERE id = %s", [young.pk]),
        ("DELETE FROM audit_auditentry", []),
        # No record of a pruning.
        ("SELECT audit_prune(1, %s)", [old.pk]),
    ]:
        with pytest.raises(IntegrityError):
            sql(statement, *values)


def test_the_database_keeps_180_days_whatever_the_setting(lab, settings):
    audit.record("thing.done", actor=None, subject=lab)
    checkpoint_pending_entries()
    grow_older(100)
    settings.AUDIT_RETENTION_DAYS = 1
    with pytest.raises(IntegrityError, match="180 days"), transaction.atomic():
        prune_old_entries()


def test_a_pruned_checkpoint_lends_no_right_over_later_entries(old_audit_log):
    prune_old_entries()
    for entry in AuditEntry.unscoped.all():
        with pytest.raises(IntegrityError):
            sql("DELETE FROM audit_auditentry WHERE id = %s", entry.pk)
    with pytest.raises(IntegrityError), as_owner_of_the_tables(), transaction.atomic():
        AuditPruning.objects.all().delete()
    assert AuditCheckpoint.objects.count() == 2


def test_less_than_180_days_does_not_start():
    answer = subprocess.run(
        [sys.executable, "-c", "import config.settings.base"],
        env=os.environ | {"AUDIT_RETENTION_DAYS": "179"}, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode != 0
    assert "AUDIT_RETENTION_DAYS must be a whole number of at least 180" in answer.stderr
