"""The permission that every route of the HTTP API checks first."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tenants.models import PersonalAccessToken
from tenants.request_scope import enter_scope_of


class SignedIn(BasePermission):
    """Requires a signed-in user, by any method. The rest of the request runs in their scope."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        token = request.auth if isinstance(request.auth, PersonalAccessToken) else None
        enter_scope_of(request.user, token=token)
        return True
