"""Forms of the dialogs about tracks, review scopes and working calendars."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin.dialogs import DialogForm
from accounts.permissions import signed_in
from accounts.roles import REVIEWERS, StaffRole
from catalog.models import ReviewTeam, Track, WorkingCalendar
from catalog.models.tracks import MOST_DELEGATION_DAYS, MOST_DUE_HOURS, MOST_QUORUM
from core.choices import PickField, offer
from tenants.models import Tenant

_DECIDES = [("yes", gettext_lazy("Yes")), ("no", gettext_lazy("No longer"))]


class TrackForm(DialogForm):
    """The editable fields of a track, as they are now."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=60, widget=UnfoldAdminTextInputWidget)
    quorum = forms.IntegerField(
        label=gettext_lazy("Approvals needed"),
        min_value=1,
        max_value=MOST_QUORUM,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy(
            "How many different people must approve. Holds for reviews that open from now on."
        ),
    )
    due_hours = forms.IntegerField(
        label=gettext_lazy("Due after working hours"),
        min_value=1,
        max_value=MOST_DUE_HOURS,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    calendar = PickField(
        WorkingCalendar,
        by="name",
        label=gettext_lazy("Working calendar"),
        empty_label=None,
        widget=UnfoldAdminSelectWidget,
    )
    longest_delegation_days = forms.IntegerField(
        label=gettext_lazy("Longest delegation in days"),
        min_value=0,
        max_value=MOST_DELEGATION_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy("For how long a colleague may decide in a reviewer's place. 0: not at all."),
    )
    escalates_after_hours = forms.IntegerField(
        label=gettext_lazy("Escalates after working hours"),
        required=False,
        min_value=0,
        max_value=MOST_DUE_HOURS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy(
            "After a review was due. Then those who decide late reviews of its scope are told and decide, too. "
            "Empty: never."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "calendar", WorkingCalendar.objects.order_by("name"))
        if track := Track.objects.filter(pk=self.object_id).first():
            self.initial = {name: getattr(track, name) for name in Track.EDITABLE}


class CalendarForm(DialogForm):
    """The fields of a working calendar: of the one that is changed, or the usual ones."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=80, widget=UnfoldAdminTextInputWidget)
    time_zone = forms.CharField(
        label=gettext_lazy("Time zone"),
        max_length=60,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Such as Europe/Berlin."),
    )
    opens = forms.TimeField(
        label=gettext_lazy("Working day begins"),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
    )
    closes = forms.TimeField(
        label=gettext_lazy("Working day ends"),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
    )
    weekdays = forms.TypedMultipleChoiceField(
        label=gettext_lazy("Working days"),
        choices=[(number + 1, name) for number, name in WEEKDAYS.items()],
        coerce=int,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    holidays = forms.CharField(
        label=gettext_lazy("Holidays"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=gettext_lazy("One day a line, such as 2027-01-01."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        calendar = WorkingCalendar.objects.filter(pk=self.object_id).first() or WorkingCalendar()
        self.initial = {name: getattr(calendar, name) for name in WorkingCalendar.EDITABLE} | {
            "opens": f"{calendar.opens:%H:%M}",
            "closes": f"{calendar.closes:%H:%M}",
            "holidays": "\n".join(day.isoformat() for day in calendar.holidays),
        }

    def clean_holidays(self) -> list[date]:
        days = []
        for line in self.cleaned_data["holidays"].split():
            try:
                days.append(date.fromisoformat(line))
            except ValueError as error:
                raise forms.ValidationError(
                    _("%(line)s is no day, such as 2027-01-01.") % {"line": line}
                ) from error
        return days


class ScopeForm(DialogForm):
    """A scope: one track, for one tenant or all, and one model or all."""

    track = PickField(
        Track, by="code", label=gettext_lazy("Track"), empty_label=None, widget=UnfoldAdminSelectWidget
    )
    tenant = PickField(
        Tenant,
        by="slug",
        label=gettext_lazy("Tenant"),
        required=False,
        empty_label=gettext_lazy("All tenants"),
        widget=UnfoldAdminSelectWidget,
    )
    model = forms.CharField(
        label=gettext_lazy("Model"),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Its public name, such as gpt-4o. Empty: all models."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "track", Track.objects.order_by("code"))
        tenants = Tenant.objects.visible_to(signed_in(self.request)).order_by("name")
        offer(self, "tenant", tenants, source=reverse("tenant-suggestions"))

    def answers(self) -> dict[str, Any]:
        said = super().answers()
        return said | {"track": said["track"].code, "tenant": said["tenant"].slug if said["tenant"] else ""}


class _ScopeHolderForm(DialogForm):
    decides = forms.ChoiceField(
        label=gettext_lazy("Decides in this scope"), choices=_DECIDES, widget=UnfoldAdminSelectWidget
    )

    def answers(self) -> dict[str, Any]:
        return super().answers() | {"decides": self.cleaned_data["decides"] == "yes"}


class _LateHolderForm(_ScopeHolderForm):
    when = forms.ChoiceField(
        label=gettext_lazy("Which reviews"),
        choices=[("all", gettext_lazy("All")), ("late", gettext_lazy("Only those that are escalated"))],
        initial="all",
        required=False,
        widget=UnfoldAdminSelectWidget,
    )

    def answers(self) -> dict[str, Any]:
        said = super().answers()
        return said | {"is_late": said.pop("when") == "late"}


class ScopePersonForm(_LateHolderForm):
    email = forms.CharField(
        label=gettext_lazy("E-mail address"),
        max_length=254,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Of a person with a reviewer's role."),
    )

    field_order = ("email", "decides", "when")


class ScopeTeamForm(_LateHolderForm):
    team = PickField(
        ReviewTeam, by="name", label=gettext_lazy("Team"), empty_label=None, widget=UnfoldAdminSelectWidget
    )

    field_order = ("team", "decides", "when")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "team", ReviewTeam.objects.order_by("name"))

    def answers(self) -> dict[str, Any]:
        said = super().answers()
        return said | {"team": said["team"].pk}


class ScopeRoleForm(_ScopeHolderForm):
    role = forms.ChoiceField(
        label=gettext_lazy("Role"),
        choices=[(role.value, role.label) for role in StaffRole if role in REVIEWERS],
        widget=UnfoldAdminSelectWidget,
    )

    field_order = ("role", "decides")
