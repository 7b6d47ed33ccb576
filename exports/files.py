"""Where the files of exports are stored, and how they are deleted."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from django.conf import settings

from exports.kinds import kind_named
from exports.models import Export


def path_of(export: Export) -> Path:
    """Where an export's file is or will be stored."""
    return Path(settings.EXPORT_DIR) / f"{export.pk}.{kind_named(export.kind).suffix}"


def draft_of(pk: UUID | str) -> Path:
    """Where a worker writes the file until it is complete."""
    return Path(settings.EXPORT_DIR) / f".{pk}.partial"


def expire_exports() -> int:
    """Delete the files of exports whose date has passed; return how many. Safe to repeat."""
    expired = 0
    for export in Export.objects.across_tenants().outlived():
        path_of(export).unlink(missing_ok=True)
        expired += Export.objects.across_tenants().filter(pk=export.pk, state="done").update(state="expired")
    return expired
