"""Pages for requesting a model and following the request."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.generic import DetailView, TemplateView

from accounts.permissions import signed_in
from catalog import presentation
from catalog.access import accesses
from catalog.actions import (
    raise_access_request,
    resend_access_request,
    withdraw_access_request,
)
from catalog.actions.facts import notice_of
from catalog.answers import AnsweredTrack, answered_tracks
from catalog.conversation import conversation_of
from catalog.forms import CommentForm
from catalog.models import AccessRequest, CatalogModel, RequestItem, Review
from catalog.querysets import AccessRequestQuerySet
from catalog.request_forms import AccessRequestForm, reopened
from catalog.request_preview import PreviewWords, answers_of, needed_questions, preview_words, read_form
from catalog.serving import why_request_unserved, why_unserved
from catalog.waiting import waits_of
from core.counting import count_of
from core.keyset import requested_page
from core.page_parts import Badge, Fact
from tenants.actions import claim_api_key
from tenants.models import ApiKey, Tenant
from tenants.permissions import require_somewhere
from tenants.views.mixins import PartialMixin, TenantPageMixin, TenantScopedMixin

PAGE_SIZE = 25


class RequestNew(TenantPageMixin, TemplateView):
    """The request form as a page. A POST submits it."""

    template_name = "catalog/request_new.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        model = self._model()
        require_somewhere(signed_in(request), raise_access_request.permission, self.tenant)
        access = accesses(signed_in(request), self.tenant, [model])[model.pk]
        if access.state == "unavailable":
            raise PermissionDenied(access.reason)
        return self._form_page(
            AccessRequestForm(user=signed_in(request), tenant=self.tenant, model=model), 200
        )

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        model = self._model()
        require_somewhere(signed_in(request), raise_access_request.permission, self.tenant)
        form = read_form(request, self.tenant, model)
        if "add" in request.POST or "remove" in request.POST:
            sent = reopened(request.POST, user=signed_in(request), tenant=self.tenant, model=model)
            sent.ask(form.sets, answers_of(request.POST, form.sets))
            return self._form_page(sent, 200, preview=preview_words(form))
        is_valid = form.is_valid()
        if project := form.cleaned_data.get("project"):
            raise_access_request.require(signed_in(request), project)
        access_request = form.send() if is_valid else None
        if access_request is None:
            return self._form_page(form, 422 if getattr(request, "htmx", False) else 400)
        reference = {"reference": access_request.reference}
        is_approved = access_request.state == AccessRequest.State.APPROVED
        words = _("%(reference)s is approved") if is_approved else _("%(reference)s is on its way")
        messages.success(request, words % reference)
        return redirect("request-detail", self.tenant.slug, access_request.pk)

    def _model(self) -> CatalogModel:
        return get_object_or_404(CatalogModel.objects.offered_to([self.tenant]), name=self.kwargs["name"])

    def _form_page(
        self, form: AccessRequestForm, status: int, preview: PreviewWords | None = None
    ) -> HttpResponse:
        context = self.get_context_data(
            form=form,
            model=form.model,
            unserved=why_unserved(form.model, self.tenant),
            data_classes=form.data_class_options(),
            preview=preview_words(form) if form.is_bound else preview,
        )
        return self.render_to_response(context, status=status)


class RequestPreview(TenantPageMixin, TemplateView):
    """Shows what would happen if the form were submitted now. Changes nothing."""

    template_name = "catalog/_request_preview.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        model = get_object_or_404(CatalogModel.objects.offered_to([self.tenant]), name=kwargs["name"])
        require_somewhere(signed_in(request), raise_access_request.permission, self.tenant)
        form = AccessRequestForm(request.POST, user=signed_in(request), tenant=self.tenant, model=model)
        context: dict[str, Any] = {"preview": preview_words(form)}
        sets = needed_questions(form)
        if " ".join(sets) != request.POST.get("asked", ""):
            said = AccessRequestForm(
                initial=request.POST.dict(), user=signed_in(request), tenant=self.tenant, model=model
            )
            said.ask(sets, answers_of(request.POST, sets))
            context |= {"form": said, "is_swapped_in": True}
        return render(request, self.template_name, context)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("request-new", self.tenant.slug, kwargs["name"])


class RequestList(PartialMixin, TenantScopedMixin[AccessRequestQuerySet[AccessRequest]], TemplateView):
    """Requests of the tenant's projects: those waiting for you, open ones, and closed ones."""

    model = AccessRequest
    template_name = "catalog/accessrequest_list.html"
    partial_name = "catalog/_access_request_table.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        requests = self.get_queryset()
        tabs = {
            "needs_you": requests.needing_the_tenant(),
            "open": requests.undecided(),
            "closed": requests.closed(),
        }
        tab = self.request.GET.get("tab", "")
        tab = tab if tab in tabs else "open"
        page = requested_page(
            self.request,
            tabs[tab].with_names(),
            ("-pk",),
            size=PAGE_SIZE,
        )
        return super().get_context_data(**kwargs) | {
            "tab": tab,
            "counts": {name: count_of(tabs[name]) for name in ("needs_you", "open")},
            "requests": [presentation.row_of(access_request) for access_request in page.rows],
            **page.links(tab=tab),
        }


@dataclass(frozen=True)
class RequestPage:
    """What the page of one request shows."""

    badge: Badge
    notice: Any
    unserved: str
    sent_by_you: bool
    steps: list[presentation.Words]
    tracks: list[presentation.ReviewRow]
    timeline: list[presentation.Words]
    refusal: presentation.Words | None
    changes_wanted: str
    can_change: bool
    asked: list[AskedItem]
    facts: list[Fact]
    answers: list[AnsweredTrack]
    cost: dict[str, Any]
    can_withdraw: bool
    claim_keys: list[ApiKey]
    poll_url: str


class RequestDetail(PartialMixin, TenantScopedMixin[AccessRequestQuerySet[AccessRequest]], DetailView):  # type: ignore[type-arg]
    """One request: whose turn it is, the state of each track, and the timeline."""

    model = AccessRequest
    template_name = "catalog/accessrequest_detail.html"
    partial_name = "catalog/_access_request.html"
    context_object_name = "access_request"

    def get_queryset(self) -> AccessRequestQuerySet[AccessRequest]:
        requests = super().get_queryset().with_names()
        return requests.prefetch_related(
            "reviews__decisions__reviewer",
            "reviews__decisions__delegation__giver",
            "items__key__project__tenant",
            "items__into_key",
        )

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        access_request: AccessRequest = self.object
        user, tenant = signed_in(self.request), self.tenant
        reviews = list(access_request.reviews.all())
        keys = presentation.granted_keys(access_request)
        is_live = access_request.state in (
            AccessRequest.State.PENDING,
            AccessRequest.State.RETURNED,
            AccessRequest.State.APPROVED,
        )
        conversation = conversation_of(self.request, access_request) | {
            "comment_form": CommentForm(),
            "comments_url": reverse("request-comments", args=[tenant.slug, access_request.pk]),
            "is_swapped": True,
        }
        return (
            context
            | conversation
            | vars(
                RequestPage(
                    badge=presentation.badge_of(access_request),
                    notice=presentation.claim_notice(keys) or notice_of(reviews),
                    unserved=why_request_unserved(access_request) if is_live else "",
                    sent_by_you=access_request.requested_by_id == user.pk,
                    steps=presentation.steps_of(access_request, reviews),
                    tracks=presentation.review_rows(reviews, waits_of(reviews, access_request)),
                    timeline=presentation.timeline_of(access_request, reviews),
                    refusal=presentation.refusal_of(access_request, reviews),
                    changes_wanted=presentation.changes_wanted(access_request, reviews),
                    can_change=resend_access_request.is_possible(user, access_request),
                    asked=[_asked_item(item, tenant) for item in access_request.named_items()],
                    facts=presentation.request_facts(access_request),
                    answers=answered_tracks(access_request),
                    cost={
                        "amount": access_request.expected_monthly_cost,
                        "low": None,
                        "high": None,
                        "currency": access_request.currency,
                        "hard_stop": _hard_stop(access_request),
                    },
                    can_withdraw=withdraw_access_request.is_possible(user, access_request),
                    claim_keys=[
                        key for key in keys if key.is_claimable and claim_api_key.is_permitted(user, key)
                    ],
                    poll_url=self.request.path if access_request.state == AccessRequest.State.PENDING else "",
                )
            )
        )


@dataclass(frozen=True)
class AskedItem:
    """One model of a request, with its limits as conditions."""

    facts: list[Fact]
    conditions: list[str]


def _asked_item(item: RequestItem, tenant: Tenant) -> AskedItem:
    return AskedItem(
        presentation.item_facts(item, reverse("model-detail", args=[tenant.slug, item.model.name])),
        [f"{fact.label}: {fact.value}" for fact in presentation.limit_facts(item)],
    )


def _hard_stop(access_request: AccessRequest) -> Decimal | None:
    """The most that all its items may cost a month; None if one of them has no such limit."""
    stops = [item.limits.get("money_per_month") for item in access_request.named_items()]
    return sum(map(Decimal, stops), Decimal()) if stops and all(stops) else None


class RequestWithdraw(PartialMixin, TenantScopedMixin[AccessRequestQuerySet[AccessRequest]], DetailView):  # type: ignore[type-arg]
    """Ask for confirmation, then withdraw the request."""

    model = AccessRequest
    template_name = "catalog/accessrequest_withdraw.html"
    partial_name = "catalog/_accessrequest_withdraw.html"
    context_object_name = "access_request"

    def get_queryset(self) -> AccessRequestQuerySet[AccessRequest]:
        return super().get_queryset().with_names()

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.subject_of(withdraw_access_request)
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        open_tracks = [
            review.track.label for review in self.object.reviews.all() if review.state == Review.State.PENDING
        ]
        return super().get_context_data(**kwargs) | {
            "facts": [
                Fact(_("Request"), str(self.object)),
                Fact(
                    _("Reviews that stop"),
                    pgettext("between two of a list", ", ").join(open_tracks) or _("none"),
                ),
            ]
        }

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        access_request = self.subject_of(withdraw_access_request)
        withdraw_access_request(access_request.pk, by=signed_in(request))
        messages.success(request, _("%(reference)s is withdrawn") % {"reference": access_request.reference})
        return redirect("request-detail", self.tenant.slug, access_request.pk)
