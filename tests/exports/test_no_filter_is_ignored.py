"""A file is never wider than what was asked: a filter that its kind does not have is an error."""

from __future__ import annotations

import pytest

from exports.models import Export
from tests.factories import staff

MONTH = {"period": "2026-10"}
LAB = {"tenant": "lab"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (LAB | {"kind": "audit_csv", "project": "letters"}, "project"),
        (LAB | {"kind": "audit_csv", "project": "unknown"}, "project"),
        (LAB | {"kind": "costs", "person": "ada@example.com"}, "person"),
        (LAB | {"kind": "costs", "verb": "api_key."}, "verb"),
        # The default kind.
        (LAB | {"subject_id": "7"}, "subject_id"),
    ],
)
def test_a_filter_of_another_kind_is_an_error(client, lab, owner, project, body, field):
    client.force_login(owner)
    answer = client.post("/api/v1/exports/", MONTH | body, content_type="application/json")
    assert (answer.status_code, [*answer.json()["errors"]]) == (400, [field])
    assert not Export.objects.in_tenant(lab).exists()


@pytest.mark.parametrize("beside", [["start"], ["end"], ["start", "end"]])
def test_days_beside_a_period_are_an_error_that_says_what_to_leave_out(client, lab, owner, beside):
    client.force_login(owner)
    body = MONTH | LAB | dict.fromkeys(beside, "2026-09-30")
    answer = client.post("/api/v1/exports/", body, content_type="application/json")
    assert (answer.status_code, [*answer.json()["errors"]]) == (400, beside)
    for (sentence,) in answer.json()["errors"].values():
        assert "leave out period" in sentence
    assert not Export.objects.in_tenant(lab).exists()


def test_a_project_without_a_tenant_is_an_error(client, db):
    client.force_login(staff("auditor"))
    body = MONTH | {"kind": "audit_csv", "project": "letters"}
    answer = client.post("/api/v1/exports/", body, content_type="application/json")
    assert (answer.status_code, [*answer.json()["errors"]]) == (400, ["project"])
    assert not Export.objects.across_tenants().exists()


def test_each_kind_has_its_own_filters(client, lab, owner, project):
    client.force_login(owner)
    for body in (
        {"kind": "costs", "project": project.slug},
        {"kind": "audit_csv", "person": owner.email, "verb": "api_key.", "subject_id": "7"},
    ):
        answer = client.post("/api/v1/exports/", MONTH | LAB | body, content_type="application/json")
        assert answer.status_code == 202, answer.json()
