"""Queue an export, download its file, and end exports. The app of a kind decides who may order one."""

from __future__ import annotations

from functools import partial
from typing import Any, BinaryIO
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from core.errors import Conflict
from core.reading import note_tenant
from exports import tasks
from exports.files import path_of
from exports.kinds import PERMISSIONS
from exports.models import Export
from exports.querysets import ExportQuerySet


@transaction.atomic
def queue_export(export: Export, *, by: User, **details: Any) -> Export:
    """Save a new export that `by` may order, and have it built. The audit entry has its days and `details`.

    Raises ValidationError if the days are in the wrong order or the format does not exist.
    """
    if export.end_day < export.start_day:
        raise ValidationError({"end": _("The last day is before the first.")})
    if export.csv_format not in Export.Format.values:
        raise ValidationError(
            {"format": _("Choose one of %(formats)s.") % {"formats": ", ".join(Export.Format.values)}}
        )
    if export.csv_format != Export.Format.PLAIN:
        details["format"] = export.csv_format
    export.requested_by = by
    export.save(force_insert=True)
    audit.record(
        "export.created", actor=by, subject=export, start=export.start_day, end=export.end_day, **details
    )
    # The row is the truth: if the queue is unavailable, the sweep enqueues it later.
    tenant_id = str(export.tenant_id) if export.tenant_id else None
    transaction.on_commit(partial(tasks.build_export.delay, tenant_id, str(export.pk)), robust=True)
    return export


def _require_file(by: User | None, export: Export) -> None:
    if export.state != Export.State.DONE or not path_of(export).is_file():
        if export.state in (Export.State.DONE, Export.State.EXPIRED):
            raise _expired()
        raise Conflict(_("This report is not ready."), code="not_ready")


def _expired() -> Conflict:
    return Conflict(_("This file has expired. Order the report again."), code="expired")


@action(
    Export,
    permission=PERMISSIONS,
    which=lambda by, export: export.permission,
    on=lambda export: export.tenant,
    state=_require_file,
)
def file_for_download(pk: UUID | str, *, by: User) -> tuple[Export, BinaryIO]:
    """Return a finished export and its open file; record the download, and a read of each tenant whose rows are in it.

    The caller closes the file. If the download cannot be recorded, this function closes it.

    Raises:
        Export.DoesNotExist: `by` cannot see such an export.
        PermissionDenied: `by` may not download files of this kind.
        Conflict: the file is not ready, or has expired.
    """
    export = Export.objects.visible_to(by).with_names().get(pk=pk)
    file_for_download.require(by, export)
    try:
        file = path_of(export).open("rb")
    except FileNotFoundError:
        # The task that expires exports deleted it after the check.
        raise _expired() from None
    try:
        audit.record("export.downloaded", actor=by, subject=export, sha256=export.sha256)
        for tenant_id in export.tenants_within:
            note_tenant(tenant_id)
    except BaseException:
        file.close()
        raise
    return export, file


def stop_exports(exports: ExportQuerySet[Export], *, error: str) -> None:
    """Mark the waiting and running exports among `exports` as failed; `error` tells people why.

    Their workers notice this when they next report progress.
    """
    exports.unfinished().update(state=Export.State.FAILED, finished_at=now(), error=error)


def expire_now(exports: ExportQuerySet[Export]) -> None:
    """Expire the finished files of `exports`, whatever their date; a task deletes them after the commit."""
    exports.filter(state=Export.State.DONE).update(expires_at=now())
    transaction.on_commit(tasks.expire_exports.delay, robust=True)
