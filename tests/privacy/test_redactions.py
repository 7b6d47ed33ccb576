"""Erased words prove themselves by their redactions, and nothing else passes for one."""

from __future__ import annotations

import json

import pytest
from django.db import IntegrityError, connection, transaction

import audit
from audit.checkpoints import checkpoint_pending_entries
from audit.models import AuditEntry, AuditRedaction
from audit.verify import Broken, redactions_digest, verify
from privacy.personal_data import erase_person
from tenants.roles import Role
from tests.audit.tampering import as_owner_of_the_tables, behind_the_audit_log
from tests.factories import member_of
from tests.privacy.someone import REASON

pytestmark = pytest.mark.as_owner


def test_only_what_names_the_person_goes(dana, operator, owner):
    erased = erase_person(dana.pk, by=operator, reason=REASON)
    line = AuditEntry.unscoped.get(verb="thing.said")
    assert (line.actor_label, line.subject_label) == (owner.email, erased.token)
    assert line.details == {"note": erased.token, "other": "kept"}
    line = AuditEntry.unscoped.get(verb="thing.done", actor=dana)
    assert (line.actor_label, line.address, line.user_agent) == (erased.token, None, "")
    assert line.details == {"count": 3, "model": "glm-4.6"}
    line = AuditEntry.unscoped.get(verb="thing.done", actor=owner)
    assert (line.on_behalf_of_label, line.changes) == (erased.token, {"to": ["x", erased.token]})


def test_a_similar_name_stays(lab, operator, dana):
    audit.record("thing.done", actor=None, subject=lab, note="Dana Developerson, xdana@example.com")
    erase_person(dana.pk, by=operator, reason=REASON)
    line = AuditEntry.unscoped.filter(verb="thing.done").latest("pk")
    assert line.details["note"] == "Dana Developerson, xdana@example.com"


def test_two_people_are_erased_from_one_line(lab, operator, owner, dana):
    ben = member_of(lab, Role.VIEWER, name="Ben Beta", email="ben@example.com")
    audit.record(
        "thing.moved", actor=owner, subject=lab, giver="dana@example.com", taker="ben@example.com", why="due"
    )
    checkpoint_pending_entries()
    first = erase_person(dana.pk, by=operator, reason=REASON)
    second = erase_person(ben.pk, by=operator, reason=REASON)
    line = AuditEntry.unscoped.get(verb="thing.moved")
    assert line.details == {"giver": first.token, "taker": second.token, "why": "due"}
    checkpoint_pending_entries()
    verify()


def test_words_erased_before_their_checkpoint_prove_themselves_too(lab, operator, dana):
    audit.record("thing.late", actor=dana, subject=lab)
    erase_person(dana.pk, by=operator, reason=REASON)
    checkpoint_pending_entries()
    assert AuditEntry.unscoped.get(verb="thing.late").actor_label.startswith("erased-")
    verify()


def test_a_redaction_hides_its_salt(dana, operator):
    erase_person(dana.pk, by=operator, reason=REASON)
    line = AuditEntry.unscoped.get(verb="thing.said")
    assert bytes(line.salt) == b""
    assert "details/note" not in line.leaf_salts
    assert "details/other" in line.leaf_salts


FORGERIES = {
    "words put back": """details = jsonb_set(details, '{note}', '"Nothing."')""",
    "another word of the line": """details = jsonb_set(details, '{other}', '"x"')""",
    "another word erased": "actor_label = subject_label",
    "a fact of the line": "verb = 'thing.unsaid'",
    "a word added": """details = details || '{"new": "x"}'""",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_redacted_line_cannot_be_rewritten(dana, operator, forgery):
    erase_person(dana.pk, by=operator, reason=REASON)
    line = AuditEntry.unscoped.get(verb="thing.said")
    with behind_the_audit_log() as run:
        run(f"UPDATE audit_auditentry SET {forgery} WHERE id = %s", [line.pk])
    with pytest.raises(Broken, match=f"Entry {line.pk} was"):
        verify()


def forge(line, record_id):
    """A redaction of a line's reviewer that nobody ordered, with the right commitment."""
    from audit.canonical import commitment, leaf_salt, leaves_of, salts_of
    from audit.checkpoints import fetch

    with connection.cursor() as cursor:
        (row,) = fetch(cursor, [line.pk])
    kept = {path: word for path, word in leaves_of(row)[1].items() if path != "actor_label"}
    taken = {"actor_label": commitment(leaf_salt(bytes(row.salt), "actor_label"), row.actor_label)}
    with behind_the_audit_log() as run:
        run(
            "INSERT INTO audit_auditredaction (entry_id, record_id, token, commitments) VALUES (%s, %s, %s, %s)",
            [line.pk, record_id, "erased-00000000", json.dumps(taken)],
        )
        run(
            "UPDATE audit_auditentry SET actor_label = 'erased-00000000', salt = '', leaf_salts = %s WHERE id = %s",
            [json.dumps(salts_of(row, kept)), line.pk],
        )
    return taken


def test_tampering_disguised_as_a_redaction_is_named(dana):
    line = AuditEntry.unscoped.get(verb="thing.said")
    forge(line, line.pk)
    with pytest.raises(Broken, match=f"Entry {line.pk} was redacted without a record"):
        verify()


def test_tampering_added_to_a_recorded_redaction_is_named(dana, operator):
    other = (
        AuditEntry.unscoped.filter(verb="membership.added")
        .exclude(subject_label__contains="Dana")
        .earliest("pk")
    )
    erase_person(dana.pk, by=operator, reason=REASON)
    record = AuditEntry.unscoped.get(verb="audit.redacted")
    forge(other, record.pk)
    with pytest.raises(
        Broken, match=f"The redactions that entry {record.pk} records are not the actual ones"
    ):
        verify()


def test_redactions_taken_away_are_named(dana, operator):
    erase_person(dana.pk, by=operator, reason=REASON)
    with behind_the_audit_log() as run:
        run("DELETE FROM audit_auditredaction WHERE id = %s", [AuditRedaction.objects.latest("pk").pk])
    with pytest.raises(Broken):
        verify()


def test_the_database_allows_nothing_but_the_erasure(dana, operator):
    erase_person(dana.pk, by=operator, reason=REASON)
    line = AuditEntry.unscoped.get(verb="thing.said")
    for change in (
        {"details": {"note": "x", "other": "kept"}},
        {"details": {"note": line.details["note"]}},
        {"details": {**line.details, "more": 1}},
        {"actor_label": "someone@else.example"},
        {"verb": "thing.unsaid"},
        {"salt": b"salt"},
    ):
        with pytest.raises(IntegrityError), as_owner_of_the_tables(), transaction.atomic():
            AuditEntry.unscoped.filter(pk=line.pk).update(**change)
    with (
        pytest.raises(IntegrityError, match="needs its record"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT audit_redact(%s, %s, 'erased-00000000', '{}', '{}', '{}')", [line.pk, line.pk])


def test_the_record_fixes_what_was_taken(dana, operator):
    erased = erase_person(dana.pk, by=operator, reason=REASON)
    record = AuditEntry.unscoped.get(verb="audit.redacted")
    rows = AuditRedaction.objects.filter(record_id=record.pk).order_by("pk")
    assert record.details["sha256"] == redactions_digest(
        (str(r.entry_id), r.token, r.commitments) for r in rows
    )
    assert (record.actor, record.reason, record.subject_id) == (operator, REASON, str(dana.pk))
    assert record.details["entries"] == rows.count() == erased.entries
