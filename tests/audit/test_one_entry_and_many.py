"""Page, API and files of the audit log say the same of each entry, of one entry and of many, for the same queries."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

import audit
from audit.filters import EntryFilter
from audit.models import AuditEntry
from exports.building import build_export
from exports.files import path_of
from privacy.audit_files import ask_for_audit_file
from tests.factories import ProjectFactory, member_of, staff

SIZES = [1, 2, 7, 60]  # the page shows 50
FIELDS = (
    "id",
    "tenant",
    "actor",
    "acting_as",
    "reason",
    "verb",
    "subject_type",
    "subject_id",
    "subject_label",
)


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.EXPORT_DIR = tmp_path / "exports"


@pytest.fixture
def grow(lab):
    """Have so many entries, each by another person, of another action, about another project."""

    def grow(size):
        for n in range(AuditEntry.objects.in_tenant(lab).filter(verb__startswith="thing.").count(), size):
            person = member_of(lab, "viewer", name=f"Person {n}")
            project = ProjectFactory(tenant=lab, slug=f"project-{n}", name=f"Project {n}")
            audit.record(f"thing.done_{n % 9}", actor=person, subject=project, reason=f"Reason {n}")

    return grow


def entries(lab):
    """What the rows themselves say, newest first."""
    rows = AuditEntry.objects.in_tenant(lab).filter(verb__startswith="thing.").order_by("-id")
    return [
        {
            "id": str(row.pk), "tenant": "lab", "actor": row.actor.email, "acting_as": row.acting_as,
            "reason": row.reason, "verb": row.verb, "subject_type": row.subject_type,
            "subject_id": row.subject_id, "subject_label": row.subject_label,
        }
        for row in rows.select_related("actor")
    ]  # fmt: skip


def pages_of_the_api(client):
    address = "/api/v1/audit/?verb=thing.&page_size=7"
    while address:
        answer = client.get(address).json()
        yield from answer["results"]
        address = answer["next"]


def pages_of_the_portal(client):
    address = "/t/lab/audit/?action=thing."
    while address:
        answer = client.get(address)
        text = answer.content.decode()
        for line in answer.context["lines"]:
            assert f"/t/lab/audit/{line.pk}/" in text
            assert line.actor_label in text
            assert line.subject_label in text
            yield line
        address = answer.context["older_url"]


def file_of(lab, owner, kind):
    today = now().date()
    wanted = EntryFilter(action="thing.").as_json()
    export = ask_for_audit_file(lab, kind=kind, start_day=today, end_day=today, by=owner, entry_filter=wanted)
    build_export(export.pk)
    export.refresh_from_db()
    assert export.state == "done", export.error
    return path_of(export).read_text()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("size", SIZES)
def test_page_api_and_files_say_of_each_entry_what_its_row_says(client, lab, owner, grow, size):
    grow(size)
    rows = entries(lab)
    assert len(rows) == size
    client.force_login(owner)
    assert [{name: line[name] for name in FIELDS} for line in pages_of_the_api(client)] == rows

    shown = list(pages_of_the_portal(client))
    names = ("pk", "verb", "actor_label", "subject_label", "reason")
    assert [tuple(str(getattr(line, name)) for name in names) for line in shown] == [
        (row["id"], row["verb"], row["actor"], row["subject_label"], row["reason"]) for row in rows
    ]

    oldest_first = rows[::-1]
    table = csv.DictReader(io.StringIO(file_of(lab, owner, "audit_csv")))
    assert [{name: row[name] for name in FIELDS} for row in table] == oldest_first
    lines = [json.loads(line) for line in file_of(lab, owner, "audit_jsonl").splitlines()]
    assert [{name: line[name] for name in FIELDS} for line in lines] == oldest_first


def test_one_entry_and_many_need_the_same_queries(client, lab, owner, grow):
    auditor = staff("auditor")
    readers = [
        (owner, "/t/lab/audit/?action=thing."),
        (owner, "/api/v1/audit/?verb=thing."),
        (owner, "/api/v1/audit/?verb=thing.&tenant=lab"),
        (auditor, "/admin/audit/auditentry/?action=thing."),
    ]

    def queries():
        counted = {}
        for person, address in readers:
            client.force_login(person)
            # What a session keeps from its first page on.
            client.get(address)
            with CaptureQueriesContext(connection) as asked:
                assert client.get(address).status_code == 200
            counted[person, address] = len(asked)
        return counted

    grow(1)
    of_one = queries()
    grow(40)
    assert queries() == of_one
