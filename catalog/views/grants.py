"""Pages of a tenant's grants: the list, one of them, revoking it and taking it over."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.generic import DetailView, TemplateView

from accounts.models import User
from accounts.permissions import signed_in
from catalog import grant_pages, presentation
from catalog.actions import preview_access_request, renew_grant, revoke_grant, take_over_grant
from catalog.actions.renewals import changes_since
from catalog.forms import RevokeGrantForm
from catalog.models import AccessRequest, Grant
from catalog.querysets import GrantQuerySet
from core.dates import day_and_year
from core.keyset import requested_page
from core.page_parts import Fact
from tenants.views.mixins import PartialMixin, TenantScopedMixin

PAGE_SIZE = 25
NAMED = ("tenant", "project", "model", "owner")


class GrantList(PartialMixin, TenantScopedMixin[GrantQuerySet[Grant]], TemplateView):
    """Grants of the tenant: all that are not over, mine, those that end soon, the suspended, those that are over.

    `?q=` finds them by the beginning of a project's or model's name.
    """

    model = Grant
    template_name = "catalog/grant_list.html"
    partial_name = "catalog/_grant_table.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        grants = self.get_queryset().select_related(*NAMED, "revoked_by")
        soon = now() + grant_pages.ENDS_SOON
        tabs = {
            "current": grants.not_over(),
            "mine": grants.not_over().filter(owner=signed_in(self.request)),
            "soon": grants.not_over().filter(valid_until__lte=soon),
            "suspended": grants.suspended(),
            "over": grants.over(),
        }
        tab = self.request.GET.get("tab", "")
        tab = tab if tab in tabs else "current"
        term = self.request.GET.get("q", "").strip()
        found = tabs[tab]
        if term:
            found = found.filter(
                Q(project__name__istartswith=term)
                | Q(project__slug__istartswith=term)
                | Q(model__name__istartswith=term)
                | Q(model__title__istartswith=term)
            )
        order = ("valid_until", "pk") if tab == "soon" else ("-pk",)
        page = requested_page(self.request, found, order, size=PAGE_SIZE)
        return super().get_context_data(**kwargs) | {
            "tab": tab,
            "term": term,
            "grants": [grant_pages.row_of(grant) for grant in page.rows],
            **page.links(tab=tab, q=term),
        }


class GrantPage(TenantScopedMixin[GrantQuerySet[Grant]], DetailView):  # type: ignore[type-arg]
    """One grant, and what is done to it."""

    model = Grant
    context_object_name = "grant"

    def get_queryset(self) -> GrantQuerySet[Grant]:
        grants = super().get_queryset()
        return grants.select_related(
            *NAMED, "project__tenant", "revoked_by", "item__access_request", "item__key"
        )


class GrantDetail(GrantPage):
    """One grant: its state and owner, limits, keys, spend of 30 days, and what happened to it."""

    template_name = "catalog/grant_detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user, grant = signed_in(self.request), self.object
        may_see_costs = user.has_perm("tenants.view_cost", self.tenant)
        return super().get_context_data(**kwargs) | {
            "badge": grant_pages.badge_of(grant),
            "why": grant_pages.why(grant),
            "facts": grant_pages.facts_of(grant, user),
            "limits": grant_pages.limits_of(grant, user),
            "keys": grant_pages.keys_of(grant, user),
            "spend": grant_pages.spend_of(grant) if may_see_costs else None,
            "timeline": grant_pages.timeline_of(grant),
            "can_revoke": revoke_grant.is_possible(user, grant),
            **self._renewal(user, grant),
            "can_take_over": take_over_grant.is_possible(user, grant),
        }

    def _renewal(self, user: User, grant: Grant) -> dict[str, Any]:
        """The open or approved renewal, or else whether it can be renewed, and what has changed since its request."""
        renewal = grant.renewals.select_related("access_request").order_by("-pk").first()
        if renewal is not None and (renewal.is_open or grant.is_over):
            return {"renewal": renewal.access_request}
        can_renew = renew_grant.is_possible(user, grant)
        return {"can_renew": can_renew, "changes": changes_since(grant) if can_renew else ""}


class GrantRenew(GrantPage):
    """What has changed since the request of the grant, and what its renewal needs. A POST requests the same again."""

    template_name = "catalog/grant_renew.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.subject_of(renew_grant)
        return self._ask()

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = grant = self.subject_of(renew_grant)
        try:
            accepts = request.POST.get("accepts_changes") == "on"
            renewal = renew_grant(grant.pk, by=signed_in(request), accepts_changes=accepts)
        except ValidationError as refused:
            return self._ask(problems=refused.messages, status=400)
        is_approved = renewal.state == AccessRequest.State.APPROVED
        words = _("%(reference)s is approved") if is_approved else _("%(reference)s is on its way")
        messages.success(request, words % {"reference": renewal.reference})
        return redirect("request-detail", self.tenant.slug, renewal.pk)

    def _ask(self, problems: list[str] | None = None, status: int = 200) -> HttpResponse:
        grant, item = self.object, self.object.item
        preview = preview_access_request(
            grant.project,
            grant.model,
            expected_tokens_per_day=item.expected_tokens_per_day,
            data_class=item.data_class,
            limits=item.limits,
            duration_days=item.access_request.duration_days,
        )
        context = self.get_context_data(
            changes=changes_since(grant),
            problems=problems or list(preview.problems.values()),
            reasons=[review.reason for review in preview.reviews],
            facts=[*presentation.item_facts(item), *presentation.request_facts(item.access_request)],
        )
        return self.render_to_response(context, status=status)


class GrantRevoke(PartialMixin, GrantPage):
    """Show what stops and ask for the reason, then revoke the grant."""

    template_name = "catalog/grant_revoke.html"
    partial_name = "catalog/_grant_revoke.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.subject_of(revoke_grant)
        return self._ask(RevokeGrantForm())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = grant = self.subject_of(revoke_grant)
        form = RevokeGrantForm(request.POST)
        if form.is_valid():
            try:
                revoke_grant(grant.pk, by=signed_in(request), reason=form.cleaned_data["reason"])
            except ValidationError as refused:
                form.add_error(None, refused)
            else:
                messages.success(request, _("%(model)s is revoked") % {"model": grant.model.title})
                return redirect("grant-detail", self.tenant.slug, grant.pk)
        return self._ask(form, status=400)

    def _ask(self, form: RevokeGrantForm, status: int = 200) -> HttpResponse:
        context = self.get_context_data(
            confirm_form=form,
            facts=[
                Fact(_("Project"), self.object.project.name),
                Fact(_("Owner"), str(self.object.owner) if self.object.owner else "—"),
                Fact(_("Until"), day_and_year(self.object.valid_until)),
            ],
        )
        return self.render_to_response(context, status=status)


class GrantTakeOver(GrantPage):
    """Become the owner. There is no page: the button is on that of the grant."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        grant = self.page_for(take_over_grant)
        return redirect("grant-detail", self.tenant.slug, grant.pk)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        grant = self.subject_of(take_over_grant)
        take_over_grant(grant.pk, by=signed_in(request))
        messages.success(request, _("You now answer for %(model)s") % {"model": grant.model.title})
        return redirect("grant-detail", self.tenant.slug, grant.pk)
