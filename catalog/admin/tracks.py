"""Staff pages: tracks of reviews, who decides them, and their working calendars."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, CharField, OuterRef, QuerySet, Value, When
from django.db.models.functions import Cast, Coalesce
from django.http import HttpRequest
from django.utils.dates import WEEKDAYS
from django.utils.html import format_html
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _
from guardian.models import GroupObjectPermission, UserObjectPermission
from unfold.admin import TabularInline
from unfold.decorators import display

from accounts.admin import ReadOnly, ReadOnlyAdmin
from accounts.admin.dialogs import Dialog
from accounts.roles import StaffRole
from catalog.actions import review_scopes, tracks
from catalog.models import ReviewScope, Track, WorkingCalendar
from catalog.models.tracks import ALL_MODELS, ALL_TENANTS
from catalog.review_scopes import reviewers_by_track
from catalog.track_forms import (
    CalendarForm,
    ScopeForm,
    ScopePersonForm,
    ScopeRoleForm,
    ScopeTeamForm,
    TrackForm,
)
from core.dates import DASH, day


class ScopeColumns:
    """What a scope covers, and who decides in it."""

    @display(description=_("Tenant"))
    def of_tenant(self, scope: ReviewScope) -> str:
        return scope.tenant.name if scope.tenant else str(ALL_TENANTS)

    @display(description=_("Model"))
    def of_model(self, scope: ReviewScope) -> str:
        return scope.model.title if scope.model else str(ALL_MODELS)

    @display(description=_("Who decides"))
    def deciders(self, scope: Any) -> str:
        """Roles, groups and people; people who review no longer are not named, because they do not decide."""
        labels = dict(StaffRole.choices)
        return joined([*(str(labels.get(name, name)) for name in scope.groups), *scope.people]) or gettext(
            "nobody"
        )

    @display(description=_("Decides when late"))
    def late_deciders(self, scope: Any) -> str:
        return joined([*scope.late_groups, *scope.late_people]) or DASH


def with_deciders(scopes: QuerySet[ReviewScope]) -> QuerySet[Any]:
    """Adds `groups` and `people`, the names of who decides in each scope, without a query for each row.

    And `late_groups` and `late_people`, who decides when a review is escalated.
    """
    groups, people = _holders("decide_review")
    late_groups, late_people = _holders("decide_late_review")
    return scopes.annotate(groups=groups, people=people, late_groups=late_groups, late_people=late_people)


def _holders(codename: str) -> tuple[ArraySubquery, ArraySubquery]:
    here = {"object_pk": Cast(OuterRef("pk"), CharField()), "permission__codename": codename}
    named = Coalesce("group__review_team__name", "group__name")
    groups = GroupObjectPermission.objects.filter(**here).values(name=named).order_by("name")
    people = UserObjectPermission.objects.filter(
        **here, user__is_active=True, user__is_staff=True, user__groups__permissions__codename="decide_review"
    )
    people = people.order_by("user__email").values("user__email").distinct()
    return ArraySubquery(groups), ArraySubquery(people)


class ScopeInline(ScopeColumns, ReadOnly, TabularInline):  # type: ignore[misc]
    """The scopes of a track, with who decides in each."""

    model = ReviewScope
    fields = readonly_fields = ["of_tenant", "of_model", "deciders", "late_deciders"]
    extra = 0
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReviewScope]:
        rows: QuerySet[ReviewScope] = super().get_queryset(request)
        return with_deciders(rows.select_related("tenant", "model").order_by("pk"))


@admin.register(Track)
class TrackAdmin(ReadOnlyAdmin):
    list_display = ["label", "code", "quorum", "people", "usual", "calendar"]
    list_select_related = ["calendar"]
    ordering = ["code"]
    fields = readonly_fields = [
        "code", "label", "quorum", "people", "due_hours", "usual", "calendar", "longest_delegation_days",
        "escalates_after_hours",
    ]  # fmt: skip
    inlines = [ScopeInline]
    actions_detail = ["edit"]

    @display(description=_("Name"))
    def label(self, track: Track) -> str:
        return track.label

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        counts = reviewers_by_track()
        known = [When(code=code, then=Value(count)) for code, count in counts.items()]
        rows: QuerySet[Any] = super().get_queryset(request)
        counted: QuerySet[Any] = rows.annotate(reviewers=Case(*known, default=0))
        return counted

    @display(description=_("People who decide everything"))
    def people(self, track: Any) -> str:
        """How many decide any request of the track, with a warning where they are fewer than it needs."""
        if track.reviewers >= track.quorum:
            return str(track.reviewers)
        words = gettext("%(people)s, but %(needed)s must approve") % {
            "people": track.reviewers,
            "needed": track.quorum,
        }
        return format_html('<b class="is-bad">{}</b>', words)

    @display(description=_("Usually decided"))
    def usual(self, track: Track) -> str:
        return track.usual_time

    edit = Dialog(
        tracks.change_track,
        label=_("Change"),
        url_path="change-track",
        form=TrackForm,
        title=_("Change this track"),
        text=_("Open reviews keep their due time, and never need fewer people than before."),
        button=_("Save"),
        done=_("Saved: %(it)s"),
    )


@admin.register(ReviewScope)
class ReviewScopeAdmin(ScopeColumns, ReadOnlyAdmin):
    list_display = ["name", "deciders"]
    list_filter = ["track"]
    list_select_related = ["track", "tenant", "model"]
    search_fields = ["tenant__name", "tenant__slug", "model__name"]
    ordering = ["pk"]
    fields = readonly_fields = ["track", "of_tenant", "of_model", "deciders", "late_deciders"]
    actions_list = ["add_scope"]
    actions_detail = ["person", "team", "role", "remove"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_deciders(super().get_queryset(request))

    @display(description=_("Scope"))
    def name(self, scope: ReviewScope) -> str:
        return str(scope)

    add_scope = Dialog(
        review_scopes.add_review_scope,
        label=_("Add a scope"),
        url_path="add-scope",
        icon="add",
        form=ScopeForm,
        title=_("Add a review scope"),
        text=_(
            "Nobody decides in it yet. Wider scopes that cover the same requests stay: take people out of them."
        ),
        button=_("Add"),
        done=_("Added: %(it)s"),
    )
    person = Dialog(
        review_scopes.set_scope_person,
        label=_("Person"),
        url_path="person",
        icon="person_add",
        form=ScopePersonForm,
        title=_("Who decides in this scope?"),
        text=_("Let a reviewer decide here, or no longer."),
        button=_("Save"),
        done=_("Saved: %(email)s"),
    )
    team = Dialog(
        review_scopes.set_scope_team,
        label=_("Team"),
        url_path="team",
        icon="group_add",
        form=ScopeTeamForm,
        title=_("Which team decides in this scope?"),
        text=_("Everybody in the team decides here, or no longer."),
        button=_("Save"),
        done=_("Saved: %(it)s"),
    )
    role = Dialog(
        review_scopes.set_scope_role,
        label=_("Role"),
        url_path="role",
        icon="group_add",
        form=ScopeRoleForm,
        title=_("Which role decides in this scope?"),
        text=_("Everybody with the role decides here, or no longer."),
        button=_("Save"),
        done=_("Saved: %(it)s"),
    )
    remove = Dialog(
        review_scopes.delete_review_scope,
        label=_("Delete"),
        url_path="remove",
        is_dangerous=True,
        ends_on="list",
        title=_("Delete this scope?"),
        text=_("Nobody decides in it any more. Decisions that were made stay."),
        button=_("Delete"),
        done=_("Deleted: %(it)s"),
    )


@admin.register(WorkingCalendar)
class WorkingCalendarAdmin(ReadOnlyAdmin):
    list_display = ["name", "time_zone", "hours", "days", "used_by"]
    ordering = ["name"]
    fields = readonly_fields = ["name", "time_zone", "hours", "days", "free_days", "used_by"]
    actions_list = ["add_calendar"]
    actions_detail = ["edit"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("tracks")

    @display(description=_("Working hours"))
    def hours(self, calendar: WorkingCalendar) -> str:
        return f"{calendar.opens:%H:%M}–{calendar.closes:%H:%M}"

    @display(description=_("Working days"))
    def days(self, calendar: WorkingCalendar) -> str:
        return joined(str(WEEKDAYS[number - 1]) for number in calendar.weekdays)

    @display(description=_("Holidays"))
    def free_days(self, calendar: WorkingCalendar) -> str:
        return joined(day(one) for one in calendar.holidays) or DASH

    @display(description=_("Used by"))
    def used_by(self, calendar: WorkingCalendar) -> str:
        return joined(track.label for track in calendar.tracks.all()) or DASH

    add_calendar = Dialog(
        tracks.add_calendar,
        label=_("Add a calendar"),
        url_path="add-calendar",
        icon="add",
        form=CalendarForm,
        title=_("Add a working calendar"),
        text=_("Tracks that use it count only its working hours until a review is due."),
        button=_("Add"),
        done=_("Added: %(it)s"),
    )
    edit = Dialog(
        tracks.change_calendar,
        label=_("Change"),
        url_path="change-calendar",
        form=CalendarForm,
        title=_("Change this calendar"),
        text=_("Reviews that are open keep their due time."),
        button=_("Save"),
        done=_("Saved: %(it)s"),
    )


def joined(words: Any) -> str:
    """Words of a list, as the language joins them."""
    return pgettext("between two of a list", ", ").join(words)
