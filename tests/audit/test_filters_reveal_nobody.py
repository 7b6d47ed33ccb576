"""What somebody asks of their audit log is kept and told; it must not tell who has an account elsewhere."""

from __future__ import annotations

import pytest

import audit
from audit.models import AuditEntry
from exports.models import Export

NOBODYS = "nobody@nowhere.example"


def ask_on_the_page(client, address):
    days = {"start": "2026-11-01", "end": "2026-11-30"}
    answer = client.post("/t/lab/audit/exports/", {"kind": "audit_csv", "person": address, **days})
    assert answer.status_code == 302


def ask_the_api(client, address):
    wanted = {"kind": "audit_csv", "tenant": "lab", "period": "2026-11", "person": address}
    answer = client.post("/api/v1/exports/", wanted, content_type="application/json")
    assert answer.status_code == 202


@pytest.mark.parametrize("ask", [ask_on_the_page, ask_the_api])
def test_a_file_about_a_stranger_is_one_about_nobody(client, lab, owner, stranger, ask):
    client.force_login(owner)
    ask(client, stranger.email)
    ask(client, NOBODYS)
    of_stranger, of_nobody = Export.objects.in_tenant(lab).order_by("pk")
    assert of_stranger.entry_filter == of_nobody.entry_filter
    lines = AuditEntry.objects.in_tenant(lab).filter(verb="export.created").order_by("pk")
    first, second = (line.details["entry_filter"] for line in lines)
    assert first == second
    assert stranger.email not in client.get("/t/lab/audit/exports/").content.decode()


@pytest.mark.parametrize("ask", [ask_on_the_page, ask_the_api])
def test_a_file_about_somebody_who_did_something_here_is_about_them(client, lab, owner, stranger, ask):
    audit.record("thing.done", actor=stranger, subject=lab)
    client.force_login(owner)
    ask(client, stranger.email)
    assert Export.objects.in_tenant(lab).get().entry_filter["actor"] == str(stranger.pk)
