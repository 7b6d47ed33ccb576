"""Blocks of billing on home pages: what could not be billed."""

from __future__ import annotations

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.models import QuarantinedEvent
from core.counting import count_of, number_of
from core.home import Content, Need, Reader, Site, home_block


@home_block(Site.STAFF, order=45, permissions=["billing.view_quarantinedevent"])
def calls_not_billed(reader: Reader) -> Content:
    """Calls that the ledger could not bill and keeps for a review."""
    held = count_of(QuarantinedEvent.objects.visible_to(reader.user))
    if not held:
        return Content()
    text = ngettext("%(n)s call could not be billed", "%(n)s calls could not be billed", number_of(held))
    need = Need(
        text=text % {"n": held},
        url=reverse("admin:billing_quarantinedevent_changelist"),
        action=_("Look"),
        icon_name="coin",
    )
    return Content(needs=[need])
