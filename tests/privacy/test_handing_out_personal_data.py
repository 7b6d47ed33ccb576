"""What is held about a person is sent while it is read, a bounded number of rows at a time, and noted as read."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

import audit
from audit.models import AuditEntry, StaffRead
from core.scope import current_scope
from privacy.personal_data import export_person
from tenants.actions import add_member
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory, member_of

KEYS, DONE, AT_ONCE = 23, 31, 5


@pytest.fixture
def dana(lab, monkeypatch):
    """A member with more keys and entries than are read at a time, in two tenants."""
    monkeypatch.setattr("privacy.personal_data.ROWS_AT_A_TIME", AT_ONCE)
    monkeypatch.setattr("audit.redaction.ENTRIES_A_RECORD", AT_ONCE)
    person = member_of(lab, "developer", email="dana@example.com")
    project = ProjectFactory(tenant=lab)
    for _ in range(KEYS):
        ApiKeyFactory(tenant=lab, project=project, owner=person)
    for place in range(DONE):
        audit.record("thing.done", actor=person, subject=lab, place=place)
    return person


@pytest.fixture
def asked(client, dana, operator):
    """Ask for the person's data. Nothing of the answer is taken yet."""
    client.force_login(operator)
    return lambda: client.get(f"/admin/accounts/user/{dana.pk}/personal-data/")


def read_in(tenant):
    return AuditEntry.objects.in_tenant(tenant).filter(verb="tenant.read_by_staff").count()


@pytest.mark.django_db(transaction=True)
def test_all_of_it_arrives(asked, dana):
    answer = asked()
    assert answer["Content-Disposition"] == 'attachment; filename="personal-data.json"'
    assert "no-store" in answer["Cache-Control"]
    told = json.loads(answer.getvalue())
    assert told["person"]["email"] == dana.email
    assert len({row["id"] for row in told["tenants.apikey.owner"]}) == KEYS
    places = [line["details"]["place"] for line in told["audit"] if line["verb"] == "thing.done"]
    assert places == list(range(DONE))


def test_it_is_recorded_before_a_byte_is_sent_and_read_part_by_part(asked, dana, operator):
    with CaptureQueriesContext(connection) as asking:
        answer = asked()
    assert AuditEntry.unscoped.filter(verb="person.exported", actor=operator, subject_id=dana.pk).count() == 1
    # The audit log is not searched yet.
    assert not [query for query in asking if "ILIKE" in query["sql"]]
    parts = list(answer.streaming_content)
    assert max(part.count(b'"id":') for part in parts) <= AT_ONCE
    assert len(parts) > (KEYS + DONE) / AT_ONCE


def test_nothing_of_its_scope_stays_between_the_parts(dana, operator):
    for _ in export_person(dana, by=operator):
        assert not current_scope.get().platform_reason.startswith("export")


def test_each_tenant_whose_rows_were_in_it_has_its_entry(asked, dana, lab):
    elsewhere, former, far = TenantFactory(), TenantFactory(), TenantFactory()
    add_member(elsewhere, dana, "viewer", by=None)
    audit.record("thing.done", actor=dana, subject=former)
    asked().getvalue()
    assert [read_in(tenant) for tenant in (lab, elsewhere, former, far)] == [1, 1, 1, 0]


def test_what_was_sent_before_it_was_cut_off_is_read(asked, dana, lab):
    former = TenantFactory()
    audit.record("thing.done", actor=dana, subject=former)
    answer = asked()
    next(iter(answer.streaming_content))
    for close in answer._resource_closers:
        close()
    assert (read_in(lab), read_in(former)) == (1, 0)
    assert StaffRead.unscoped.count() == 1


def test_a_file_of_the_command_is_whole_or_not_there(dana, tmp_path, monkeypatch):
    def breaks(*_):
        raise DatabaseError("The server went away.")

    monkeypatch.setattr("privacy.personal_data.entries_about", breaks)
    out = tmp_path / "dana.json"
    with pytest.raises(DatabaseError):
        call_command("export_person", "dana@example.com", output=out, stdout=StringIO())
    assert not out.exists()
