"""The form in which a reviewer delegates."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.admin.dialogs import DialogForm
from accounts.permissions import signed_in
from catalog.models import Track
from catalog.review_scopes import scopes_of
from core.choices import PickField, offer


class DelegationForm(DialogForm):
    """The track, the colleague, and the days: from midnight to midnight by the calendar of the track."""

    track = PickField(
        Track, by="code", label=gettext_lazy("Track"), empty_label=None, widget=UnfoldAdminSelectWidget
    )
    email = forms.CharField(
        label=gettext_lazy("E-mail address"),
        max_length=254,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Of a person with a reviewer's role."),
    )
    first_day = forms.DateField(
        label=gettext_lazy("First day"),
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text=gettext_lazy("Empty: from now on."),
    )
    last_day = forms.DateField(
        label=gettext_lazy("Last day"), widget=UnfoldAdminTextInputWidget(attrs={"type": "date"})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = scopes_of(signed_in(self.request)).values("track_id")
        offer(self, "track", Track.objects.filter(code__in=own).order_by("code"))

    def answers(self) -> dict[str, Any]:
        said = super().answers()
        track, first, last = said["track"], said.pop("first_day"), said.pop("last_day")
        zone = ZoneInfo(track.calendar.time_zone)
        begins_at = _midnight(first, zone) if first else None
        return said | {"begins_at": begins_at, "ends_at": _midnight(last + timedelta(days=1), zone)}


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)
