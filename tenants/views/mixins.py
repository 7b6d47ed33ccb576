"""What portal pages share: they are signed in, under a tenant the person may see, and scoped to it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils.cache import patch_vary_headers
from django.views.generic.base import ContextMixin, View

from tenants.models import ApiKey, Project, Tenant
from tenants.permissions import deeds_in


class TenantPageMixin(LoginRequiredMixin, ContextMixin, View):
    """Resolves `<slug:tenant>` to `self.tenant`, or 404 when the person may not know of it."""

    tenant: Tenant

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            self.tenant = get_object_or_404(Tenant.objects.visible_to(request.user), slug=kwargs["tenant"])
        return super().dispatch(request, *args, **kwargs)

    def handle_no_permission(self) -> HttpResponseRedirect:
        """Send nobody to sign in; htmx, which would swap the sign-in page into a part, goes there itself."""
        answer = super().handle_no_permission()
        if self.request.headers.get("HX-Request") == "true":
            here = self.request.headers.get("HX-Current-URL", self.request.get_full_path())
            login = redirect_to_login(here, self.get_login_url(), self.get_redirect_field_name())
            return HttpResponse(status=204, headers={"HX-Redirect": login["Location"]})  # type: ignore[return-value]
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = self.request.user
        tenants = Tenant.objects.visible_to(user)[:20]  # the switcher
        deeds = deeds_in(user, self.tenant)
        keys_to_claim = ApiKey.objects.visible_to(user).in_tenant(self.tenant).claimable().count()
        return super().get_context_data(**kwargs) | {
            "tenant": self.tenant,
            "tenants": tenants,
            "projects": Project.objects.visible_to(user).in_tenant(self.tenant),
            "currency": self.tenant.currency,
            "portal": {
                "tenants": tenants,
                "keys_to_claim": keys_to_claim if "claim_key" in deeds else 0,
                "can_see_cost": "view_cost" in deeds,
                "can_export": "export_cost" in deeds,
                "can_audit": "view_audit" in deeds,
            },
        }


class TenantScopedMixin(TenantPageMixin):
    """Gives Django's generic views only this tenant's rows, and of those the ones their user may see."""

    model: Any

    def get_queryset(self) -> Any:
        return self.model.objects.visible_to(self.request.user).in_tenant(self.tenant)


class PartialMixin(View):
    """Renders `partial_name` instead of the page when htmx asks for a part and not for a full page."""

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
