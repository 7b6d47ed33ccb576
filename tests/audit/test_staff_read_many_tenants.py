"""Each tenant whose rows staff read has its entry, however many stood in one answer or file."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from audit import acting, record
from audit.checkpoints import checkpoint_pending_entries
from audit.models import AuditEntry, StaffRead
from audit.staff_reads import _note
from audit.verify import verify
from core.ids import uuid7
from exports.building import build_export
from privacy.audit_files import ask_for_audit_file
from tests.audit.test_what_staff_read import entries, kinds
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory, staff


@pytest.mark.parametrize("address", ["/api/v1/keys/", "/admin/tenants/apikey/", "/admin/audit/auditentry/"])
def test_each_tenant_of_a_long_list_has_its_entry(client, lab, operator, owner, address):
    tenants = [lab, *(TenantFactory() for _ in range(23))]
    for tenant in tenants:
        ApiKeyFactory(tenant=tenant, project=ProjectFactory(tenant=tenant))
        record("tenant.changed", actor=owner, subject=tenant)
    client.force_login(operator)
    for _ in range(2):
        assert client.get(address).status_code == 200
    for tenant in tenants:
        [entry] = entries(tenant)
        assert (entry.actor, entry.acting_as, entry.subject_label) == (operator, "staff", tenant.name)
        assert (entry.subject_type, entry.subject_id) == ("tenants.tenant", str(tenant.pk))
        assert (entry.address, entry.details["read"]) == ("127.0.0.1", *kinds(tenant))
    client.force_login(owner)
    assert operator.email in client.get("/t/lab/audit/?action=tenant.read_by_staff").content.decode()


def test_noting_many_tenants_costs_no_more_questions_than_one(lab, operator):
    many = [lab.pk, *(TenantFactory().pk for _ in range(60))]
    counts = []
    for tenants, kind in (([lab.pk], "keys"), (many[1:], "keys"), (many, "keys"), (many, "costs")):
        with CaptureQueriesContext(connection) as asked:
            _note(operator, tenants, kind)
        counts.append(len([query for query in asked if "SAVEPOINT" not in query["sql"]]))
    # New for one, new for sixty, noted already, and another kind in an hour that has its entries.
    assert counts == [4, 4, 1, 2]
    assert StaffRead.unscoped.filter(kinds=["keys", "costs"]).exclude(entry_id=None).count() == 61


@pytest.mark.as_owner
def test_entries_of_many_tenants_are_checkpointed_and_proved(lab, operator):
    checkpoint_pending_entries()
    _note(operator, [lab.pk, *(TenantFactory().pk for _ in range(30))], "keys")
    assert checkpoint_pending_entries() == 31
    assert verify().pending == 0


def test_a_tenant_that_is_not_there_hides_none_that_was_read(lab, operator):
    _note(operator, [lab.pk, uuid7()], "keys")
    assert len(entries(lab)) == 1


def test_in_an_emergency_the_others_are_read_as_staff(lab, operator):
    far = TenantFactory()
    with acting("emergency_access", reason="The lab burns.", only_in=lab.pk):
        _note(operator, [lab.pk, far.pk], "keys")
    [here], [there] = entries(lab), entries(far)
    assert (here.acting_as, here.reason) == ("emergency_access", "The lab burns.")
    assert (there.acting_as, there.reason) == ("staff", "")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["audit_csv", "audit_jsonl"])
def test_a_file_of_all_tenants_is_read_by_each_tenant_that_is_in_it(client, kind):
    auditor, silent = staff("auditor"), TenantFactory()
    tenants = [TenantFactory() for _ in range(30)]
    for tenant in tenants:
        record("thing.done", actor=None, subject=tenant)
    record("thing.done", actor=None, subject=auditor)  # of no tenant
    today = now().date()
    export = ask_for_audit_file(
        None,
        kind=kind,
        start_day=today - timedelta(days=1),
        end_day=today,
        by=auditor,
        entry_filter={"action": "thing.done"},
    )
    build_export(export.pk)
    client.force_login(auditor)
    assert client.get(f"/admin/exports/export/{export.pk}/change/").status_code == 200
    # The file is built, and nobody has it yet.
    assert not StaffRead.unscoped.exists()
    for _ in range(2):
        assert client.get(f"/admin/exports/export/{export.pk}/download/").status_code == 200
    assert [len(entries(tenant)) for tenant in (silent, *tenants)] == [0] + [1] * 30
    assert {entry.acting_as for tenant in tenants for entry in entries(tenant)} == {"staff"}


@pytest.mark.django_db(transaction=True)
def test_two_lists_of_the_same_tenants_at_once_wait_for_each_other_in_one_order():
    tenants, person = [TenantFactory().pk for _ in range(40)], staff("operator")
    at_the_same_time(
        *(
            lambda some=some, kind=kind: _note(person, some, kind)
            for some, kind in ((tenants, "keys"), (tenants[::-1], "costs"), (tenants[20:], "limits"))
        )
    )
    assert AuditEntry.objects.across_tenants().filter(verb="tenant.read_by_staff").count() == 40
    read = [sorted(note.kinds) for note in StaffRead.objects.across_tenants()]
    assert sorted(read) == sorted([["costs", "keys"]] * 20 + [["costs", "keys", "limits"]] * 20)
