"""What directories need from staff: tokens that a second person confirms."""

from __future__ import annotations

from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.counting import count_of, number_of
from core.home import Content, Need, Reader, Site, home_block
from directory.models import ScimToken


@home_block(Site.STAFF, order=40, permissions=["directory.manage_directory"])
def tokens_to_confirm(reader: Reader) -> Content:
    """Tokens that wait for the reader: those that somebody else made."""
    waiting = ScimToken.objects.filter(confirmed_at=None, revoked_at=None, expires_at__gt=now())
    count = count_of(waiting.exclude(made_by=reader.user))
    if not count:
        return Content()
    text = ngettext(
        "%(n)s directory token needs confirmation",
        "%(n)s directory tokens need confirmation",
        number_of(count),
    )
    need = Need(
        text=text % {"n": count},
        url=reverse("admin:directory_scimtoken_changelist"),
        action=_("Look"),
        icon_name="key",
    )
    return Content(needs=[need])
