"""Every action is written down: who, as whom, what, on what, before and after, from where."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, ProgrammingError, transaction

import audit
from audit.models import AuditEntry
from core.context import trace_id_of
from core.secrets import new_key_secret, new_secret
from tenants import actions
from tenants.models import Limit
from tenants.roles import Role
from tests.audit.tampering import as_owner_of_the_tables
from tests.factories import UserFactory, member_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def last(verb):
    return AuditEntry.objects.across_tenants().filter(verb=verb).latest("pk")


def test_a_changed_limit_says_what_it_was(lab, owner):
    actions.set_limits(lab, {"tokens_per_day": Decimal(1000)}, by=owner)
    assert last("limits.set").changes == {"tokens_per_day": [None, "1000"]}
    actions.set_limits(lab, {"tokens_per_day": Decimal(2500)}, by=owner)
    assert last("limits.set").changes == {"tokens_per_day": ["1000", "2500"]}
    assert Limit.objects.in_tenant(lab).get().value == 2500


def test_a_limit_set_again_to_the_same_writes_nothing(lab, owner):
    for _ in range(2):
        actions.set_limits(lab, {"tokens_per_day": Decimal("1000.00")}, by=owner)
    assert AuditEntry.objects.in_tenant(lab).filter(verb="limits.set").count() == 1


def test_a_changed_role_says_what_it_was(lab, owner):
    person = member_of(lab, Role.VIEWER)
    actions.add_member(lab, person, Role.ADMIN, by=owner)
    assert last("membership.changed").changes == {"role": ["viewer", "admin"]}


def test_difference_leaves_out_what_stayed(lab):
    before = {"name": "Lab", "currency": "USD"}
    assert audit.difference(before, lab, ["name", "currency"]) == {}
    lab.name = "Laboratory"
    assert audit.difference(before, lab, ["name", "currency"]) == {"name": ("Lab", "Laboratory")}
    assert audit.difference(None, lab, ["currency"]) == {"currency": (None, "USD")}


def test_the_audit_log_says_as_whom(lab, owner, operator):
    machine = UserFactory(service_of=lab)
    for actor in (owner, operator, machine, None):
        audit.record("thing.done", actor=actor, subject=lab)
    lines = AuditEntry.objects.in_tenant(lab).filter(verb="thing.done").order_by("pk")
    assert list(lines.values_list("acting_as", flat=True)) == ["self", "staff", "service", "platform"]


def test_staff_who_belong_to_a_tenant_act_for_themselves_there(lab, operator):
    actions.add_member(lab, operator, Role.OWNER, by=None)
    audit.record("thing.done", actor=operator, subject=lab)
    assert last("thing.done").acting_as == "self"


def test_a_delegate_acts_for_somebody(lab, owner, developer):
    with audit.acting("delegate", on_behalf_of=owner):
        audit.record("thing.done", actor=developer, subject=lab)
    line = last("thing.done")
    assert (line.acting_as, line.on_behalf_of, line.on_behalf_of_label) == ("delegate", owner, owner.email)
    audit.record("thing.done", actor=developer, subject=lab)
    assert last("thing.done").acting_as == "self"


def test_emergency_access_says_why(lab, operator):
    with pytest.raises(ValueError, match="reason"), audit.acting("emergency_access", reason=" "):
        pass
    with audit.acting("emergency_access", reason="Incident 42: the owner is on leave."):
        audit.record("thing.done", actor=operator, subject=lab)
    line = last("thing.done")
    assert (line.acting_as, line.reason) == ("emergency_access", "Incident 42: the owner is on leave.")


def test_the_audit_log_says_from_where(client, owner, lab, project):
    actions.prepare_api_key(project, name="k", models=["m"], created_for=owner, expires_at=None)
    key = project.keys.get()
    client.force_login(owner)
    answer = client.post(
        f"/api/v1/keys/{key.pk}/claim/",
        "{}",
        "application/json",
        REMOTE_ADDR="192.0.2.9",
        headers={
            "user-agent": "letters/1",
            "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
        },
    )
    assert answer.status_code == 200, answer.content
    line = last("api_key.claimed")
    assert (line.address, line.user_agent) == ("192.0.2.9", "letters/1")
    assert line.request_id
    assert line.trace_id == TRACE


@pytest.mark.parametrize("header", ["", "00-xyz", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"{TRACE}"])
def test_a_trace_that_is_none_counts_as_none(header):
    assert trace_id_of(header) == ""


def test_the_line_is_in_the_transaction_of_the_action(lab):
    with transaction.atomic():
        audit.record("thing.done", actor=None, subject=lab)
        transaction.set_rollback(True)
    assert not AuditEntry.objects.in_tenant(lab).filter(verb="thing.done").exists()


@pytest.mark.parametrize("prefix", ["qm", "qmp", "qmg", "qms", "qmi"])
def test_our_secrets_never_enter(lab, prefix):
    secret = new_secret(prefix)
    for facts in ({"note": f"use {secret}, please"}, {"list": [{"deep": secret}]}, {"reason": secret}):
        with pytest.raises(ValidationError, match="keys or tokens"):
            audit.record("thing.done", actor=None, subject=lab, **facts)
    with pytest.raises(ValidationError):
        audit.record("thing.done", actor=None, subject=lab, changes={"note": ("", secret)})


@pytest.mark.parametrize(
    "text",
    [
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----",
        "argon2$argon2id$v=19$m=102400,t=2,p=8$abcdefghijkl$mnopqrstuvwx",
        "AKIAIOSFODNN7EXAMPLE",
    ],
)
def test_secrets_of_others_never_enter(lab, text):
    with pytest.raises(ValidationError):
        audit.record("thing.done", actor=None, subject=lab, note=text)


@pytest.mark.parametrize(
    "name", ["password", "Digest", "prompt", "messages", "session_key", "dana@example.com"]
)
def test_some_names_never_enter(lab, name):
    with pytest.raises(ValueError, match=r"audit log|person"):
        audit.record("thing.done", actor=None, subject=lab, facts={name: "x"})


def test_a_secret_among_what_a_browser_sends_is_cut(client, owner, project):
    secret = new_key_secret()
    actions.prepare_api_key(project, name="k", models=["m"], created_for=owner, expires_at=None)
    client.force_login(owner)
    client.post(
        f"/api/v1/keys/{project.keys.get().pk}/claim/",
        "{}",
        "application/json",
        headers={"user-agent": f"curl {secret}"},
    )
    line = last("api_key.claimed")
    assert secret not in line.user_agent
    assert line.user_agent.startswith("curl qm_")


def test_a_key_pasted_into_a_reason_is_answered_in_words(client, owner, project):
    actions.prepare_api_key(project, name="k", models=["m"], created_for=owner, expires_at=None)
    key = project.keys.get()
    client.force_login(owner)
    answer = client.post(
        f"/api/v1/keys/{key.pk}/revoke/", {"reason": f"leaked: {new_key_secret()}"}, "application/json"
    )
    assert answer.status_code == 400
    assert "revoke it" in answer.content.decode()
    key.refresh_from_db()
    assert key.state == "claimable"


def test_numbers_that_json_readers_disagree_on_are_written_as_text(lab):
    audit.record(
        "thing.done", actor=None, subject=lab, large=2**60, small=7, money=Decimal("1.10"), text="a\0b\ud800"
    )
    assert last("thing.done").details == {
        "large": str(2**60),
        "small": 7,
        "money": "1.10",
        "text": "a\ufffdb?",
    }


def test_what_cannot_be_seen_is_shown_and_turns_nothing_round(lab, owner):
    """Pages and files of others show what somebody wrote, as it reads; its lines stay."""
    said = "paid\u202e1000\u202c\u200b by\u2028me\nYours ✈\ufe0f"
    audit.record("thing.done", actor=owner, subject=lab, reason=said, note=said)
    entry = last("thing.done")
    assert entry.reason == "paid\ufffd1000\ufffd\ufffd by\ufffdme\nYours ✈"
    assert entry.details == {"note": entry.reason}


@pytest.mark.as_owner
def test_the_database_refuses_changes(lab):
    """The console's role has no right to; the triggers refuse the tables' owner as well."""
    line = audit.record("thing.done", actor=None, subject=lab)
    for change in (
        lambda rows: rows.update(verb="thing.undone"),
        lambda rows: rows.update(actor_label="erased-12345678"),
        lambda rows: rows.delete(),
    ):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            change(AuditEntry.objects.across_tenants().filter(pk=line.pk))
        with pytest.raises(IntegrityError), as_owner_of_the_tables(), transaction.atomic():
            change(AuditEntry.objects.across_tenants().filter(pk=line.pk))
