"""Staff pages: who decides reviews in whose place, and until when."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import Colors
from accounts.admin.dialogs import Dialog
from accounts.models import User
from accounts.permissions import signed_in
from accounts.roles import StaffRole
from catalog.actions import delegations
from catalog.actions.tracks import MANAGE
from catalog.delegation_forms import DelegationForm
from catalog.models import ReviewDelegation, Track
from core.dates import DASH, moment

_STATES = {
    "now": pgettext_lazy("delegation", "In force"),
    "later": pgettext_lazy("delegation", "Begins later"),
    "over": pgettext_lazy("delegation", "Over"),
}


def _delegate(*, track: Track, by: User, **said: Any) -> ReviewDelegation:
    return delegations.delegate_reviews(track.pk, by=by, **said)


class DelegationStateFilter(admin.SimpleListFilter):
    title, parameter_name = _("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Not over")), ("over", pgettext_lazy("delegation", "Over"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[ReviewDelegation]
    ) -> QuerySet[ReviewDelegation]:
        still = ReviewDelegation.objects.not_over().values("pk")
        if self.value() == "open":
            return queryset.filter(pk__in=still)
        return queryset.exclude(pk__in=still) if self.value() == "over" else queryset


@admin.register(ReviewDelegation)
class ReviewDelegationAdmin(ReadOnlyAdmin):
    """Operators and auditors see all delegations, reviewers those that they gave or received."""

    page_badge = "state_label"
    list_display = ["track", "giver", "receiver", "begins", "ends", "state_label"]
    list_filter = [DelegationStateFilter, "track"]
    list_select_related = ["track", "giver", "receiver"]
    search_fields = ["giver__email", "giver__name", "receiver__email", "receiver__name"]
    ordering = ["-pk"]
    fields = readonly_fields = ["track", "giver", "receiver", "begins", "ends", "ended"]
    actions_list = ["delegate"]
    empty_title = _("No delegations")
    empty_text = _("Reviewers see those that they gave or received, operators and auditors see all.")
    actions_detail = ["finish"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReviewDelegation]:
        rows: QuerySet[ReviewDelegation] = super().get_queryset(request)
        user = signed_in(request)
        sees_all = user.has_perm(MANAGE) or StaffRole.AUDITOR in user.staff_roles
        return rows if sees_all else rows.filter(pk__in=ReviewDelegation.objects.of(user).values("pk"))

    @display(description=_("Begins"), ordering="begins_at")
    def begins(self, given: ReviewDelegation) -> str:
        return moment(given.begins_at)

    @display(description=_("Ends"), ordering="ends_at")
    def ends(self, given: ReviewDelegation) -> str:
        return moment(given.ends_at)

    @display(description=_("Ended early"))
    def ended(self, given: ReviewDelegation) -> str:
        return moment(given.ended_at) if given.ended_at else DASH

    @display(description=_("State"), label=Colors(now="success"))
    def state_label(self, given: ReviewDelegation) -> tuple[str, Any]:
        state = "over" if given.is_over else "now" if given.begins_at <= now() else "later"
        return state, _STATES[state]

    delegate = Dialog(
        delegations.delegate_reviews,
        call=_delegate,
        label=_("Delegate my reviews"),
        url_path="delegate",
        icon="add",
        form=DelegationForm,
        title=_("Who decides in your place?"),
        text=_(
            "They decide as themselves, what your own scopes of the track cover. Meanwhile neither of you decides "
            "requests of the other, and both together count as one approval."
        ),
        button=_("Delegate my reviews"),
        done=_("Delegated: %(it)s"),
    )
    finish = Dialog(
        delegations.end_delegation,
        label=_("End now"),
        url_path="finish",
        is_dangerous=True,
        title=_("End this delegation?"),
        text=_("From now on only the reviewer decides. Decisions that were made stay."),
        button=_("End now"),
        done=_("Ended: %(it)s"),
    )
