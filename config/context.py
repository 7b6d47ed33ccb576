"""Template context of every page: facts about the installation, and the header of pages outside a tenant."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from tenants.views.header import header_of


def installation(request: HttpRequest) -> dict[str, Any]:
    return {
        "demo": settings.IS_DEMO,
        "local_accounts": settings.LOCAL_ACCOUNTS,
        "gateway_url": settings.GATEWAY_URL,
        # Anthropic's clients add /v1 themselves.
        "gateway_root": settings.GATEWAY_URL.removesuffix("/v1"),
        "support_contact": settings.SUPPORT_CONTACT,
        "provider_name": settings.OIDC_PROVIDER_NAME if settings.OIDC_ISSUER else "",
        # Lazy: it queries the database only if a page shows it.
        "header": SimpleLazyObject(lambda: header_of(request)),
    }
