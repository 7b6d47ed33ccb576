"""Shared by portal pages: sign-in is required, and the tenant must be visible to the person and is the scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic

from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.views.generic.base import ContextMixin, View

from accounts.entry_points import SubjectMixin
from accounts.models import User
from accounts.permissions import require, signed_in
from accounts.roles import StaffRole
from core.counting import count_of
from core.joined import listed
from core.reading import note_page_of
from core.scope import platform_scope
from core.tenant_managers import Rows
from tenants.actions import claim_api_key
from tenants.emergency import emergency_of
from tenants.models import ApiKey, Project, Tenant
from tenants.permissions import permissions_in, projects_where
from tenants.request_scope import enter_tenant

# The most tenants that the header lists. A search finds the others.
SWITCHER_SIZE = 20


@dataclass(frozen=True)
class Portal:
    """What the header and the menu of every page of a tenant show."""

    tenants: list[Tenant]
    has_more_tenants: bool
    keys_to_claim: int | str
    # What the person may do in this tenant ("view_cost").
    actions: frozenset[str]

    @property
    def can_see_cost(self) -> bool:
        return "view_cost" in self.actions

    @property
    def can_export(self) -> bool:
        return "export_cost" in self.actions

    @property
    def can_close(self) -> bool:
        return "propose_closing" in self.actions

    @property
    def can_audit(self) -> bool:
        return "view_audit" in self.actions


class TenantPageMixin(LoginRequiredMixin, ContextMixin, View):
    """Resolves `<slug:tenant>` to `self.tenant`, or 404 if the person may not know of it."""

    tenant: Tenant

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if isinstance(request.user, User):
            self.tenant = tenant_of(request.user, kwargs["tenant"])
            enter_tenant(request.user, self.tenant)
            note_page_of(self.tenant.pk)
        return super().dispatch(request, *args, **kwargs)

    def handle_no_permission(self) -> HttpResponseRedirect:
        """Redirect to the sign-in page. htmx navigates there itself, because it would swap that page into a part."""
        answer = super().handle_no_permission()
        if self.request.headers.get("HX-Request") == "true":
            here = self.request.headers.get("HX-Current-URL", self.request.get_full_path())
            login = redirect_to_login(here, self.get_login_url(), self.get_redirect_field_name())
            return HttpResponse(status=204, headers={"HX-Redirect": login["Location"]})  # type: ignore[return-value]
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | tenant_context(signed_in(self.request), self.tenant)


def tenant_context(user: User, tenant: Tenant) -> dict[str, Any]:
    """What every page of a tenant passes to its shell. The request is in the scope of the tenant."""
    others = list(Tenant.objects.visible_to(user).exclude(pk=tenant.pk)[:SWITCHER_SIZE])
    tenants = [tenant, *others[: SWITCHER_SIZE - 1]]
    claimable = ApiKey.objects.visible_to(user).in_tenant(tenant).claimable()
    keys_to_claim = claimable.filter(project__in=projects_where(user, claim_api_key.permission, tenant))
    return {
        "tenant": tenant,
        "tenants": tenants,
        "projects": Project.objects.visible_to(user).in_tenant(tenant),
        "currency": tenant.currency,
        "emergency": emergency_of(user),
        "portal": Portal(
            tenants=tenants,
            has_more_tenants=len(others) == SWITCHER_SIZE,
            keys_to_claim=count_of(keys_to_claim),
            actions=frozenset(permissions_in(user, tenant)),
        ),
    }


def not_shown(user: User, tenant: Tenant, model: Any) -> str:
    """Why `user` sees none of the tenant's rows of `model`, and who sees them. Empty for all who do.

    Only staff open pages of tenants to which they do not belong. `components/empty.html` says it instead of "none".
    """
    seeing = getattr(model, "visible_to_staff", None)
    if seeing is None or user.is_superuser or user.staff_roles & seeing or not user.staff_roles:
        return ""
    if user.own_tenants().filter(tenant=tenant).exists():
        return ""
    roles = sorted(str(StaffRole(role).label) for role in seeing)
    return _(
        "Your role does not show whether there are any. Members of %(tenant)s see them, and these staff roles: "
        "%(roles)s. If your work needs them, ask an operator for such a role."
    ) % {"tenant": tenant.name, "roles": listed(roles)}


def tenant_of(user: User, slug: str) -> Tenant:
    """Return the tenant, or 404. Members see it by membership. Staff see every tenant, and this is logged."""
    if user.is_superuser or user.staff_roles:
        with platform_scope(f"staff open a page of {slug}"):
            return get_object_or_404(Tenant, slug=slug)
    return get_object_or_404(Tenant.objects.visible_to(user), slug=slug)


class MayReadAuditLog(TenantPageMixin):
    """Admits owners and admins of the tenant, and auditors."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        require(signed_in(request), "tenants.view_audit", self.tenant)
        return super().get(request, *args, **kwargs)  # type: ignore[misc]


class TenantScopedMixin(SubjectMixin, TenantPageMixin, Generic[Rows]):
    """Gives Django's generic views only this tenant's rows, and of those the ones their user may see.

    `Rows` is the queryset of the model: `class KeyList(TenantScopedMixin[ApiKeyQuerySet[ApiKey]], …)`.
    """

    model: Any

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        hidden = not_shown(signed_in(self.request), self.tenant, self.model)
        return super().get_context_data(**kwargs) | {"not_shown": hidden}

    def get_queryset(self) -> Rows:
        rows: Rows = self.model.objects.visible_to(self.request.user).in_tenant(self.tenant)
        return rows


class PartialMixin(View):
    """Renders `partial_name` instead of the page if htmx requests a part and not a full page."""

    partial_name: str

    def get_template_names(self) -> list[str]:
        headers = self.request.headers
        if headers.get("HX-Request") == "true" and headers.get("HX-Request-Type") != "full":
            return [self.partial_name]
        return list(super().get_template_names())  # type: ignore[misc]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        patch_vary_headers(response, ["HX-Request", "HX-Request-Type"])
        return response
