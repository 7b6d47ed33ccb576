"""Staff pages: teams of reviewers, their people, and where they decide."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.dialogs import Dialog
from accounts.models import User
from catalog.actions import review_teams
from catalog.admin.tracks import joined
from catalog.models import ReviewScope, ReviewTeam
from catalog.team_forms import TeamForm, TeamMemberForm
from core.dates import DASH


@admin.register(ReviewTeam)
class ReviewTeamAdmin(ReadOnlyAdmin):
    list_display = ["name", "people", "scope_count"]
    search_fields = ["name"]
    ordering = ["name"]
    fields = readonly_fields = ["name", "people", "decides_in"]
    actions_list = ["add_team"]
    actions_detail = ["member", "remove"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReviewTeam]:
        rows: QuerySet[ReviewTeam] = super().get_queryset(request)
        people = User.objects.filter(is_active=True).order_by("email")
        scopes = "group__groupobjectpermission_set"
        return rows.select_related("group").prefetch_related(Prefetch("group__user_set", people), scopes)

    @display(description=_("People"))
    def people(self, team: ReviewTeam) -> str:
        return joined(person.email for person in team.group.user_set.all()) or gettext("nobody")

    @display(description=_("Review scopes"))
    def scope_count(self, team: ReviewTeam) -> int:
        return len(team.group.groupobjectpermission_set.all())

    @display(description=_("Decides in"))
    def decides_in(self, team: ReviewTeam) -> str:
        held = [row.object_pk for row in team.group.groupobjectpermission_set.all()]
        scopes = ReviewScope.objects.filter(pk__in=held).select_related("track", "tenant", "model")
        return format_html_join("", "<p>{}</p>", ((scope,) for scope in scopes.order_by("pk"))) or DASH

    add_team = Dialog(
        review_teams.add_review_team,
        label=_("Add a team"),
        url_path="add-team",
        icon="add",
        form=TeamForm,
        title=_("Add a team of reviewers"),
        text=_("Then add its people, and let it decide in review scopes, on the page of each scope."),
        button=_("Add"),
        done=_("Added: %(it)s"),
    )
    member = Dialog(
        review_teams.set_team_member,
        label=_("Person"),
        url_path="member",
        icon="person_add",
        form=TeamMemberForm,
        title=_("Who belongs to this team?"),
        text=_("Its people decide in all its review scopes, from their next request on."),
        button=_("Save"),
        done=_("Saved: %(email)s"),
    )
    remove = Dialog(
        review_teams.delete_review_team,
        label=_("Delete"),
        url_path="remove",
        is_dangerous=True,
        ends_on="list",
        title=_("Delete this team?"),
        text=_("Only a team without review scopes can be deleted. Its people stay reviewers by their roles."),
        button=_("Delete"),
        done=_("Deleted: %(it)s"),
    )
