"""Staff pages: the review queue and its decisions."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.timezone import now
from django.utils.translation import gettext, pgettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import Colors
from accounts.admin.dialogs import Dialog, ReasonForm
from accounts.permissions import signed_in
from catalog import rules
from catalog.actions import comment_on_request, decide_review, recusals
from catalog.actions.facts import notice_of
from catalog.actions.four_eyes import why_not_decide
from catalog.admin.decide_many import DecideManyPage
from catalog.admin.queue_filters import QueueTenantFilter
from catalog.admin.requests import STATES, FoundByItem
from catalog.asked_facts import read_facts
from catalog.conversation import conversation_of
from catalog.evidence import evidence_of
from catalog.forms import CommentForm, DecisionForm
from catalog.models import (
    AccessRequest,
    Review,
    ReviewRecusal,
)
from catalog.out_of_reach import why_out_of_reach
from catalog.review_queue import (
    has_decided,
    open_for_decision,
    place_in_queue,
    waiting_for,
    waiting_for_groups,
)
from catalog.review_scopes import IS_ESCALATED, delegation_for, may_decide, tracks_decided_by
from core.dates import moment
from core.errors import Conflict
from core.form_errors import show_errors

QUEUES = {
    "mine": _("My queue"),
    "groups": _("My groups'"),
    "pending": _("All open"),
    "overdue": _("Overdue"),
    "escalated": pgettext_lazy("reviews", "Escalated"),
    "decided": pgettext_lazy("reviews", "Decided"),
    "all": _("All"),
}


def queue_of(request: HttpRequest, reviews: QuerySet[Review]) -> QuerySet[Review]:
    """The reviews that wait for this person (catalog/review_queue.py)."""
    return waiting_for(signed_in(request), reviews)


def after_decision(request: HttpRequest) -> str:
    """The page of the most urgent review that still waits for this person; the list, if none does."""
    left = queue_of(request, Review.objects.visible_to(request.user)).order_by("due_at", "pk").first()
    if left is None:
        return reverse("admin:catalog_review_changelist")
    return reverse("admin:catalog_review_change", args=[left.pk])


class QueueFilter(admin.SimpleListFilter):
    """Selects a part of the queue; by default, the reviews that wait for me."""

    title, parameter_name = _("queue"), "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(value, label) for value, label in QUEUES.items() if value != "mine"]

    def choices(self, changelist: Any) -> Any:
        for value, label in QUEUES.items():
            wanted = {self.parameter_name: value} if value != "mine" else {}
            removed = [] if wanted else [self.parameter_name]
            yield {
                "selected": (self.value() or "mine") == value,
                "query_string": changelist.get_query_string(wanted, removed),
                "display": label,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Review]) -> QuerySet[Review]:
        queue = self.value() or "mine"
        open_reviews = open_for_decision(queryset)
        if queue == "mine":
            return queue_of(request, queryset)
        if queue == "groups":
            return waiting_for_groups(signed_in(request), queryset)
        if queue == "pending":
            return open_reviews
        if queue == "overdue":
            return open_reviews.filter(due_at__lt=now())
        if queue == "escalated":
            return open_reviews.filter(IS_ESCALATED)
        if queue == "decided":
            return queryset.exclude(state=Review.State.PENDING)
        return queryset


@admin.register(Review)
class ReviewAdmin(DecideManyPage, FoundByItem, ReadOnlyAdmin):
    """The review queue, and a page per review that shows the evidence beside the decision."""

    list_display = ["what", "track", "tenant", "asked_by", "data_class", "risk", "cost", "due", "state_label"]
    list_filter = [QueueFilter, QueueTenantFilter, "track"]
    list_select_related = ["tenant", "track", "access_request__requested_by"]
    actions_list = ["decide_many"]
    actions_detail = ["step_back"]
    list_before_template = "admin/catalog/review/tabs.html"
    search_fields = ["tenant__name"]
    item_search_fields = ("model__title", "model__name")
    request_column = "access_request"
    ordering = ["due_at", "pk"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Review]:
        items = ("access_request__items__model", "access_request__items__project")
        reviews: QuerySet[Review] = super().get_queryset(request).prefetch_related(*items)
        return reviews

    def empty_words(self, request: HttpRequest) -> dict[str, Any]:
        if not tracks_decided_by(signed_in(request)).exists():
            text = _("Your role decides no reviews. “All open” shows those that wait for reviewers.")
            return {"title": _("No reviews wait for you"), "text": text}
        text = _("Requests that need a review by you appear here, the most urgent first.")
        return {"title": _("No reviews wait for you"), "text": text}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        queue = request.GET.get("queue", "mine")
        kept = {"tenant": request.GET["tenant"]} if "tenant" in request.GET else {}
        tabs = [
            {
                "label": label,
                "url": f"?{urlencode(kept | ({'queue': value} if value != 'mine' else {}))}",
                "is_current": value == queue,
            }
            for value, label in QUEUES.items()
        ]
        context = {
            "title": _("Review queue"),
            "queue_tabs": tabs,
            "queue_keys": True,
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    @display(description=_("Request"))
    def what(self, review: Review) -> str:
        return str(review.access_request)

    @display(description=_("Asked by"))
    def asked_by(self, review: Review) -> str:
        return str(review.access_request.requested_by)

    @display(description=_("Data class"))
    def data_class(self, review: Review) -> str:
        return review.access_request.data_class_label

    @display(description=_("Risk tier"), label=Colors(high="danger"))
    def risk(self, review: Review) -> tuple[str, str]:
        models = [item.model for item in review.access_request.named_items()]
        highest = max(models, key=lambda model: rules.RiskTier.values.index(model.risk_tier))
        return highest.risk_tier, highest.get_risk_tier_display()

    @display(description=_("Expected monthly cost"))
    def cost(self, review: Review) -> str:
        cost = review.access_request.expected_monthly_cost
        return f"{cost:,.2f} {review.access_request.currency}" if cost is not None else str(_("unknown"))

    @display(description=_("Due"), ordering="due_at")
    def due(self, review: Review) -> str:
        day = moment(review.due_at)
        if review.state == Review.State.PENDING and review.due_at < now():
            words = pgettext("review", "escalated") if review.escalated_at else gettext("overdue")
            return format_html('<b class="is-bad">{} · {}</b>', day, words)
        return day

    @display(description=_("State"), label=STATES)
    def state_label(self, review: Review) -> tuple[str, str]:
        return review.state, review.get_state_display()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the evidence and the decision form. A POST decides."""
        review = self.get_object(request, object_id)
        if review is None or not self.has_view_permission(request, review):
            gone: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return gone
        form = DecisionForm(request.POST or None)
        status = 200
        if request.method == "POST":
            done, status = self._decide(request, review, form)
            if done is not None:
                return done
        return self._page(request, review, form, CommentForm(), status)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.comment_view)
        return [path("<uuid:pk>/comment/", view, name="catalog_review_comment"), *super().get_urls()]

    def comment_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Add a comment to the request of a review. A GET leads to the review, whose page has the conversation."""
        review = self.get_object(request, str(pk))
        if review is None or not self.has_view_permission(request, review):
            raise Http404
        page = redirect(reverse("admin:catalog_review_change", args=[review.pk]) + "#conversation")
        if request.method != "POST":
            return page
        comment_on_request.require(signed_in(request), review.access_request)
        form = CommentForm(request.POST)
        if form.is_valid():
            try:
                comment_on_request(
                    review.access_request_id, by=signed_in(request), text=form.cleaned_data["text"]
                )
            except ValidationError as refused:
                show_errors(form, refused)
            else:
                messages.success(request, _("The comment is sent"))
                return page
        return self._page(request, review, DecisionForm(), form, 400)

    def _page(
        self, request: HttpRequest, review: Review, form: DecisionForm, comment_form: CommentForm, status: int
    ) -> HttpResponse:
        """The page of a review.

        Args:
            request: the request.
            review: the review.
            form: the decision.
            comment_form: a comment on the review's request.
            status: of the answer.
        """
        access_request = (
            AccessRequest.objects.visible_to(request.user).with_names().get(pk=review.access_request_id)
        )
        context = {
            **self.admin_site.each_context(request),
            **vars(evidence_of(review, access_request)),
            **conversation_of(request, access_request),
            "comment_form": comment_form,
            "comments_url": reverse("admin:catalog_review_comment", args=[review.pk]),
            "title": str(review),
            "opts": self.opts,
            "original": review,
            "review": review,
            "access_request": access_request,
            "form": form,
            "why_not": why_not_decide(signed_in(request), access_request, review),
            "may_decide": may_decide(signed_in(request), review),
            "delegation": delegation_for(signed_in(request), review),
            "recusals": ReviewRecusal.objects.visible_to(request.user)
            .filter(access_request=access_request)
            .select_related("person")
            .order_by("pk"),
            "may_step_back": recusals.step_back.is_possible(signed_in(request), review),
            "out_of_reach": why_out_of_reach(review, access_request),
            "has_decided": Review.objects.visible_to(request.user)
            .filter(has_decided(signed_in(request)), pk=review.pk)
            .exists(),
            "is_open": review.state == Review.State.PENDING,
            "queue_keys": True,
            **place_in_queue(signed_in(request), review),
            "has_view_permission": True,
        }
        return TemplateResponse(request, "admin/catalog/review/decide.html", context, status=status)

    step_back = Dialog(
        recusals.step_back,
        label=_("Step back"),
        url_path="step-back",
        form=ReasonForm,
        is_dangerous=True,
        title=_("Step back from this request?"),
        text=_(
            "You decide none of its reviews any more, and nobody does in your place. Nobody can take this back. "
            "Reviewers and the tenant's audit log show your reason."
        ),
        button=_("Step back"),
        done=_("You stepped back: %(it)s"),
    )

    def _decide(
        self, request: HttpRequest, review: Review, form: DecisionForm
    ) -> tuple[HttpResponseRedirect | None, int]:
        """Decide. Returns a redirect, or None and the status of the page that shows the errors."""
        decide_review.require_permission(signed_in(request), review)
        if not form.is_valid():
            return None, 400
        try:
            decided = decide_review(
                review.pk,
                by=signed_in(request),
                verdict=form.cleaned_data["verdict"],
                comment=form.cleaned_data["comment"],
                seen=read_facts(said) if (said := form.cleaned_data["seen"]) else None,
            )
        except ValidationError as refused:
            show_errors(form, refused)
            return None, 400
        except Conflict as conflict:
            form.add_error(None, conflict.message)
            return None, 409
        messages.success(
            request,
            _("%(review)s: %(state)s.") % {"review": decided, "state": decided.get_state_display().lower()},
        )
        reviews = Review.objects.visible_to(request.user).filter(access_request=decided.access_request_id)
        if notice := notice_of(list(reviews)):
            messages.warning(request, notice)
        return redirect(after_decision(request)), 302
