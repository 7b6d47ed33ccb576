"""Erasing somebody, or handing out what is held about them, reaches all that is theirs and nobody else's."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core import signing
from django.db import connection
from django.utils.timezone import now

import audit
from accounts.models import User
from audit import redaction
from audit.checkpoints import checkpoint_pending_entries
from audit.models import AuditEntry
from audit.redaction import KNOWN_BY
from audit.verify import verify
from directory.actions.people import change_person
from directory.models import DirectoryPerson
from directory.scope import PersonFacts
from exports.building import build_export
from exports.files import path_of
from exports.models import Export
from exports.tasks import expire_exports
from privacy import tasks
from privacy.audit_files import ask_for_audit_file
from privacy.personal_data import erase_person, export_person, sign_erasure_job
from tenants import actions
from tests.factories import TenantFactory, UserFactory, member_of

REASON = "Request 2026-18"


def told_about(person, by):
    return json.dumps(list(export_person(person, by=by)), default=str)


@pytest.mark.parametrize("name", ["Platform", "Key", "Ann", "Quarterly Report"])
def test_a_name_gives_nothing_of_other_tenants(lab, stranger, operator, name):
    """People choose their names: one that is a word, or another's, opens no other tenant's audit log."""
    elsewhere = stranger.memberships.get().tenant
    audit.record("thing.done", actor=None, subject=elsewhere, note="Key of Ann for the quarterly report")
    before = AuditEntry.objects.in_tenant(elsewhere).order_by("pk")
    before = list(before.values("pk", "actor_label", "subject_label", "details", "changes"))
    person = member_of(lab, "viewer", name=name)
    told = told_about(person, operator)
    assert "Elsewhere" not in told
    assert stranger.email not in told
    erase_person(person.pk, by=operator, reason=REASON)
    after = AuditEntry.objects.in_tenant(elsewhere).order_by("pk")
    assert list(after.values("pk", "actor_label", "subject_label", "details", "changes")) == before
    checkpoint_pending_entries()
    verify()


def test_a_full_name_goes_where_the_person_was(lab, operator, owner):
    person = member_of(lab, "viewer", name="Dana Developer")
    line = audit.record("thing.done", actor=owner, subject=lab, note="Dana Developer said so")
    erased = erase_person(person.pk, by=operator, reason=REASON)
    line.refresh_from_db()
    assert line.details == {"note": erased.token}


def test_former_addresses_and_names_go_too(lab, operator, owner):
    person = UserFactory(email="maria.maiden@example.com", name="Maria Maiden", password="")
    DirectoryPerson.objects.create(user=person, display_name="Maria Maiden")
    actions.add_member(lab, person, "developer", by=owner)
    married = PersonFacts("maria.married@example.com", given_name="Maria", family_name="Married")
    change_person(person.pk, lambda _: married, directory="test")
    person.refresh_from_db()
    invitation, _ = actions.invite(
        TenantFactory(slug="next"), "maria.maiden@example.com", "viewer", by=operator
    )
    erase_person(person.pk, by=operator, reason=REASON)
    invitation.refresh_from_db()
    assert invitation.withdrawn_at
    assert "maiden" not in invitation.email
    lines = AuditEntry.unscoped.values_list("actor_label", "subject_label", "details", "changes")
    assert "maiden" not in json.dumps(list(lines)).lower()
    checkpoint_pending_entries()
    verify()


class TestTheAuditLogIsReadBeforeAnythingIsLocked:
    @pytest.fixture
    def person(self, lab):
        person = member_of(lab, "developer", email="dana@example.com", name="Dana Developer")
        audit.record("thing.done", actor=person, subject=lab)
        return person

    @pytest.fixture
    def meanwhile(self, monkeypatch):
        """Let something happen after the audit log was read and before anything is locked."""

        def happens(action):
            def look_and_let(person):
                found = redaction.look_for(person)
                action()
                return found

            monkeypatch.setattr("privacy.personal_data.look_for", look_and_let)

        return happens

    @pytest.fixture
    def years_ago(self, monkeypatch):
        """What was written until now counts as older than any transaction."""
        monkeypatch.setattr(redaction, "LONGEST_TRANSACTION", -timedelta(minutes=1))

    def nothing_is_left_of(self, *words):
        lines = AuditEntry.unscoped.values_list("actor_label", "subject_label", "details", "changes")
        text = json.dumps(list(lines)).lower()
        return not any(word in text for word in words)

    def test_what_was_found_before_is_erased(self, lab, person, operator, years_ago):
        erase_person(person.pk, by=operator, reason=REASON)
        assert self.nothing_is_left_of("dana")

    def test_and_what_is_written_meanwhile(self, lab, person, operator, owner, meanwhile):
        meanwhile(
            lambda: audit.record("thing.done", actor=owner, subject=lab, note="dana@example.com did it")
        )
        erase_person(person.pk, by=operator, reason=REASON)
        assert self.nothing_is_left_of("dana")

    def test_and_everything_when_they_are_called_otherwise_meanwhile(
        self, lab, person, operator, owner, meanwhile, years_ago
    ):
        audit.record("thing.done", actor=owner, subject=lab, note="Dana Married said so")
        meanwhile(lambda: User.objects.filter(pk=person.pk).update(name="Dana Married"))
        erase_person(person.pk, by=operator, reason=REASON)
        assert self.nothing_is_left_of("married")

    @pytest.mark.django_db(transaction=True)
    def test_outside_of_a_transaction(self, lab, person, operator, meanwhile):
        seen = []
        meanwhile(lambda: seen.append(connection.in_atomic_block))
        erase_person(person.pk, by=operator, reason=REASON)
        assert seen == [False]


def test_an_address_that_is_somebody_elses_now_stays_theirs(lab, operator, owner):
    person = member_of(lab, "developer", email="desk@example.com", name="Desk One")
    audit.record("thing.done", actor=person, subject=lab)
    person.email = "one@example.com"
    person.save(update_fields=["email"])
    new_owner = member_of(lab, "developer", email="desk@example.com", name="Desk Two")
    line = audit.record("thing.done", actor=new_owner, subject=lab)
    erase_person(person.pk, by=operator, reason=REASON)
    line.refresh_from_db()
    assert line.actor_label == "desk@example.com"


def test_service_accounts_do_not_go_on_with_nobody_to_answer(client, lab, owner, operator):
    other = member_of(lab, "owner")
    account = actions.create_service_account(lab, name="nightly", role="developer", by=owner)
    _, secret = actions.issue_personal_access_token(account, name="n", life=timedelta(days=9), by=owner)
    kept = actions.create_service_account(lab, name="other", role="viewer", by=other)
    erase_person(owner.pk, by=operator, reason=REASON)
    account.refresh_from_db()
    kept.refresh_from_db()
    assert (account.is_active, kept.is_active) == (False, True)
    answer = client.get("/api/v1/tenants/", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 401


def test_service_accounts_go_to_who_gets_the_keys(lab, owner, operator):
    other = member_of(lab, "owner")
    account = actions.create_service_account(lab, name="nightly", role="developer", by=owner)
    erase_person(owner.pk, by=operator, reason=REASON, keys_to=other)
    account.refresh_from_db()
    assert (account.is_active, account.responsible) == (True, other)


def test_the_queue_cannot_order_an_erasure(developer, operator):
    """A broker delivers messages; whoever writes one there is nobody's operator."""
    names = [str(developer.pk), str(operator.pk), REASON, None]
    for forged in (
        json.dumps(names),
        # Signed, but for something else.
        signing.dumps(names),
        signing.dumps(names, key="another secret", salt="tenants.erasure"),
    ):
        tasks.erase_person(forged)
        developer.refresh_from_db()
        assert developer.erased_at is None
    tasks.erase_person(sign_erasure_job(developer, requested_by=operator, reason=REASON, keys_to=None))
    developer.refresh_from_db()
    assert developer.erased_at is not None


def test_an_old_order_is_not_obeyed(developer, operator, monkeypatch):
    order = sign_erasure_job(developer, requested_by=operator, reason=REASON, keys_to=None)
    later = (now() + timedelta(days=4)).timestamp()
    monkeypatch.setattr("django.core.signing.time.time", lambda: later)
    tasks.erase_person(order)
    developer.refresh_from_db()
    assert developer.erased_at is None


def test_a_stranger_with_the_same_name_keeps_it(lab, operator):
    elsewhere = TenantFactory(slug="elsewhere", name="Elsewhere")
    here, there = member_of(lab, "viewer", name="Ann Smith"), member_of(elsewhere, "viewer", name="Ann Smith")
    line = audit.record("thing.done", actor=None, subject=elsewhere, note="Ann Smith was here")
    erase_person(here.pk, by=operator, reason=REASON)
    line.refresh_from_db()
    there.refresh_from_db()
    assert (line.details, there.name) == ({"note": "Ann Smith was here"}, "Ann Smith")


def test_files_of_the_audit_log_that_were_built_before_are_deleted(
    lab, owner, operator, settings, tmp_path, django_capture_on_commit_callbacks
):
    settings.EXPORT_DIR = tmp_path
    person = member_of(lab, "viewer", email="dana@example.com")
    today = now().date()
    export = ask_for_audit_file(lab, kind="audit_csv", start_day=today, end_day=today, by=owner)
    path_of(export).write_text("dana@example.com")
    Export.objects.across_tenants().update(
        state="done", sha256="0" * 64, size_bytes=1, finished_at=now(), expires_at=now() + timedelta(days=9)
    )
    with django_capture_on_commit_callbacks(execute=True):
        erase_person(person.pk, by=operator, reason=REASON)
    expire_exports()
    assert not path_of(export).exists()
    assert Export.objects.in_tenant(lab).get().state == "expired"


@pytest.mark.parametrize("state", ["queued", "running"])
def test_files_of_the_audit_log_that_are_being_built_are_not_finished(
    lab, owner, operator, settings, tmp_path, state
):
    """Who builds one reads the audit log as it was when they began."""
    settings.EXPORT_DIR = tmp_path
    person = member_of(lab, "viewer", email="dana@example.com")
    today = now().date()
    export = ask_for_audit_file(lab, kind="audit_csv", start_day=today, end_day=today, by=owner)
    Export.objects.across_tenants().update(state=state)
    erase_person(person.pk, by=operator, reason=REASON)
    build_export(export.pk)
    export.refresh_from_db()
    assert (export.state, path_of(export).exists()) == ("failed", False)
    assert "Order it again" in export.error


def test_who_somebody_was_is_found_without_reading_the_whole_audit_log(developer):
    """It is asked by a page, of ten million entries."""
    with connection.cursor() as cursor:
        # Else few rows are read whole whatever there is.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {KNOWN_BY}", {"person": str(developer.pk)})
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan on audit_auditentry" not in plan
