"""Staff who read a tenant's data leave one entry an hour, and its owner sees what was read."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from audit import record
from audit.models import AuditEntry, StaffRead
from audit.staff_reads import StaffReadMiddleware, _note
from directory.models import FederatedIdentity, GroupMapping
from exports.actions import file_for_download
from exports.building import build_export
from privacy.audit_files import ask_for_audit_file
from tenants.actions import add_member, create_service_account, issue_personal_access_token
from tenants.models import Tenant
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory, UserFactory, member_of, staff


def entries(tenant, verb="tenant.read_by_staff"):
    return list(AuditEntry.objects.in_tenant(tenant).filter(verb=verb).order_by("pk"))


def kinds(tenant):
    return [note.kinds for note in StaffRead.objects.in_tenant(tenant)]


@pytest.fixture
def controller(db):
    return staff("controller")


def test_a_page_leaves_one_entry_an_hour_with_what_was_read(client, lab, operator, owner):
    client.force_login(operator)
    for page in ("keys", "members", "keys", "audit"):
        assert client.get(f"/t/lab/{page}/").status_code == 200
    [entry] = entries(lab)
    assert (entry.actor, entry.acting_as, entry.subject_id) == (operator, "staff", str(lab.pk))
    assert len(entry.details["read"]) == 1
    [read] = kinds(lab)
    assert len(read) == 3

    client.force_login(owner)
    assert operator.email in client.get("/t/lab/audit/?action=tenant.read_by_staff").content.decode()
    [line] = client.get("/api/v1/audit/?tenant=lab&verb=tenant.read_by_staff").json()["results"]
    assert line["details"]["read"] == read
    assert client.get(f"/api/v1/audit/{entry.pk}/").json()["details"]["read"] == read
    page = client.get(f"/t/lab/audit/{entry.pk}/").content.decode()
    assert all(kind in page for kind in read)


def test_each_hour_person_and_tenant_has_its_own(client, lab, operator, controller):
    elsewhere = TenantFactory(slug="far")
    for person in (operator, controller):
        client.force_login(person)
        for slug in ("lab", "far"):
            assert client.get(f"/t/{slug}/").status_code == 200
    assert [len(entries(tenant)) for tenant in (lab, elsewhere)] == [2, 2]
    _note(operator, [lab.pk], "another")
    assert len(entries(lab)) == 2


def test_the_next_hour_is_another_entry(client, lab, operator, monkeypatch):
    client.force_login(operator)
    client.get("/t/lab/keys/")
    monkeypatch.setattr("audit.staff_reads.now", lambda: now() + timedelta(hours=1))
    client.get("/t/lab/keys/")
    assert len(entries(lab)) == 2


@pytest.mark.parametrize("role", ["owner", "developer"])
def test_members_leave_none_even_if_they_are_staff(client, lab, operator, role):
    client.force_login(member_of(lab, role))
    client.get("/t/lab/keys/")
    add_member(lab, operator, role, by=None)
    client.force_login(operator)
    client.get("/t/lab/keys/")
    assert entries(lab) == []


def test_what_was_refused_or_is_not_there_was_not_read(client, lab, controller):
    client.force_login(controller)
    assert client.get("/t/lab/audit/").status_code == 403
    assert client.get("/t/nowhere/costs/").status_code == 404
    assert not StaffRead.unscoped.exists()


@pytest.mark.parametrize(
    "address",
    [
        "/api/v1/keys/{key}/",
        "/api/v1/keys/?tenant=lab",
        "/api/v1/audit/?tenant=lab",
        "/api/v1/projects/?tenant=lab",
        "/admin/tenants/apikey/{key}/change/",
        "/admin/tenants/tenant/{tenant}/change/",
        "/admin/tenants/project/?tenant__id__exact={tenant}",
        "/admin/audit/auditentry/?tenant=lab",
    ],
)
def test_staff_pages_and_api_name_the_tenant(client, lab, operator, address):
    TenantFactory()
    key = ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab))
    client.force_login(operator)
    assert client.get(address.format(key=key.pk, tenant=lab.pk)).status_code == 200
    assert len(entries(lab)) == 1
    [[kind]] = kinds(lab)
    assert kind


@pytest.mark.parametrize(
    "address",
    [
        "tenants/personalaccesstoken/{token}/history/",
        "accounts/user/{account}/change/",
        "directory/groupmapping/{rule}/history/",
    ],
)
def test_rows_that_may_belong_to_a_tenant_name_theirs(client, lab, operator, owner, address):
    account = create_service_account(lab, name="Bot", role="developer", by=owner)
    token, _ = issue_personal_access_token(account, name="t", life=timedelta(days=1), by=owner)
    rule = GroupMapping.objects.create(group="g", tenant=lab, role="viewer")
    client.force_login(operator)
    page = "/admin/" + address.format(token=token.pk, account=account.pk, rule=rule.pk)
    assert client.get(page).status_code == 200
    assert len(entries(lab)) == 1


PAGES_OF_PEOPLE = [
    "accounts/user/{person}/change/",
    "accounts/user/{person}/history/",
    "accounts/user/{person}/erase/",
    "accounts/user/?q=nia@",
    "directory/federatedidentity/",
    "directory/federatedidentity/{identity}/change/",
    "directory/federatedidentity/{identity}/history/",
    "tenants/personalaccesstoken/",
    "tenants/personalaccesstoken/{token}/history/",
]


@pytest.mark.parametrize("address", PAGES_OF_PEOPLE)
def test_the_pages_of_people_name_the_tenant_they_are_members_of(client, lab, address):
    nia = member_of(lab, "viewer", email="nia@example.org")
    identity = FederatedIdentity.objects.create(user=nia, issuer="https://id.example.org", subject="nia")
    token, _ = issue_personal_access_token(nia, name="t", life=timedelta(days=1), scopes=["read"])
    root = UserFactory(is_staff=True, is_superuser=True)
    client.force_login(root)
    page = "/admin/" + address.format(person=nia.pk, identity=identity.pk, token=token.pk)
    assert client.get(page).status_code == 200
    assert [entry.actor for entry in entries(lab)] == [root]

    elsewhere = TenantFactory()
    add_member(elsewhere, nia, "viewer", by=None)
    assert client.get(page).status_code == 200
    assert [len(entries(tenant)) for tenant in (lab, elsewhere)] == [1, 1]
    more = [TenantFactory() for _ in range(30)]
    for tenant in more:
        add_member(tenant, nia, "viewer", by=None)
    assert client.get(page).status_code == 200
    assert [len(entries(tenant)) for tenant in more] == [1] * 30


def test_ones_own_page_and_people_without_a_tenant_are_nobodys(client, lab):
    root = UserFactory(is_staff=True, is_superuser=True, email="root@example.org")
    for tenant in (lab, TenantFactory()):
        add_member(tenant, root, "viewer", by=None)
    client.force_login(root)
    for person in (root, staff("auditor")):
        assert client.get(f"/admin/accounts/user/{person.pk}/change/").status_code == 200
    assert not StaffRead.unscoped.exists()


def test_oneself_in_a_list_is_not_read(client, lab):
    root = UserFactory(is_staff=True, is_superuser=True, email="listed-root@example.org")
    add_member(lab, root, "viewer", by=None)
    far = TenantFactory(slug="far")
    nia = member_of(far, "viewer", email="listed-nia@example.org")
    client.force_login(root)
    answer = client.get("/admin/accounts/user/?q=listed-")
    assert answer.status_code == 200
    assert {person.pk for person in answer.context["cl"].result_list} == {root.pk, nia.pk}
    assert [len(entries(tenant)) for tenant in (lab, far)] == [0, 1]


def test_a_token_of_staff_leaves_its_entry(client, lab, controller):
    """A controller who reads costs by a program."""
    life = timedelta(days=1)
    _token, secret = issue_personal_access_token(controller, name="look", life=life, by=controller)
    address = "/api/v1/costs/?tenant=lab&start=2026-09-01&end=2026-09-02"
    answer = client.get(address, headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200
    assert len(entries(lab)) == 1


@pytest.mark.parametrize("address", ["/api/v1/keys/", "/admin/tenants/apikey/", "/admin/audit/auditentry/"])
def test_one_foreign_row_hides_no_tenant_that_was_read(client, lab, operator, owner, address):
    elsewhere = TenantFactory()
    for tenant in (lab, lab, lab, elsewhere):
        ApiKeyFactory(tenant=tenant, project=ProjectFactory(tenant=tenant))
        record("tenant.changed", actor=owner, subject=tenant)
    client.force_login(operator)
    for _ in range(2):
        assert client.get(address).status_code == 200
    assert [len(entries(tenant)) for tenant in (lab, elsewhere)] == [1, 1]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("status", [200, 201, 202, 206, 400, 409, 410, 412, 422])
def test_rows_in_an_answer_are_read_whatever_it_is_called(lab, operator, rf, method, status):
    """A list, a step before an action, what an action answers, and a form or page that comes back."""
    answer_with_a_row(rf, lab, operator, method, status)
    assert len(entries(lab)) == 1


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("status", [204, 302, 304, 401, 403, 404, 429, 500, 503])
def test_an_answer_without_rows_is_not_read(lab, operator, rf, method, status):
    answer_with_a_row(rf, lab, operator, method, status)
    assert entries(lab) == []


def answer_with_a_row(rf, tenant, person, method, status):
    def answer(request):
        Tenant.objects.get(pk=tenant.pk)
        return HttpResponse(status=status)

    asked(rf, person, answer, method)


def asked(rf, person, answer, method="get"):
    request = getattr(rf, method)("/admin/tenants/apikey/")
    request.user, request.resolver_match = person, None
    return StaffReadMiddleware(answer)(request)


def names(tenants):
    for tenant in tenants:
        yield Tenant.objects.get(pk=tenant.pk).name.encode()


def test_what_is_read_while_an_answer_is_sent_is_read(lab, operator, rf):
    far = TenantFactory()
    answer = asked(rf, operator, lambda request: StreamingHttpResponse(names([lab, far])))
    assert not StaffRead.unscoped.exists()
    assert b"".join(answer.streaming_content) == f"{lab.name}{far.name}".encode()
    assert [len(entries(tenant)) for tenant in (lab, far)] == [1, 1]


def test_what_was_sent_before_somebody_hung_up_is_read(lab, operator, rf):
    far = TenantFactory()
    answer = asked(rf, operator, lambda request: StreamingHttpResponse(names([lab, far])))
    assert next(iter(answer.streaming_content)) == lab.name.encode()
    # As a server does, which closes the connection as well.
    for close in answer._resource_closers:
        close()
    assert [len(entries(tenant)) for tenant in (lab, far)] == [1, 0]


def test_a_downloaded_report_is_read(client, lab, controller):
    from tests.url_arguments import Lab

    export = Lab(lab, ProjectFactory(tenant=lab), member_of(lab, "finance")).row("exports.export")
    build_export(export.pk)
    client.force_login(controller)
    for address in (f"/api/v1/exports/{export.pk}/download/", f"/admin/exports/export/{export.pk}/download/"):
        assert client.get(address).status_code == 200
    [read] = kinds(lab)
    assert len(read) == 2


def test_the_common_case_costs_one_question(client, lab, operator, owner):
    client.force_login(operator)
    client.get("/t/lab/keys/")
    with CaptureQueriesContext(
        connection,
    ) as again:
        client.get("/t/lab/keys/")
    of_reads = [query["sql"] for query in again if "staffread" in query["sql"]]
    assert len(of_reads) == 1
    client.force_login(owner)
    with CaptureQueriesContext(connection) as member:
        client.get("/t/lab/keys/")
    assert not [query for query in member if "staffread" in query["sql"]]


def test_reading_goes_on_where_it_cannot_be_noted(client, lab, operator, monkeypatch, caplog):
    client.force_login(operator)
    monkeypatch.setattr("audit.staff_reads.connection", _Broken())
    assert client.get("/t/lab/keys/").status_code == 200
    assert "staff_read_not_noted" in caplog.text


class _Broken:
    def cursor(self):
        raise DatabaseError("read-only")


@pytest.mark.django_db(transaction=True)
def test_two_pages_at_once_leave_one_entry_with_both():
    lab, person = TenantFactory(), staff("operator")
    at_the_same_time(
        *(
            lambda kind=kind: _note(person, [lab.pk], kind)
            for kind in ("keys", "costs", "audit-list", "members")
        )
    )
    assert len(entries(lab)) == 1
    [read] = kinds(lab)
    assert sorted(read) == ["audit-list", "costs", "keys", "members"]


def test_a_note_only_grows(lab, operator):
    _note(operator, [lab.pk], "keys")
    for change in (
        "UPDATE audit_staffread SET kinds = '{}'",
        "UPDATE audit_staffread SET hour = hour - interval '1 year'",
        "UPDATE audit_staffread SET entry_id = NULL",
        "DELETE FROM audit_staffread",
    ):
        with (
            pytest.raises(DatabaseError, match="only grows"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(change)


@pytest.mark.django_db(transaction=True)
def test_files_of_the_audit_log_tell_all_that_was_read():
    lab, person = TenantFactory(), staff("operator")
    owner = member_of(lab, "owner")
    for kind in ("keys", "costs"):
        _note(person, [lab.pk], kind)
    today = now().date()
    export = ask_for_audit_file(
        lab, kind="audit_jsonl", start_day=today - timedelta(days=1), end_day=today + timedelta(days=1),
        by=owner,
    )  # fmt: skip
    build_export(export.pk)
    _, file = file_for_download(export.pk, by=owner)
    with file:
        lines = [json.loads(line) for line in file]
    [line] = [line for line in lines if line["verb"] == "tenant.read_by_staff"]
    assert line["details"]["read"] == ["keys", "costs"]


def test_the_home_that_names_tenants_and_their_costs_is_a_read(client, lab, controller):
    client.force_login(controller)
    assert "Lab" in client.get("/admin/").content.decode()
    assert len(entries(lab)) == 1


def test_a_person_found_by_the_search_is_a_read_of_their_tenants(client, lab, operator):
    member_of(lab, "developer", name="Zoe Zimmer")
    client.force_login(operator)
    client.get("/admin/find/", {"q": "z"})
    assert entries(lab) == []
    assert "Zoe Zimmer" in client.get("/admin/find/", {"q": "zoe"}).content.decode()
    assert len(entries(lab)) == 1
