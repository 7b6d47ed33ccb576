"""The block of exports on the staff's home page: the reader's own files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.urls import reverse

from core.home import Content, Reader, Site, home_block
from core.page_parts import Badge
from exports.models import Export

MOST_ROWS: Final = 4
_KINDS: Final = {Export.State.DONE: "ok", Export.State.FAILED: "bad", Export.State.EXPIRED: ""}


@dataclass(frozen=True)
class ExportLine:
    """A file that the reader ordered, with the link to its page."""

    title: str
    tenant: str
    badge: Badge
    created_at: datetime
    url: str


@home_block(
    Site.STAFF,
    order=70,
    permissions=["exports.view_export"],
    template="exports/home/_exports.html",
    is_aside=True,
)
def own_exports(reader: Reader) -> Content:
    """The newest files that the reader ordered; no block without any."""
    own = Export.objects.visible_to(reader.user).filter(requested_by=reader.user)
    rows = [
        ExportLine(
            title=export.file_name,
            tenant=export.tenant.name if export.tenant else "",
            badge=Badge(_KINDS.get(Export.State(export.state), "info"), export.get_state_display()),
            created_at=export.created_at,
            url=reverse("admin:exports_export_change", args=[export.pk]),
        )
        for export in own.select_related("tenant").order_by("-pk")[:MOST_ROWS]
    ]
    return Content(rows or None)
