"""Personal access tokens: your own, and those that open a tenant, for people who manage them there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.generic import DetailView, FormView, TemplateView

from accounts.models import User
from accounts.permissions import signed_in
from core.choices import PickField, offer
from core.dates import exactly
from core.form_errors import show_errors
from core.keyset import requested_page
from core.page_parts import Badge, Fact
from core.stored_words import retold
from tenants.actions import issue_personal_access_token, revoke_personal_access_token
from tenants.models import PersonalAccessToken, Tenant
from tenants.roles import TokenScope
from tenants.token_querysets import TokenQuerySet
from tenants.views.mixins import PartialMixin, TenantPageMixin

PAGE_SIZE = 25
LIVES = [(7, _("7 days")), (30, _("30 days")), (90, _("90 days")), (180, _("180 days")), (365, _("A year"))]
BADGES = {
    "active": ("ok", _("Active")),
    "suspended": ("warn", _("Suspended")),
    "expired": ("", _("Expired")),
    "revoked": ("", _("Revoked")),
}


class TokenForm(forms.Form):
    """What a new token is for, what it may do, and for how long."""

    name = forms.CharField(
        label=_("Name"), max_length=80, help_text=_("What will use it, such as “nightly report”.")
    )
    scopes = forms.MultipleChoiceField(
        label=_("May be used to"),
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
        initial=[TokenScope.READ.value],
        error_messages={"required": _("Choose at least one.")},
    )
    life_days = forms.TypedChoiceField(label=_("Lives for"), choices=LIVES, coerce=int, initial=90)

    def __init__(self, *args: Any, is_for_staff: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scopes"].choices = [  # type: ignore[attr-defined]
            choice for choice in TokenScope.choices if is_for_staff or choice[0] != TokenScope.PLATFORM
        ]

    def issue(
        self, owner: User, *, tenant: Tenant | None, by: User
    ) -> tuple[PersonalAccessToken, str] | None:
        """Issue the token. Return None if it is rejected, with the reasons as errors of the form."""
        said = self.cleaned_data
        try:
            return issue_personal_access_token(
                owner,
                name=said["name"],
                life=timedelta(days=said["life_days"]),
                scopes=said["scopes"],
                tenant=tenant,
                by=by,
            )
        except ValidationError as refused:
            show_errors(self, refused)
            return None


class MyTokenForm(TokenForm):
    """A token of the person's own: for one of their tenants, or for all of them."""

    tenant = PickField(Tenant, by="slug", label=_("Opens"), required=False, empty_label=_("All my tenants"))
    field_order = ["name", "tenant", "scopes", "life_days"]

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, is_for_staff=user.is_staff, **kwargs)
        mine = Tenant.objects.filter(pk__in=user.own_tenants())
        offer(self, "tenant", mine, source=f"{reverse('tenant-suggestions')}?among=own")


class ServiceTokenForm(TokenForm):
    """A token of one of a tenant's service accounts."""

    account = PickField(User, by="email", label=_("Service account"), empty_label=None)
    field_order = ["account", "name", "scopes", "life_days"]

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accounts = tenant.service_accounts.filter(is_active=True).order_by("name", "pk")
        offer(
            self, "account", accounts, source=reverse("suggestions", args=[tenant.slug, "service-accounts"])
        )


@method_decorator(never_cache, name="dispatch")
class MyTokens(LoginRequiredMixin, TemplateView):
    """The person's own tokens."""

    template_name = "tenants/token_list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = signed_in(self.request)
        mine = PersonalAccessToken.objects.visible_to(user).filter(user=user)
        return super().get_context_data(**kwargs) | table_of(
            mine, self.request, lambda token: reverse("token-revoke", args=[token.pk])
        )


@method_decorator(never_cache, name="dispatch")
class NewToken(LoginRequiredMixin, FormView):  # type: ignore[type-arg]
    """Create a token for yourself. The answer shows its secret once."""

    form_class = MyTokenForm
    template_name = "tenants/token_new.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"user": signed_in(self.request)}

    def form_valid(self, form: MyTokenForm) -> HttpResponse:
        user = signed_in(self.request)
        made = form.issue(user, tenant=form.cleaned_data["tenant"], by=user)
        if made is None:
            return self.form_invalid(form)
        return _shown_once(self, "tenants/token_made.html", *made)

    def form_invalid(self, form: forms.Form) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)


@method_decorator(never_cache, name="dispatch")
class RevokeToken(LoginRequiredMixin, DetailView):  # type: ignore[type-arg]
    """Ask whether to revoke one of your own tokens, and revoke it."""

    model = PersonalAccessToken
    template_name = "tenants/token_revoke.html"
    context_object_name = "token"

    def get_queryset(self) -> QuerySet[PersonalAccessToken]:
        user = signed_in(self.request)
        return PersonalAccessToken.objects.visible_to(user).filter(user=user).with_names()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"facts": facts_of(self.object)}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        token = self.get_object()
        revoke_personal_access_token.require(signed_in(request), token)
        revoke_personal_access_token(token.pk, by=signed_in(request))
        messages.success(request, gettext("The token is revoked"))
        return redirect("token-list")


class ManagesTokensMixin(TenantPageMixin):
    """Pages about the tokens that open a tenant: 403 for members who do not manage them."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        response["Cache-Control"] = "private, no-store"
        return response

    def tokens(self) -> TokenQuerySet[PersonalAccessToken]:
        return PersonalAccessToken.objects.visible_to(self.request.user).filter(tenant=self.tenant)

    def require_manager(self) -> None:
        """Raise PermissionDenied unless the person manages tokens here, including those of others."""
        of_others = PersonalAccessToken(tenant=self.tenant)
        revoke_personal_access_token.require_permission(signed_in(self.request), of_others)


class TenantTokens(PartialMixin, ManagesTokensMixin, TemplateView):
    """The tokens that open only this tenant, and those of its service accounts."""

    model = PersonalAccessToken
    template_name = "tenants/token_tenant_list.html"
    partial_name = "tenants/_token_table.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.require_manager()
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        slug = self.tenant.slug
        table = table_of(
            self.tokens(),
            self.request,
            lambda token: reverse("tenant-token-revoke", args=[slug, token.pk]),
            with_owner=True,
        )
        has_accounts = self.tenant.service_accounts.filter(is_active=True).exists()
        return super().get_context_data(**kwargs) | table | {"has_service_accounts": has_accounts}


class NewServiceToken(ManagesTokensMixin, FormView):  # type: ignore[type-arg]
    """Create a token for one of the tenant's service accounts. The answer shows its secret once."""

    form_class = ServiceTokenForm
    template_name = "tenants/token_tenant_new.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        issue_personal_access_token.require_permission(signed_in(request), self._draft())
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        issue_personal_access_token.require(signed_in(request), self._draft())
        return super().post(request, *args, **kwargs)

    def _draft(self) -> PersonalAccessToken:
        """Return a draft token of one of the tenant's service accounts. The form decides which one."""
        return PersonalAccessToken(tenant=self.tenant)

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"tenant": self.tenant}

    def form_valid(self, form: ServiceTokenForm) -> HttpResponse:
        made = form.issue(form.cleaned_data["account"], tenant=self.tenant, by=signed_in(self.request))
        if made is None:
            return self.form_invalid(form)
        return _shown_once(self, "tenants/token_tenant_made.html", *made)

    def form_invalid(self, form: forms.Form) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)


class RevokeTenantToken(PartialMixin, ManagesTokensMixin, DetailView):  # type: ignore[type-arg]
    """Ask whether to revoke a token that opens the tenant, and revoke it."""

    model = PersonalAccessToken
    template_name = "tenants/token_tenant_revoke.html"
    partial_name = "tenants/_token_revoke.html"
    context_object_name = "token"

    def get_queryset(self) -> QuerySet[PersonalAccessToken]:
        return self.tokens().with_names()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"facts": facts_of(self.object)}

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.get_object()
        self.require_manager()
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        token = self.get_object()
        self.require_manager()
        revoke_personal_access_token.require(signed_in(request), token)
        revoke_personal_access_token(token.pk, by=signed_in(request))
        messages.success(request, gettext("The token is revoked"))
        return redirect("tenant-token-list", self.tenant.slug)


def table_of(
    tokens: Any, request: HttpRequest, revoke_url: Any, *, with_owner: bool = False
) -> dict[str, Any]:
    """Return a page of tokens, in use or ended, in the form that the table's template requires.

    Args:
        tokens: the tokens that the person may see.
        request: the request of the page.
        revoke_url: gives the address that revokes a token.
        with_owner: show the owner of each token.
    """
    tab = "ended" if request.GET.get("tab") == "ended" else "current"
    tokens = tokens.with_names()
    page = requested_page(
        request,
        tokens.ended() if tab == "ended" else tokens.current(),
        ("-pk",),
        size=PAGE_SIZE,
    )
    return {
        "tab": tab,
        "with_owner": with_owner,
        "tokens": [_row(token, revoke_url(token)) for token in page.rows],
        **page.links(tab=tab),
    }


@dataclass(frozen=True)
class TokenRow:
    """A row of a list of tokens."""

    name: str
    prefix: str
    owner: str
    is_service_account: bool
    issued_by: str
    opens: str
    scopes: str
    badge: Badge
    reason: str
    last_used_at: datetime | None
    expires_at: datetime
    revoke_url: str


def _row(token: PersonalAccessToken, revoke_url: str) -> TokenRow:
    kind, text = BADGES[token.state]
    return TokenRow(
        name=token.name,
        prefix=token.prefix,
        owner=str(token.user),
        is_service_account=token.user.is_service_account,
        issued_by=str(token.issued_by or ""),
        opens=token.tenant.name if token.tenant else str(_("All your tenants")),
        scopes=", ".join(token.scopes),
        badge=Badge(kind, text),
        reason=retold(token.suspended_reason) if token.state == "suspended" else "",
        last_used_at=token.last_used_at,
        expires_at=token.expires_at,
        revoke_url=revoke_url if token.revoked_at is None else "",
    )


def facts_of(token: PersonalAccessToken) -> list[Fact]:
    """Return what a person should know before they revoke the token."""
    return [
        Fact(_("Belongs to"), str(token.user)),
        Fact(_("Issued by"), str(token.issued_by or gettext("not noted"))),
        Fact(_("Opens"), token.tenant.name if token.tenant else _("All tenants of its owner")),
        Fact(_("Scopes"), ", ".join(token.scopes)),
        Fact(_("Last used"), exactly(token.last_used_at) if token.last_used_at else gettext("never")),
    ]


def _shown_once(view: Any, template: str, token: PersonalAccessToken, secret: str) -> HttpResponse:
    """Return the page with the secret. Nobody may cache it."""
    view.template_name = template
    response: HttpResponse = view.render_to_response(view.get_context_data(token=token, secret=secret))
    response["Cache-Control"] = "private, no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response
