"""Actions in a tenant itself: its settings and projects, its audit log, suspending and closing it."""

from __future__ import annotations

from datetime import date, timedelta

from django.utils.timezone import now

import audit
from billing.closing import _ledger_sha256
from exports.models import Export
from tenants.actions.closing import propose_closing
from tenants.models import Limit, Tenant
from tests.factories import ProjectFactory, member_of
from tests.role_matrix import Action, EntryPoint

SENT = {"_form_submitted": "1"}
SETTINGS = {"name": "Laboratory", "cost_centre": "", "timezone": "UTC", "currency": "USD", "regions": ""}


def suspended(world, actor):
    """The tenant, put to rest."""
    by = member_of(world.tenant, "owner")
    Tenant.objects.filter(pk=world.tenant.pk).update(
        status="suspended", suspended_at=now() - timedelta(minutes=1), suspended_reason="The end."
    )
    tenant = Tenant.objects.get(pk=world.tenant.pk)
    tenant.owner = by
    return tenant


def with_its_final_export(world, actor):
    tenant = suspended(world, actor)
    export = Export.objects.create(
        tenant=tenant,
        kind="costs",
        start_day=date(2026, 1, 1),
        end_day=date(2026, 1, 31),
        requested_by=tenant.owner,
        currency="USD",
        is_final=True,
    )
    sha256 = _ledger_sha256(tenant, export)
    Export.objects.in_tenant(tenant).filter(pk=export.pk).update(
        state="done",
        sha256=sha256,
        finished_at=now(),
        expires_at=now() + timedelta(days=1),
        rows_total=0,
        rows_done=0,
        size_bytes=0,
        total=0,
    )
    tenant.export = export
    return tenant


def with_a_proposal(world, actor):
    tenant = with_its_final_export(world, actor)
    tenant.proposal = propose_closing(
        tenant.pk, export_id=tenant.export.pk, reason="The end.", by=tenant.owner
    )
    return tenant


def _closing(step):
    return EntryPoint(
        "POST /t/{w.tenant.slug}/settings/closing/",
        {"step": step, "typed": "{w.tenant.slug}", "reason": "The end."},
    )


def _a_limit(world, actor):
    return Limit.objects.in_tenant(world.tenant).get_or_create(
        tenant=world.tenant, project=world.project, kind="tokens_per_month", defaults={"value": 7_654_321}
    )[0]


TENANCY_ACTIONS = [
    Action(
        "create a tenant",
        "tenants.actions.create_tenant",
        admin=EntryPoint(
            "POST /admin/tenants/tenant/new/",
            SETTINGS
            | {
                "slug": "fresh",
                "highest_data_class": "internal",
                "first_owner": "first@example.com",
            },
        ),
    ),
    Action(
        "change a tenant's settings",
        "tenants.actions.change_tenant",
        page=EntryPoint("POST /t/{w.tenant.slug}/settings/", SETTINGS),
        api=EntryPoint("PATCH /api/v1/tenants/{w.tenant.slug}/", {"name": "Laboratory"}),
        admin=EntryPoint(
            "POST /admin/tenants/tenant/{w.tenant.pk}/settings/",
            SETTINGS | {"highest_data_class": "confidential"},
        ),
    ),
    Action(
        "let a tenant use more sensitive data",
        "tenants.actions.change_tenant",
        api=EntryPoint("PATCH /api/v1/tenants/{w.tenant.slug}/", {"highest_data_class": "restricted"}),
        admin=EntryPoint(
            "POST /admin/tenants/tenant/{w.tenant.pk}/settings/",
            SETTINGS | {"highest_data_class": "restricted"},
        ),
    ),
    Action(
        "create a project",
        "tenants.actions.create_project",
        page=EntryPoint("POST /t/{w.tenant.slug}/projects/new/", {"name": "Fresh", "slug": "fresh"}),
        api=EntryPoint(
            "POST /api/v1/projects/", {"tenant": "{w.tenant.slug}", "name": "Fresh", "slug": "fresh"}
        ),
    ),
    Action(
        "change a project",
        "tenants.actions.change_project",
        subject=lambda world, actor: ProjectFactory(tenant=world.tenant),
        page=EntryPoint("POST /t/{w.tenant.slug}/projects/{it.pk}/edit/", {"name": "Renamed"}),
        api=EntryPoint("PATCH /api/v1/projects/{it.pk}/", {"name": "Renamed"}),
    ),
    Action(
        "read limits",
        subject=_a_limit,
        page=EntryPoint("GET /t/{w.tenant.slug}/projects/{w.project.pk}/limits/", shows="7,654,321"),
        api=EntryPoint("GET /api/v1/projects/{w.project.pk}/limits/", shows="{it.pk}"),
    ),
    Action(
        "set limits",
        "tenants.actions.set_limits",
        subject=lambda world, actor: ProjectFactory(tenant=world.tenant),
        page=EntryPoint("POST /t/{w.tenant.slug}/projects/{it.pk}/limits/", {"requests_per_minute": "3"}),
        api=EntryPoint("PATCH /api/v1/projects/{it.pk}/limits/", {"limits": {"requests_per_minute": 3}}),
    ),
    Action(
        "read the audit log",
        subject=lambda world, actor: audit.record("lab.marked", actor=None, subject=world.project),
        page=EntryPoint("GET /t/{w.tenant.slug}/audit/{it.pk}/"),
        api=EntryPoint("GET /api/v1/audit/{it.pk}/"),
        admin=EntryPoint("GET /admin/audit/auditentry/{it.pk}/change/"),
    ),
    Action(
        "suspend a tenant",
        "tenants.actions.suspend_tenant",
        api=EntryPoint("POST /api/v1/tenants/{w.tenant.slug}/suspend/", {"reason": "Unpaid."}),
        admin=EntryPoint("POST /admin/tenants/tenant/{w.tenant.pk}/suspend/", SENT | {"reason": "Unpaid."}),
    ),
    Action(
        "resume a tenant",
        "tenants.actions.resume_tenant",
        subject=suspended,
        api=EntryPoint("POST /api/v1/tenants/{w.tenant.slug}/resume/"),
        admin=EntryPoint("POST /admin/tenants/tenant/{w.tenant.pk}/resume/", SENT),
    ),
    Action("begin to close a tenant", "billing.closing.begin_closing", page=_closing("begin")),
    Action(
        "build a tenant's final export",
        "billing.closing.build_final_export",
        subject=suspended,
        page=_closing("build"),
    ),
    Action(
        "propose to close a tenant",
        "tenants.actions.closing.propose_closing",
        subject=with_its_final_export,
        page=_closing("propose"),
    ),
    Action(
        "take back the proposal to close a tenant",
        "tenants.actions.closing.withdraw_closing",
        subject=with_a_proposal,
        page=_closing("withdraw"),
    ),
    Action(
        "confirm that a tenant closes",
        "tenants.actions.closing.confirm_closing",
        subject=with_a_proposal,
        page=_closing("confirm"),
    ),
]
