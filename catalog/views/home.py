"""A tenant's home page, made of the blocks that apps declare in their `home.py`."""

from __future__ import annotations

from typing import Any

from django.views.generic import TemplateView

from accounts.permissions import signed_in
from core.home import Reader, Site, shown_to
from tenants.views.mixins import TenantPageMixin


class TenantHome(TenantPageMixin, TemplateView):
    """Shows what needs the reader first, then the blocks that their role may see."""

    template_name = "tenants/home.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        reader = Reader(self.request, signed_in(self.request), self.tenant)
        return super().get_context_data(**kwargs) | {"home": shown_to(reader, Site.TENANT)}
