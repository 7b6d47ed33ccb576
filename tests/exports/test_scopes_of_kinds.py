"""A token orders, sees and downloads files only of the kinds whose scope it has."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from billing.cost_reports import ask_for_cost_report
from exports.building import build_export
from exports.models import Export
from privacy.audit_files import ask_for_audit_file
from tenants.actions import issue_personal_access_token
from tenants.roles import TokenScope

EXPORTS = "/api/v1/exports/"
DAYS = {"start_day": date(2026, 10, 1), "end_day": date(2026, 10, 31)}


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.EXPORT_DIR = tmp_path / "exports"


@pytest.fixture
def both(transactional_db, lab, owner):
    """A cost report and a file of the audit log, both finished."""
    made = {
        "costs": ask_for_cost_report(lab, by=owner, **DAYS),
        "audit_csv": ask_for_audit_file(lab, kind="audit_csv", by=owner, **DAYS),
    }
    for export in made.values():
        build_export(export.pk)
    return {kind: f"{EXPORTS}{export.pk}/" for kind, export in made.items()}


def bearer(user, *scopes):
    _, secret = issue_personal_access_token(user, name="t", life=timedelta(days=1), scopes=scopes)
    return {"Authorization": f"Bearer {secret}"}


def order(client, headers, kind):
    body = {"tenant": "lab", "kind": kind, "period": "2026-10"}
    return client.post(EXPORTS, body, content_type="application/json", headers=headers)


def test_a_token_for_costs_orders_no_file_of_the_audit_log(client, lab, owner):
    token = bearer(owner, TokenScope.COSTS)
    answer = order(client, token, "audit_csv")
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert 'scope="read"' in answer["WWW-Authenticate"]
    assert not Export.objects.in_tenant(lab).exists()
    assert order(client, token, "costs").status_code == 202


def test_the_scope_is_asked_before_the_tenant_is_looked_for(client, owner):
    body = {"tenant": "nowhere", "kind": "audit_csv", "period": "2026-10"}
    token = bearer(owner, TokenScope.COSTS)
    assert client.post(EXPORTS, body, content_type="application/json", headers=token).status_code == 403


def test_a_token_for_costs_downloads_no_file_of_the_audit_log(client, owner, both):
    token = bearer(owner, TokenScope.COSTS)
    assert client.get(f"{both['audit_csv']}download/", headers=token).status_code == 404
    assert client.get(f"{both['costs']}download/", headers=token).status_code == 200


def test_a_token_that_only_reads_sees_no_cost_reports(client, owner, both):
    token = bearer(owner, TokenScope.READ)
    assert [row["kind"] for row in client.get(EXPORTS, headers=token).json()["results"]] == ["audit_csv"]
    assert client.get(both["costs"], headers=token).status_code == 404
    assert client.get(both["audit_csv"], headers=token).status_code == 200
    assert order(client, token, "audit_csv").status_code == 403


def test_a_token_with_both_scopes_has_both_kinds(client, owner, both):
    token = bearer(owner, TokenScope.READ, TokenScope.COSTS)
    for kind, path in both.items():
        assert order(client, token, kind).status_code == 202, kind
        assert client.get(path, headers=token).status_code == 200, kind
        assert client.get(f"{path}download/", headers=token).status_code == 200, kind


def test_a_session_has_no_scopes_and_sees_every_kind(client, owner, both):
    client.force_login(owner)
    assert {row["kind"] for row in client.get(EXPORTS).json()["results"]} == set(both)
