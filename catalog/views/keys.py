"""Pages for listing, claiming and revoking keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.generic import DetailView, TemplateView

from accounts.permissions import signed_in
from billing.costs import spend_by_key, today_of
from catalog.forms import ClaimForm
from catalog.models import CatalogModel
from core.dates import clock, day, day_and_year
from core.keyset import requested_page
from core.page_parts import Badge, Fact
from core.rate_limits import limit_rate
from core.stored_words import retold
from tenants.actions import claim_api_key, revoke_api_key
from tenants.emergency import emergency_of
from tenants.models import ApiKey
from tenants.querysets import ApiKeyQuerySet
from tenants.views.mixins import PartialMixin, TenantScopedMixin

PAGE_SIZE = 25


class KeyList(PartialMixin, TenantScopedMixin[ApiKeyQuerySet[ApiKey]], TemplateView):
    """Keys that are active or waiting, or those that have ended. `?q=` searches by prefix."""

    model = ApiKey
    template_name = "tenants/apikey_list.html"
    partial_name = "tenants/_apikey_table.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        tab = "ended" if self.request.GET.get("tab") == "ended" else "current"
        term = self.request.GET.get("q", "").strip()
        keys = self.get_queryset().with_names()
        if term:
            keys = keys.begins_with(term, self.tenant)
        page = requested_page(
            self.request,
            keys.ended() if tab == "ended" else keys.current(),
            ("-pk",),
            size=PAGE_SIZE,
        )
        context = super().get_context_data(**kwargs)
        user, tenant = signed_in(self.request), self.tenant
        today = today_of(tenant)
        may_see_costs = user.has_perm("tenants.view_cost", tenant)
        shown = [key.pk for key in page.rows]
        costs = spend_by_key(tenant, today.replace(day=1), today, shown) if may_see_costs else None
        return context | {
            "tab": tab,
            "term": term,
            "keys": [
                _row(
                    key,
                    _cost_of(key, costs),
                    can_claim=claim_api_key.is_possible(user, key),
                    can_revoke=revoke_api_key.is_possible(user, key),
                )
                for key in page.rows
            ],
            **page.links(tab=tab, q=term),
        }


def _cost_of(key: ApiKey, costs: Mapping[UUID, Decimal | None] | None) -> Decimal | None:
    """This month's cost; 0 for a key without calls, None if the cost is unknown or not shown."""
    if costs is None or key.state == ApiKey.State.CLAIMABLE:
        return None
    return costs.get(key.pk, Decimal(0))


@dataclass(frozen=True)
class KeyRow:
    """A row in the list of keys."""

    pk: UUID
    name: str
    prefix: str
    ready_at: datetime | None
    project_name: str
    models_label: str
    owner: str
    badge: Badge
    reason: str
    month_cost: Decimal | None
    last_used_at: datetime | None
    can_claim: bool
    can_revoke: bool


def _row(key: ApiKey, month_cost: Decimal | None, *, can_claim: bool, can_revoke: bool) -> KeyRow:
    return KeyRow(
        pk=key.pk,
        name=key.name,
        prefix=key.prefix,
        ready_at=key.created_at if key.state == ApiKey.State.CLAIMABLE else None,
        project_name=key.project.name,
        models_label=", ".join(key.model_names),
        owner=str(key.owner) if key.owner else "",
        badge=badge_of(key),
        reason=retold(key.suspended_reason) if key.is_suspended else "",
        month_cost=month_cost,
        last_used_at=key.last_used_at,
        can_claim=can_claim,
        can_revoke=can_revoke,
    )


def badge_of(key: ApiKey) -> Badge:
    """The badge of a key, in the words that all pages use."""
    if key.state == ApiKey.State.REVOKED:
        return Badge("", _("Revoked"))
    if key.expires_at and key.expires_at <= now():
        return Badge("", _("Expired"))
    if key.is_suspended:
        return Badge("warn", _("Suspended"))
    if key.state == ApiKey.State.ACTIVE:
        return Badge("ok", _("Active"))
    if not key.is_claimable:
        return Badge("", _("Claim date passed"))
    text = _("Claim by %(date)s") % {"date": day(key.claim_by)} if key.claim_by else _("Claim")
    return Badge("warn", text, "clock")


class KeyClaim(TenantScopedMixin[ApiKeyQuerySet[ApiKey]], DetailView):  # type: ignore[type-arg]
    """The page before the secret is created, and the one page that shows it. Caches store neither."""

    model = ApiKey
    template_name = "tenants/apikey_claim.html"
    context_object_name = "key"

    def get_queryset(self) -> ApiKeyQuerySet[ApiKey]:
        return super().get_queryset().with_names()

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.page_for(claim_api_key)
        if not self.object.is_claimable:
            return redirect("key-list", self.tenant.slug)
        return self._ask(self._form())

    @method_decorator(never_cache)
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.get_object()
        limit_rate("key_claim", str(signed_in(request).pk))
        claim_api_key.require(signed_in(request), self.object)
        said = self._form(request.POST)
        owner = said.cleaned_data["owner"].pk if said.is_valid() and said.cleaned_data["owner"] else None
        try:
            named = owner or request.POST.get("owner") or None
            key, secret = claim_api_key(self.object.pk, by=signed_in(request), owner=named)
        except ValidationError as refused:
            form = self._form(request.POST)
            # The account was disabled in the meantime.
            if form.is_valid():
                form.add_error("owner", refused.message_dict["owner"])
            return self._ask(form, status=400)
        model = CatalogModel.objects.filter(name__in=key.model_names).order_by("name").first()
        context = self.get_context_data(
            key=key,
            secret=secret,
            model_name=model.name if model else "",
            mode=model.mode if model else "chat",
        )
        return render(request, "tenants/apikey_claimed.html", context)

    def _form(self, data: Any = None) -> ClaimForm:
        return ClaimForm(
            data, key=self.object, is_emergency=emergency_of(signed_in(self.request)) is not None
        )

    def _ask(self, form: ClaimForm, status: int = 200) -> HttpResponse:
        context = self.get_context_data(form=form, key_facts=_facts(self.object))
        return self.render_to_response(context, status=status)


class KeyRevoke(PartialMixin, TenantScopedMixin[ApiKeyQuerySet[ApiKey]], DetailView):  # type: ignore[type-arg]
    """Show the impact and ask for confirmation, then revoke the key."""

    model = ApiKey
    template_name = "tenants/apikey_revoke.html"
    partial_name = "tenants/_apikey_revoke.html"
    context_object_name = "key"

    def get_queryset(self) -> ApiKeyQuerySet[ApiKey]:
        return super().get_queryset().with_names()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"facts": _facts(self.object)}

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.page_for(revoke_api_key)
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        key = self.subject_of(revoke_api_key)
        revoke_api_key(key.pk, by=signed_in(request))
        messages.success(request, _("%(name)s is revoked") % {"name": key.name})
        return redirect("key-list", self.tenant.slug)


def _facts(key: ApiKey) -> list[Fact]:
    last_used = clock(key.last_used_at) if key.last_used_at else _("never")
    facts = [
        Fact(_("Project"), key.project.name),
        Fact(_("Opens"), ", ".join(key.model_names)),
        Fact(_("Ends"), day_and_year(key.expires_at) if key.expires_at else _("never")),
    ]
    if key.state == ApiKey.State.ACTIVE:
        holder = key.owner
        facts += [
            Fact(_("Belongs to"), str(holder) if holder else "—"),
            Fact(_("Claimed by"), str(key.claimed_by) if key.claimed_by else "—"),
            Fact(_("Last used"), last_used),
        ]
    return facts
