"""Taking the audit log along."""

from __future__ import annotations

from datetime import timedelta

from django.utils.timezone import now

from exports.files import path_of
from exports.models import Export
from privacy.audit_files import ask_for_audit_file
from tests.factories import UserFactory, member_of
from tests.role_matrix import Action, EntryPoint

DAYS = {"kind": "audit_csv", "start": "2026-01-01", "end": "2026-01-31"}


def finished_file(world, actor):
    """A file of the tenant's audit log, ready to be fetched."""
    export = ask_for_audit_file(
        world.tenant,
        kind="audit_csv",
        start_day=now().date(),
        end_day=now().date(),
        by=member_of(world.tenant, "owner"),
    )
    path = path_of(export)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("at")
    Export.objects.across_tenants().filter(pk=export.pk).update(
        state="done", rows_total=0, rows_done=0, size_bytes=2, sha256="0" * 64, finished_at=now(),
        expires_at=now() + timedelta(days=1),
    )  # fmt: skip
    return export


AUDIT_ACTIONS = [
    Action(
        "order a file of the audit log",
        "privacy.audit_files.ask_for_audit_file",
        page=EntryPoint("POST /t/{w.tenant.slug}/audit/exports/", DAYS),
        api=EntryPoint("POST /api/v1/exports/", DAYS | {"tenant": "{w.tenant.slug}"}),
        admin=EntryPoint("POST /admin/audit/auditentry/export/", DAYS | {"tenant": "{w.tenant.slug}"}),
    ),
    Action(
        "download a file of the audit log",
        "exports.actions.file_for_download",
        subject=finished_file,
        page=EntryPoint("GET /t/{w.tenant.slug}/exports/{it.pk}/download/"),
        api=EntryPoint("GET /api/v1/exports/{it.pk}/download/"),
        admin=EntryPoint("GET /admin/exports/export/{it.pk}/download/"),
        unseen_at=("page", "API"),
    ),
    Action(
        "hand out what is held about a person",
        "privacy.personal_data.export_person",
        subject=lambda world, actor: UserFactory(),
        admin=EntryPoint("GET /admin/accounts/user/{it.pk}/personal-data/"),
    ),
    Action(
        "erase a person",
        "privacy.personal_data.erase_person",
        subject=lambda world, actor: UserFactory(),
        admin=EntryPoint(
            "POST /admin/accounts/user/{it.pk}/erase/", {"address": "{it.email}", "reason": "Asked."}
        ),
        is_later=True,
    ),
]
