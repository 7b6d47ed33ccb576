"""A person is erased: what goes, what stays, who may do it, and what they are told before."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Session
from audit.checkpoints import checkpoint_pending_entries
from audit.models import AuditEntry
from audit.verify import verify
from core.errors import Conflict
from directory.models import FederatedIdentity
from privacy.personal_data import erase_person
from tenants import actions
from tenants.models import ApiKey, Invitation, PersonalAccessToken, Tenant
from tenants.roles import Role
from tenants.suspension import suspend_access
from tests.audit.tampering import as_owner_of_the_tables
from tests.factories import ApiKeyFactory, ProjectFactory, UserFactory, member_of
from tests.privacy.someone import REASON

pytestmark = pytest.mark.as_owner


def everything_in_the_database():
    """Every row of every table, as text."""
    with as_owner_of_the_tables(), connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        texts = []
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            texts += [row[0] for row in cursor.fetchall()]
    return "\n".join(texts)


def test_nothing_in_the_database_names_an_erased_person(dana, operator):
    assert "dana@example.com" in everything_in_the_database()
    erased = erase_person(dana.pk, by=operator, reason=REASON)
    everything = everything_in_the_database()
    for word in ("dana@example.com", "Dana", "192.0.2.44", "https://id.example"):
        assert word not in everything
    dana.refresh_from_db()
    assert (dana.email, dana.name, dana.is_active) == (f"{erased.token}@erased.invalid", "", False)
    assert dana.erased_at is not None
    assert not dana.has_usable_password()
    for model in (FederatedIdentity, PersonalAccessToken, Session):
        assert not model.objects.filter(user=dana).exists()
    assert not dana.memberships.exists()
    assert not dana.groups.exists()
    invitation = Invitation.unscoped.get()
    assert (invitation.email, invitation.withdrawn_at is None) == (dana.email, False)


def test_the_audit_log_proves_itself_before_and_after(dana, operator):
    before = verify()
    erased = erase_person(dana.pk, by=operator, reason=REASON)
    assert erased.entries >= 4
    assert verify().redacted > 0  # before the next checkpoint
    checkpoint_pending_entries()
    after = verify()
    assert after.entries > before.entries
    assert after.redacted >= erased.entries - 1
    assert after.last_checkpoint != before.last_checkpoint


def test_keys_are_revoked_or_handed_over(dana, operator, owner, lab, project):
    new_owner = UserFactory(name="Not Here")
    key = ApiKey.objects.in_tenant(lab).get()
    erased = erase_person(dana.pk, by=operator, reason=REASON, keys_to=owner)
    key.refresh_from_db()
    assert (key.owner, key.state, erased.keys_handed_over) == (owner, "active", 1)
    ben = member_of(lab, Role.DEVELOPER, email="ben@example.com")
    other = ApiKeyFactory(tenant=lab, project=project, owner=ben)
    erase_person(ben.pk, by=operator, reason=REASON, keys_to=new_owner)  # no member there
    other.refresh_from_db()
    assert other.state == "revoked"


def test_what_is_handed_over_is_recorded_alike_and_under_the_pseudonym(dana, operator, owner, lab):
    account = actions.create_service_account(lab, name="nightly", role=Role.DEVELOPER, by=owner)
    account.responsible = dana
    account.save()
    token = erase_person(dana.pk, by=operator, reason=REASON, keys_to=owner).token
    account.refresh_from_db()
    assert account.responsible == owner
    lines = AuditEntry.objects.across_tenants().filter(verb__endswith=".handed_over")
    assert {line.verb: line.changes for line in lines} == {
        "api_key.handed_over": {"owner": [token, owner.email]},
        "service_account.handed_over": {"responsible": [token, owner.email]},
    }


@pytest.mark.parametrize("role", [Role.VIEWER, Role.FINANCE])
def test_keys_go_only_to_an_heir_who_may_hold_them(dana, operator, lab, project, role):
    new_owner = member_of(lab, role)
    elsewhere = ProjectFactory(tenant=lab)
    actions.set_project_role(
        elsewhere.pk, new_owner.memberships.get().pk, Role.DEVELOPER, by=member_of(lab, Role.OWNER)
    )
    refused = ApiKey.objects.in_tenant(lab).get()
    held = ApiKeyFactory(tenant=lab, project=elsewhere, owner=dana)
    erased = erase_person(dana.pk, by=operator, reason=REASON, keys_to=new_owner)
    assert (erased.keys_handed_over, erased.keys_revoked) == (1, 1)
    held.refresh_from_db()
    refused.refresh_from_db()
    assert (held.owner, held.state, refused.state) == (new_owner, "active", "revoked")


def test_keys_go_neither_to_somebody_inactive_nor_to_the_erased(dana, operator, lab):
    gone = member_of(lab, Role.DEVELOPER, is_active=False)
    ben = member_of(lab, Role.DEVELOPER)
    ApiKeyFactory(tenant=lab, project=ApiKey.objects.in_tenant(lab).get().project, owner=ben)
    assert erase_person(dana.pk, by=operator, reason=REASON, keys_to=gone).keys_revoked == 1
    assert erase_person(ben.pk, by=operator, reason=REASON, keys_to=ben).keys_revoked == 1


def test_a_suspended_key_works_again_in_the_hands_of_an_heir(dana, operator, owner, lab):
    suspend_access(dana, tenant=lab, reason="left the group", by=None)
    erase_person(dana.pk, by=operator, reason=REASON, keys_to=owner)
    assert ApiKey.objects.in_tenant(lab).usable().get().owner == owner


def test_the_last_owner_stays(operator, owner, lab):
    with pytest.raises(Conflict, match="last owner of Lab"):
        erase_person(owner.pk, by=operator, reason=REASON)
    member_of(lab, Role.OWNER)
    erase_person(owner.pk, by=operator, reason=REASON)


def test_the_last_owner_of_a_suspended_tenant_stays_too(operator, owner, lab):
    Tenant.objects.filter(pk=lab.pk).update(status="suspended")
    with pytest.raises(Conflict, match="last owner of Lab"):
        erase_person(owner.pk, by=operator, reason=REASON)


def test_an_erasure_waits_for_other_changes_of_members(dana, operator):
    with CaptureQueriesContext(connection) as asked:
        erase_person(dana.pk, by=operator, reason=REASON)
    locks = [query["sql"] for query in asked if "FOR " in query["sql"] and "SELECT" in query["sql"]]
    assert "tenants_tenant" in locks[0], locks[0]


def test_only_an_administrator_erases_an_administrator(operator):
    chief, other = (UserFactory(is_staff=True, is_superuser=True) for _ in range(2))
    with pytest.raises(PermissionDenied, match="administrator"):
        erase_person(chief.pk, by=operator, reason=REASON)
    erase_person(chief.pk, by=other, reason=REASON)


def test_who_may_not_erase(dana, owner, operator, security_reviewer):
    for person in (owner, security_reviewer, dana):
        with pytest.raises(PermissionDenied):
            erase_person(dana.pk, by=person, reason=REASON)
    with pytest.raises(PermissionDenied, match="You cannot erase yourself"):
        erase_person(operator.pk, by=operator, reason=REASON)
    machine = UserFactory(service_of=dana.memberships.get().tenant)
    with pytest.raises(Conflict, match="service account"):
        erase_person(machine.pk, by=operator, reason=REASON)


@pytest.mark.parametrize("reason", ["", "  ", "Dana Developer asked", "see mail of DANA@example.com"])
def test_a_reason_is_needed_and_names_nobody(dana, operator, reason):
    with pytest.raises(ValidationError):
        erase_person(dana.pk, by=operator, reason=reason)


def test_erasing_again_changes_nothing(dana, operator):
    first = erase_person(dana.pk, by=operator, reason=REASON)
    count = AuditEntry.unscoped.count()
    again = erase_person(dana.pk, by=operator, reason=REASON)
    assert (again.token, again.entries) == (first.token, 0)
    assert AuditEntry.unscoped.count() == count


def test_the_export_tells_everything_but_secrets(dana, tmp_path):
    out = tmp_path / "dana.json"
    call_command("export_person", "dana@example.com", output=out, stdout=StringIO())
    assert out.stat().st_mode & 0o777 == 0o600
    told = json.loads(out.read_text())
    assert told["person"]["email"] == "dana@example.com"
    assert told["tenants.membership.user"][0]["role"] == "developer"
    assert told["directory.federatedidentity.user"][0]["subject"] == "dana"
    assert told["tenants.apikey.owner"][0]["name"] == "letters"
    assert told["invitations"][0]["role"] == "viewer"
    assert {line["verb"] for line in told["audit"]} >= {"thing.done", "thing.said", "membership.added"}
    text = out.read_text()
    # No field of this name or ending in it; `digest_hour` is when somebody wants their summary.
    assert 'digest"' not in text
    assert '"password"' not in text
    assert "s" * 32 not in text


def test_the_export_of_somebody_erased_names_nobody(dana, operator):
    erased = erase_person(dana.pk, by=operator, reason=REASON)
    checkpoint_pending_entries()
    from privacy.personal_data import export_person

    dana.refresh_from_db()
    told = json.dumps(list(export_person(dana, by=operator)), default=str)
    assert "Dana" not in told
    assert erased.token in told


def test_the_command_asks_first(dana, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: "somebody@else.example")
    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("erase_person", "dana@example.com", reason=REASON, stdout=StringIO())
    monkeypatch.setattr("builtins.input", lambda _: "dana@example.com")
    out = StringIO()
    call_command("erase_person", "dana@example.com", reason=REASON, stdout=out)
    assert out.getvalue().startswith("Erased as erased-")
    with pytest.raises(CommandError, match="Nobody has the address"):
        call_command("erase_person", "dana@example.com", reason=REASON, yes=True, stdout=StringIO())


def test_the_admin_asks_twice_and_then_erases(client, dana, operator, monkeypatch):
    from privacy import tasks

    monkeypatch.setattr(tasks.erase_person, "delay", tasks.erase_person)
    client.force_login(operator)
    address = f"/admin/accounts/user/{dana.pk}/erase/"
    text = client.get(address).content.decode()
    assert "Erase dana@example.com permanently?" in text
    assert "Memberships that end: 1" in text
    good = {"address": "dana@example.com", "reason": REASON}
    wrong_answers = [
        {"address": "ben@example.com"},
        {"reason": ""},
        {"reason": "Dana Developer asked"},
        {"keys_to": "x@y.example"},
    ]
    for wrong in wrong_answers:
        assert client.post(address, good | wrong).status_code == 422
    dana.refresh_from_db()
    assert dana.erased_at is None
    assert client.post(address, good).status_code == 302
    dana.refresh_from_db()
    assert dana.erased_at is not None
    assert client.get(address).status_code == 404


def test_the_admin_says_what_stands_against_it(client, owner, operator, security_reviewer):
    client.force_login(operator)
    address = f"/admin/accounts/user/{owner.pk}/erase/"
    assert "last owner of Lab" in client.get(address).content.decode()
    assert client.post(address, {"address": owner.email, "reason": REASON}).status_code == 409
    client.force_login(security_reviewer)
    assert client.get(address).status_code == 403
    assert client.get(f"/admin/accounts/user/{owner.pk}/personal-data/").status_code == 403


def test_the_admin_hands_out_what_is_held(client, dana, operator):
    client.force_login(operator)
    answer = client.get(f"/admin/accounts/user/{dana.pk}/personal-data/")
    told = json.loads(answer.getvalue())
    assert told["person"]["name"] == "Dana Developer"
    assert AuditEntry.unscoped.filter(verb="person.exported", actor=operator).exists()


def test_a_person_without_anything_is_told_in_valid_json(db, operator):
    from privacy.personal_data import as_json, export_person

    told = json.loads(b"".join(as_json(export_person(UserFactory(), by=operator))))
    assert set(told) == {"person", "audit"}
