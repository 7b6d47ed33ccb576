"""Owners read their tenant's audit log, auditors everybody's; both can narrow it and take it with them."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

import audit
from audit.filters import EntryFilter, actions_in_log, find_entries
from audit.models import AuditEntry
from core.context import Origin, current_origin
from exports.actions import file_for_download
from exports.building import build_export
from exports.files import path_of
from exports.models import Export
from privacy.audit_files import ask_for_audit_file
from tests.factories import TenantFactory, UserFactory, member_of, staff


@pytest.fixture
def auditor(db):
    return staff("auditor", name="Audrey Auditor")


@pytest.fixture
def elsewhere(db):
    return TenantFactory(slug="elsewhere", name="Elsewhere")


def do(verb, actor, subject, address=None, **facts):
    token = current_origin.set(Origin("r", address, "a browser"))
    try:
        return audit.record(verb, actor=actor, subject=subject, **facts)
    finally:
        current_origin.reset(token)


def page(client, query="", tenant="lab"):
    answer = client.get(f"/t/{tenant}/audit/{query}")
    assert answer.status_code == 200
    return answer.context


def ids(context):
    return [line.pk for line in context["lines"]]


def test_who_may_read_the_audit_log(client, lab, owner, developer, finance, stranger, auditor):
    admin = member_of(lab, "admin")
    entry = do("thing.done", owner, lab)
    for person, status in (
        (owner, 200),
        (admin, 200),
        (auditor, 200),
        (developer, 403),
        (finance, 403),
        (stranger, 404),
    ):
        client.force_login(person)
        for path in ("audit/", f"audit/{entry.pk}/", "audit/exports/"):
            assert client.get(f"/t/lab/{path}").status_code == status, (person, path)


def test_the_list_narrows(client, lab, owner, developer, project):
    first = do("thing.made", owner, project)
    second = do("thing.moved", developer, project)
    third = do("other.done", None, lab)
    client.force_login(owner)
    assert ids(page(client, f"?person={developer.email.upper()}")) == [second.pk]
    assert ids(page(client, "?action=thing.")) == [second.pk, first.pk]
    assert ids(page(client, "?action=thing.made")) == [first.pk]
    assert ids(page(client, f"?object={project.pk}&person={owner.email}")) == [first.pk]
    assert third.pk in ids(page(client, "?person=platform"))
    today = f"{now():%Y-%m-%d}"
    assert second.pk in ids(page(client, f"?start={today}&end={today}"))
    yesterday = f"{now() - timedelta(days=1):%Y-%m-%d}"
    nothing = client.get(f"/t/lab/audit/?end={yesterday}")
    assert nothing.context["lines"] == []
    assert "No action matches" in nothing.content.decode()


def test_an_address_of_somebody_elsewhere_and_of_nobody_answer_alike(client, lab, owner, elsewhere):
    known = member_of(elsewhere, "owner")
    do("thing.done", known, elsewhere)
    client.force_login(owner)
    answers = [
        client.get(f"/t/lab/audit/?person={address}") for address in (known.email, "nobody@example.com")
    ]
    texts = [
        answer.content.decode().replace(known.email, "").replace("nobody@example.com", "")
        for answer in answers
    ]
    assert [answer.context["lines"] for answer in answers] == [[], []]
    assert "No action matches" in texts[0]


def test_wrong_questions_are_answered_in_words(client, lab, owner):
    client.force_login(owner)
    text = client.get("/t/lab/audit/?start=2026-02-02&end=2026-01-01").content.decode()
    assert "The last day is before the first" in text
    assert "This is not among the choices" in client.get("/t/lab/audit/?action=no.such").content.decode()
    assert client.get("/t/lab/audit/?before=garbage").status_code == 400
    for day in ("0001-01-01", "9999-12-31"):
        assert client.get(f"/t/lab/audit/?start={day}&end={day}").status_code == 200


@pytest.mark.parametrize("query", ["", "?action=thing.", "?person=platform"])
def test_pages_lead_through_the_whole_audit_log_and_back(client, lab, owner, query):
    wanted = [do("thing.done", None, lab).pk for _ in range(120)][::-1]
    client.force_login(owner)
    seen, address = [], f"/t/lab/audit/{query}"
    while address:
        context = client.get(address).context
        seen.append(ids(context))
        last, address = address, context["older_url"]
    assert [pk for each in seen for pk in each if pk in set(wanted)] == wanted
    assert [len(each) for each in seen[:2]] == [50, 50]
    back = client.get(last).context["newer_url"]
    assert ids(client.get(back).context) == seen[-2]
    assert "action" not in parse_qs(urlsplit(back).query) or query


def test_the_questions_cost_no_more_with_more_entries(client, lab, owner, project, developer):
    client.force_login(owner)
    questions = ["", f"?person={owner.email}", "?action=thing.", f"?object={project.pk}&person={owner.email}"]

    def queries():
        counted = {}
        for question in questions:
            # What a session keeps from its first page on.
            page(client, question)
            with CaptureQueriesContext(connection) as asked:
                page(client, question)
            counted[question] = len(asked)
        return counted

    do("thing.done", owner, project)
    of_one = queries()
    for n in range(60):
        do("thing.done" if n % 2 else f"thing.done_{n}", owner if n % 3 else developer, project)
    assert queries() == of_one
    assert max(of_one.values()) <= 16


def test_no_page_counts(client, lab, owner, auditor, django_assert_num_queries):
    for person, path in ((owner, "/t/lab/audit/"), (auditor, "/admin/audit/auditentry/")):
        client.force_login(person)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200
        of_audit_log = [query["sql"] for query in queries if "audit_auditentry" in query["sql"]]
        assert of_audit_log
        assert not any("COUNT(" in sql.upper() for sql in of_audit_log)


def test_an_action_shows_what_changed(client, lab, owner, project):
    entry = do(
        "project.changed",
        owner,
        project,
        "192.0.2.5",
        changes={"name": ("Old name", "New <b>name</b>")},
        reason="Tidy",
    )
    client.force_login(owner)
    text = client.get(f"/t/lab/audit/{entry.pk}/").content.decode()
    for words in (
        "Project changed",
        "Old name",
        "New &lt;b&gt;name&lt;/b&gt;",
        "192.0.2.5",
        "a browser",
        "Tidy",
    ):
        assert words in text
    assert f"?object={project.pk}" in text


@pytest.mark.parametrize("by", ["staff", "the platform, answering staff"])
def test_a_tenant_learns_not_where_staff_sit(client, lab, owner, operator, auditor, by):
    entry = do("tenant.changed", operator if by == "staff" else None, lab, "198.51.100.9")
    # Left since; the line still says as whom.
    operator.is_staff = False
    operator.save()
    client.force_login(owner)
    for path in (
        "/t/lab/audit/",
        f"/t/lab/audit/{entry.pk}/",
        f"/api/v1/audit/{entry.pk}/",
        "/api/v1/audit/",
    ):
        text = client.get(path).content.decode()
        assert "198.51.100.9" not in text
        assert entry.actor_label in text
    client.force_login(auditor)
    assert "198.51.100.9" in client.get(f"/admin/audit/auditentry/{entry.pk}/change/").content.decode()


def test_auditors_see_all_tenants_and_can_choose_one(client, lab, elsewhere, auditor):
    here, there = do("thing.done", None, lab), do("thing.done", None, elsewhere)
    client.force_login(auditor)
    shown = ids(client.get("/admin/audit/auditentry/").context)
    assert {here.pk, there.pk} <= set(shown)
    shown = ids(client.get("/admin/audit/auditentry/?tenant=elsewhere").context)
    assert there.pk in shown
    assert here.pk not in shown


def test_staff_without_the_permission_do_not(client, security_reviewer):
    client.force_login(security_reviewer)
    assert client.get("/admin/audit/auditentry/").status_code == 403
    assert client.get("/admin/audit/auditentry/export/").status_code == 403


def test_the_api_narrows_and_pages(client, lab, owner, developer, elsewhere):
    wanted = [str(do("thing.done", developer, lab).pk) for _ in range(7)][::-1]
    do("thing.done", developer, elsewhere)
    client.force_login(owner)
    found, address = [], f"/api/v1/audit/?person={developer.email}&verb=thing.&page_size=3"
    while address:
        answer = client.get(address).json()
        found.append([line["id"] for line in answer["results"]])
        address, previous = answer["next"], answer["previous"]
    assert [pk for each in found for pk in each] == wanted
    assert [line["id"] for line in client.get(previous).json()["results"]] == found[-2]
    assert client.get("/api/v1/audit/?cursor=!!!").status_code == 404
    assert client.get("/api/v1/audit/?page_size=0").status_code == 400
    assert client.get("/api/v1/audit/?tenant=elsewhere").status_code == 404
    assert client.get("/api/v1/audit/?verb=thing.done&before=2020-01-01T00:00:00Z").json()["results"] == []


def test_people_of_several_tenants_read_those_they_may(client, lab, elsewhere):
    person = member_of(lab, "owner")
    audit_there = do("thing.done", None, elsewhere)
    from tenants.actions import add_member

    add_member(elsewhere, person, "developer", by=None)
    client.force_login(person)
    shown = {line["tenant"] for line in client.get("/api/v1/audit/").json()["results"]}
    assert shown == {"lab"}
    assert client.get("/api/v1/audit/?tenant=elsewhere").status_code == 403
    assert client.get(f"/api/v1/audit/{audit_there.pk}/").status_code == 403


def test_actions_are_found_by_hops(lab, elsewhere):
    for verb in ("a.a", "b.b", "c.c"):
        do(verb, None, lab)
    do("d.d", None, elsewhere)
    assert {"a.a", "b.b", "c.c"} <= set(actions_in_log((lab.pk,)))
    assert "d.d" not in actions_in_log((lab.pk,))
    assert {"a.a", "d.d"} <= set(actions_in_log(None))
    assert actions_in_log(()) == []
    assert find_entries(EntryFilter(tenants=())).entries == []


def build(export):
    build_export(export.pk)
    export.refresh_from_db()
    assert export.state == "done", export.error
    return path_of(export).read_text()


pytestmark_export = pytest.mark.django_db(transaction=True)


def ask(tenant, by, kind="audit_csv", **entry_filter):
    today = now().date()
    return ask_for_audit_file(
        tenant,
        kind=kind,
        start_day=today,
        end_day=today,
        by=by,
        entry_filter=EntryFilter(**entry_filter).as_json(),
    )


@pytestmark_export
def test_a_file_holds_the_audit_log_and_nothing_a_spreadsheet_would_run(lab, owner, operator, elsewhere):
    do("thing.done", owner, lab, "192.0.2.5", reason="=HYPERLINK(1)", changes={"name": ("a", 'b\\"c')})
    do("thing.done", operator, lab, "198.51.100.9")
    do("other.done", owner, elsewhere)
    rows = list(csv.DictReader(io.StringIO(build(ask(lab, owner, action="thing.")))))
    assert [row["verb"] for row in rows] == ["thing.done", "thing.done"]
    assert rows[0]["reason"] == "'=HYPERLINK(1)"
    assert json.loads(rows[0]["changes"]) == {"name": ["a", 'b\\"c']}
    assert (rows[0]["address"], rows[1]["address"]) == ("192.0.2.5", "")
    assert {row["tenant"] for row in rows} == {"lab"}


@pytestmark_export
def test_json_lines_hold_each_entry_whole(lab, owner):
    do("thing.done", owner, lab, reason='two\nlines, a "quote", a \\ and a \x02', changes={"n": (1, None)})
    export = ask(lab, owner, kind="audit_jsonl", action="thing.done")
    (line,) = [json.loads(line) for line in build(export).splitlines()]
    assert line["reason"] == 'two\nlines, a "quote", a \\ and a \x02'
    assert (line["changes"], line["actor"]) == ({"n": [1, None]}, owner.email)
    assert export.rows_total == 1
    assert export.file_name.endswith(".jsonl")


@pytestmark_export
def test_an_auditors_file_holds_all_tenants_and_addresses(client, lab, elsewhere, auditor, operator):
    do("thing.done", operator, lab, "198.51.100.9")
    do("thing.done", None, elsewhere)
    export = ask(None, auditor)
    rows = list(csv.DictReader(io.StringIO(build(export))))
    assert {"lab", "elsewhere"} <= {row["tenant"] for row in rows}
    assert "198.51.100.9" in {row["address"] for row in rows}
    client.force_login(auditor)
    answer = client.get(f"/admin/exports/export/{export.pk}/download/")
    assert answer["Content-Disposition"].startswith('attachment; filename="audit-all-tenants-')


@pytestmark_export
def test_a_tenants_file_hides_where_staff_sit_whoever_asked_for_it(lab, owner, operator, auditor):
    """Owners find an auditor's file of their tenant on their own page, and may have it."""
    do("thing.done", operator, lab, "198.51.100.9")
    export = ask(lab, auditor, action="thing.done")
    (row,) = csv.DictReader(io.StringIO(build(export)))
    found, file = file_for_download(export.pk, by=owner)
    file.close()
    assert found == export
    assert (row["address"], row["user_agent"]) == ("", "")


@pytestmark_export
def test_who_may_have_the_files(client, lab, owner, developer, finance, stranger, controller):
    export = ask(lab, owner)
    build(export)
    for person, status in (
        (owner, 200),
        # Only people who may download such a file may know that it exists.
        (finance, 404),
        (developer, 404),
        (controller, 404),
        (stranger, 404),
    ):
        client.force_login(person)
        for route in (f"/t/lab/exports/{export.pk}/", f"/api/v1/exports/{export.pk}/"):
            for path in (route, f"{route}download/"):
                assert client.get(path).status_code == status, (person, path)
    client.force_login(finance)
    assert str(export.pk) not in client.get("/t/lab/exports/").content.decode()
    assert client.get("/api/v1/exports/").json()["results"] == []
    client.force_login(owner)
    assert [row["kind"] for row in client.get("/api/v1/exports/").json()["results"]] == ["audit_csv"]


def test_files_are_asked_for_on_the_page_and_over_the_api(client, lab, owner, developer, auditor):
    client.force_login(owner)
    days = {"start": "2026-11-01", "end": "2026-11-20"}
    answer = client.post("/t/lab/audit/exports/", days | {"kind": "audit_jsonl", "person": developer.email})
    assert answer.status_code == 302
    export = Export.objects.in_tenant(lab).get()
    assert (export.kind, export.entry_filter["actor"]) == ("audit_jsonl", str(developer.pk))
    assert "JSON Lines" in client.get("/t/lab/audit/exports/").content.decode()
    assert client.post("/t/lab/audit/exports/", days | {"start": ""}).status_code == 422
    answer = client.post(
        "/api/v1/exports/", days | {"kind": "audit_csv", "tenant": "lab"}, "application/json"
    )
    assert answer.status_code == 202
    for body, status in (
        ({"kind": "audit_csv"}, 403),
        ({"kind": "costs"}, 400),
        ({"kind": "x", "tenant": "lab"}, 400),
    ):
        assert client.post("/api/v1/exports/", days | body, "application/json").status_code == status
    client.force_login(developer)
    answer = client.post(
        "/api/v1/exports/", days | {"kind": "audit_csv", "tenant": "lab"}, "application/json"
    )
    assert answer.status_code == 403
    client.force_login(auditor)
    assert (
        client.post("/api/v1/exports/", days | {"kind": "audit_csv"}, "application/json").status_code == 202
    )
    assert client.post("/admin/audit/auditentry/export/", days | {"kind": "audit_csv"}).status_code == 302
    with pytest.raises(ValidationError):
        ask_for_audit_file(lab, kind="costs", start_day=now().date(), end_day=now().date(), by=owner)


def test_the_entry_of_a_person_who_left_still_names_them(client, lab, owner):
    gone = UserFactory()
    do("thing.done", gone, lab)
    client.force_login(owner)
    assert [line.actor_label for line in page(client, f"?person={gone.email}")["lines"]] == [gone.email]
    assert AuditEntry.objects.in_tenant(lab).filter(actor=gone).exists()
