"""Staff see what their role needs; secrets and what a page does not show, nobody."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import AuditEntry
from tenants.actions import add_member
from tests.factories import ApiKeyFactory, TenantFactory, member_of

PRIVATE = ["accounts/user", "tenants/apikey", "tenants/limit", "audit/auditentry", "gateway/gateway"]


@pytest.mark.parametrize("role", ["security_reviewer", "cost_reviewer", "controller"])
@pytest.mark.parametrize("page", PRIVATE)
def test_reviewers_and_controllers_open_no_keys_people_or_audit_logs(client, request, role, page):
    client.force_login(request.getfixturevalue(role))
    assert client.get(f"/admin/{page}/").status_code == 403


@pytest.mark.parametrize(
    "address",
    [
        "accounts/user/?password__startswith=md5",
        "tenants/apikey/?digest__startswith=0",
        "gateway/gateway/?digest=0",
    ],
)
def test_no_filter_guesses_a_secret_character_by_character(client, operator, lab, address):
    ApiKeyFactory(tenant=lab)
    client.force_login(operator)
    assert client.get(f"/admin/{address}").status_code == 400


def test_the_audit_log_asks_no_more_for_more_tenants(client, security_reviewer, lab):
    owner = member_of(lab, "owner")

    def queries(person, status):
        client.force_login(person)
        with CaptureQueriesContext(connection) as asked:
            assert client.get("/api/v1/audit/").status_code == status
        return len(asked)

    # Once for what is asked only the first time.
    queries(owner, 200)
    few = queries(owner, 200), queries(security_reviewer, 403)
    for _ in range(5):
        add_member(TenantFactory(), owner, "owner", by=None)
    assert (queries(owner, 200), queries(security_reviewer, 403)) == few


def test_the_audit_log_shows_only_tenants_where_the_role_allows_it(client, lab):
    person = member_of(lab, "owner")
    elsewhere = TenantFactory()
    add_member(elsewhere, person, "developer", by=None)
    assert AuditEntry.objects.in_tenant(elsewhere).exists()
    client.force_login(person)
    shown = {line["tenant"] for line in client.get("/api/v1/audit/").json()["results"]}
    assert shown == {"lab"}


def test_the_audit_log_tells_a_tenant_not_where_staff_sit(client, owner, operator, lab):
    for actor in (owner, operator):
        AuditEntry.objects.create(
            tenant=lab, actor=actor, actor_label=actor.email, verb="key.looked_at", subject_type="x", subject_id="1",
            address="192.0.2.7",
        )  # fmt: skip
    client.force_login(owner)
    shown = {
        line["actor"]: line["address"]
        for line in client.get("/api/v1/audit/?verb=key.looked_at").json()["results"]
    }
    assert shown == {owner.email: "192.0.2.7", operator.email: None}
    client.force_login(operator)
    lines = client.get("/api/v1/audit/?verb=key.looked_at").json()["results"]
    assert {line["address"] for line in lines} == {"192.0.2.7"}
