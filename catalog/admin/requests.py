"""Staff pages: access requests with their items, and grants."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import display

from accounts.admin import ReadOnly, ReadOnlyAdmin
from accounts.admin.base import Colors
from accounts.admin.keyset import found_by
from catalog.models import (
    AccessRequest,
    RequestDelegate,
    RequestItem,
    Review,
    ReviewRecusal,
    Track,
)
from catalog.presentation import cost_words, limit_facts
from core.dates import moment
from core.stored_words import retold

STATES = Colors(approved="success", rejected="danger", pending="info", returned="warning")


class FoundByItem:
    """A search finds requests also by their items, where one of `item_search_fields` begins with the term."""

    item_search_fields: tuple[str, ...] = ()
    # The column with the request.
    request_column = "pk"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if term := search_term.strip():
            items = RequestItem.unscoped.filter(found_by(RequestItem, self.item_search_fields, term))
            asked = Q(**{f"{self.request_column}__in": items.values("access_request")})
            queryset = queryset.filter(asked | found_by(queryset.model, self.search_fields, term))  # type: ignore[attr-defined]
        return queryset, False


class ItemInline(ReadOnly, TabularInline):  # type: ignore[misc]
    """The models that the request asks for, each for its project."""

    model = RequestItem
    fields = readonly_fields = [
        "model", "project", "data_class", "expected_tokens_per_day", "asked", "cost", "into_key", "key",
    ]  # fmt: skip
    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("catalog.view_accessrequest"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[RequestItem]:
        items: QuerySet[RequestItem] = (
            super().get_queryset(request).select_related("model", "project", "into_key", "key")
        )
        return items

    @display(description=_("limits"))
    def asked(self, item: RequestItem) -> str:
        rows = ((fact.label, fact.value) for fact in limit_facts(item))
        return format_html_join("", "<p>{} <b>{}</b></p>", rows) or "—"

    @display(description=_("Expected monthly cost"))
    def cost(self, item: RequestItem) -> str:
        return cost_words(item.expected_monthly_cost, item.currency)


class ReviewInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = Review
    fields = readonly_fields = ["track", "why", "state", "due_at", "decided_at"]
    extra = 0
    show_change_link = True

    @display(description=_("Why"))
    def why(self, review: Review) -> str:
        return retold(review.reason)


class DelegateInline(ReadOnly, TabularInline):  # type: ignore[misc]
    """People who may not decide the request because they could act for the service account that made it."""

    model = RequestDelegate
    verbose_name_plural = _("Could act for the requester")
    fields = readonly_fields = ["person", "capacity", "created_at"]
    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("catalog.view_review"))


class RecusalInline(ReadOnly, TabularInline):  # type: ignore[misc]
    """Reviewers who stepped back from the request."""

    model = ReviewRecusal
    fields = readonly_fields = ["person", "reason", "at"]
    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("catalog.view_review"))


@admin.register(AccessRequest)
class AccessRequestAdmin(FoundByItem, ReadOnlyAdmin):
    page_badge = "state_label"
    list_display = [
        "__str__",
        "tenant",
        "requested_by",
        "highest_data_class",
        "cost",
        "state_label",
        "created_at",
    ]
    list_filter = ["state"]
    list_select_related = ["tenant", "requested_by"]
    search_fields = ["tenant__name", "requested_by__email"]
    item_search_fields = ("model__title", "model__name", "project__name")
    ordering = ["-pk"]
    fields = [
        "tenant", "requested_by", "purpose", "duration_days", "cost", "rules_in_force", "applied", "state",
        "created_at", "decided_at",
    ]  # fmt: skip
    readonly_fields = fields
    inlines = [ItemInline, ReviewInline, DelegateInline, RecusalInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessRequest]:
        items = ("items__model", "items__project")
        requests: QuerySet[AccessRequest] = super().get_queryset(request).prefetch_related(*items)
        return requests

    @display(description=_("data class"))
    def highest_data_class(self, access_request: AccessRequest) -> str:
        return access_request.data_class_label

    @display(description=_("Expected monthly cost"))
    def cost(self, access_request: AccessRequest) -> str:
        cost = access_request.expected_monthly_cost
        return f"{cost:,.2f} {access_request.currency}" if cost is not None else str(_("unknown"))

    @display(description=_("version of the rules"))
    def rules_in_force(self, access_request: AccessRequest) -> str:
        return access_request.rule_version or "—"

    @display(description=_("rules applied"))
    def applied(self, access_request: AccessRequest) -> str:
        """What the rules said each time, oldest first: when and why they ran, their version, the reviews and why."""
        tracks = {track.code: track.label for track in Track.objects.all()}
        rows = []
        for one in access_request.evaluations.order_by("at"):
            said = [(tracks.get(r["track"], r["track"]), retold(r["reason"])) for r in one.result["reviews"]]
            reviews = format_html_join("", "<br><b>{}</b> {}", said) or one.get_answer_display()
            rows.append((moment(one.at), one.get_occasion_display(), one.rule_set_id, reviews))
        return format_html_join("", "<p>{}, {} ({}){}</p>", rows) or "—"

    @display(description=_("State"), label=STATES)
    def state_label(self, access_request: AccessRequest) -> tuple[str, str]:
        return access_request.state, access_request.get_state_display()
