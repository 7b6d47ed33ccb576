"""An export as pages show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.urls import reverse

from core.dates import day, month_label
from core.stored_words import retold
from exports.kinds import kind_named
from exports.models import Export


@dataclass(frozen=True)
class ExportRow:
    """One export: a row of a table, and the additional facts on its page in the admin."""

    pk: UUID
    label: str
    created_by: str
    created_at: datetime
    state: str
    state_label: str
    rows_done: int
    rows_total: int | None
    size_bytes: int | None
    sha256: str
    total: Decimal | None
    currency: str
    error: str
    # The page that lists such files; empty for a file over all tenants.
    list_url: str
    # The page to order the same file again, with the fields in `form`.
    ask_url: str
    form: dict[str, str]


def present_row(export: Export) -> ExportRow:
    """What pages show of an export. Requires `with_names()`."""
    kind, tenant = kind_named(export.kind), export.tenant
    days = month_label(export.month) if export.month else f"{day(export.start_day)}–{day(export.end_day)}"
    holds = kind.describe(export)
    return ExportRow(
        pk=export.pk,
        label=f"{days} · {holds}" if holds else days,
        created_by=str(export.requested_by),
        created_at=export.created_at,
        state=export.state,
        state_label=export.get_state_display(),
        rows_done=export.rows_done,
        rows_total=export.rows_total,
        size_bytes=export.size_bytes,
        sha256=export.sha256,
        total=export.total,
        currency=export.currency,
        error=retold(export.error),
        list_url=reverse(kind.list_page, args=[tenant.slug]) if tenant else "",
        ask_url=reverse(kind.ask_page, args=[tenant.slug]) if tenant else "",
        form=kind.form_of(export) if export.state == Export.State.FAILED else {},
    )
