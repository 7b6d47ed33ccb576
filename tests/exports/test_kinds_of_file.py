"""The export machine builds files of every kind that an app registers, and knows none itself."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction
from rest_framework import serializers

from accounts.declared import action
from audit.models import AuditEntry
from exports import kinds, tasks
from exports.actions import queue_export
from exports.kinds import FileKind, Prepared
from exports.models import Export
from tenants.roles import TokenScope
from tests.factories import staff

DAYS = {"start_day": date(2026, 10, 1), "end_day": date(2026, 10, 31)}


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.EXPORT_DIR = tmp_path / "exports"


@action(Export, permission="tenants.export_cost", on=lambda export: export.tenant)
def ask_for_greeting(export, *, by, **details):
    ask_for_greeting.require(by, export)
    return queue_export(export, by=by, **details)


def _ask(tenant, asked, *, by, project):
    days = {"start_day": asked["start"], "end_day": asked["end"]}
    export = Export(tenant=tenant, kind="greetings", entry_filter={"name": asked["name"]}, **days)
    return ask_for_greeting(export, by=by, name=asked["name"])


def _prepare(cursor, export):
    statement = "COPY (SELECT 'Hello, ' || %(name)s) TO STDOUT"
    return Prepared(rows=1, statement=statement, values=export.entry_filter)


@pytest.fixture
def greetings(monkeypatch):
    """A kind of file that no app of ours has."""
    kind = FileKind(
        name="greetings",
        label="Greetings",
        action=ask_for_greeting,
        scope=TokenScope.COSTS,
        file_name="hello",
        suffix="jsonl",
        list_page="export-list",
        ask_page="export-new",
        prepare=_prepare,
        ask=_ask,
        describe=lambda export: f"for {export.entry_filter['name']}",
        form_of=lambda export: export.entry_filter,
        api_fields=lambda: {"name": serializers.CharField(required=False)},
    )
    monkeypatch.setitem(kinds._kinds, kind.name, kind)
    return kind


def test_a_new_kind_is_asked_for_built_shown_and_downloaded(
    transactional_db, client, lab, finance, greetings
):
    client.force_login(finance)
    wanted = {"tenant": "lab", "kind": "greetings", "period": "2026-10", "name": "Ada"}
    answer = client.post("/api/v1/exports/", wanted, content_type="application/json")
    assert (answer.status_code, answer.json()["kind"]) == (202, "greetings")
    export = Export.objects.in_tenant(lab).get()
    tasks.build_export(str(lab.pk), str(export.pk))
    assert "October 2026 · for Ada" in client.get(f"/t/lab/exports/{export.pk}/").content.decode()
    file = client.get(f"/t/lab/exports/{export.pk}/download/")
    assert b"".join(file.streaming_content) == b"Hello, Ada\n"
    assert file["Content-Disposition"] == 'attachment; filename="hello-lab-20261001-20261031.jsonl"'
    assert AuditEntry.objects.in_tenant(lab).get(verb="export.created").details["name"] == "Ada"


def test_the_list_of_cost_reports_leaves_other_kinds_out(client, lab, finance, greetings):
    queue_export(Export(tenant=lab, kind="greetings", entry_filter={"name": "Ada"}, **DAYS), by=finance)
    client.force_login(finance)
    assert "for Ada" not in client.get("/t/lab/exports/").content.decode()


@pytest.mark.parametrize("is_confidential", [False, True])
def test_staff_without_the_permission_see_confidential_kinds_nowhere(
    client, lab, finance, greetings, monkeypatch, is_confidential
):
    monkeypatch.setitem(kinds._kinds, "greetings", _changed(greetings, is_confidential=is_confidential))
    export = queue_export(
        Export(tenant=lab, kind="greetings", entry_filter={"name": "Ada"}, **DAYS), by=finance
    )
    auditor = staff("auditor")
    client.force_login(auditor)
    assert ("for Ada" in client.get("/admin/exports/export/").content.decode()) is not is_confidential
    listed = [row["id"] for row in client.get("/api/v1/exports/").json()["results"]]
    assert (str(export.pk) in listed) is not is_confidential


def _changed(kind, **fields):
    return FileKind(**vars(kind) | fields)


def test_a_file_over_all_tenants_needs_a_kind_that_has_such_files(db, client):
    client.force_login(staff("controller"))
    answer = client.post("/api/v1/exports/", {"period": "2026-10"}, content_type="application/json")
    assert (answer.status_code, [*answer.json()["errors"]]) == (400, ["tenant"])


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("export_of_costs_has_a_tenant", {"tenant_id": None}),
        ("export_of_costs_has_its_total", {"state": "done", "total": None}),
    ],
)
def test_the_database_knows_what_a_cost_report_has(lab, finance, constraint, fields):
    built = {
        "finished_at": "2026-11-01T00:00Z",
        "expires_at": "2026-12-01T00:00Z",
        "size_bytes": 1,
        "sha256": "0",
    }
    export = Export.objects.create(tenant=lab, kind="costs", requested_by=finance, currency="USD", **DAYS)
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Export.objects.in_tenant(lab).filter(pk=export.pk).update(**built | fields)


def test_the_machine_names_no_kind():
    names = {kind.name for kind in kinds.all_kinds()}
    assert {"costs", "audit_csv", "audit_jsonl"} <= names
    sources = [path for folder in ("exports", "templates/exports") for path in Path(folder).rglob("*.[ph]*")]
    texts = {path: path.read_text().replace("'", '"') for path in sources if path.suffix in (".py", ".html")}
    assert len(texts) > 15
    assert not [(str(path), name) for path, text in texts.items() for name in names if f'"{name}"' in text]
