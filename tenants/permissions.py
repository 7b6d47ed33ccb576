"""May they? One question for actions, pages, templates and the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.db import models

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request

    from tenants.models import User

WORDS = {
    "tenants.request_access": "ask for model access",
    "tenants.claim_key": "claim keys",
    "tenants.revoke_key": "revoke keys",
    "tenants.view_cost": "see costs",
    "tenants.export_cost": "export costs",
    "tenants.manage_members": "manage members",
    "tenants.manage_limits": "change limits",
    "tenants.view_audit": "read the audit trail",
    "tenants.erase_person": "see or erase what is held about people",
    "catalog.review_security": "decide security reviews",
    "catalog.review_compliance": "decide compliance reviews",
    "catalog.review_cost": "decide cost reviews",
    "catalog.publish_model": "publish models",
    "billing.publish_price": "publish prices",
    "deployments.manage_deployment": "change deployments",
    "gateway.manage_gateway": "manage gateways",
}


def signed_in(request: HttpRequest | Request) -> User:
    """The person behind a request. Raises PermissionDenied for nobody; views are behind a sign-in anyway."""
    from tenants.models import User

    if not isinstance(request.user, User):
        raise PermissionDenied("Sign in first.")
    return request.user


def require(user: User, permission: str, subject: models.Model | None = None) -> None:
    """Raise PermissionDenied, in words, unless `user` holds `permission` (on `subject`, or as staff)."""
    if user.has_perm(permission, subject):
        return
    deed = WORDS.get(permission, permission)
    where = f" in {subject}" if subject is not None else ""
    raise PermissionDenied(f"Your role does not let you {deed}{where}. Ask an owner or admin for it.")


def deeds_in(user: Any, tenant: models.Model) -> set[str]:
    """The codenames of all that `user` may do in `tenant`, such as "view_cost": one question instead of one each."""
    deeds = set(user.get_all_permissions(tenant))
    if user.is_staff and user.is_active:
        deeds |= {
            name.removeprefix("tenants.")
            for name in user.get_all_permissions()
            if name.startswith("tenants.")
        }
    return deeds


class StaffPermissionBackend(ModelBackend):
    """Local sign-in, and the permissions of staff roles.

    Beside what Django's own backend does, a global permission answers questions about a particular tenant as
    well, and the roles of somebody who is no longer staff give nothing: their groups carry global permissions.
    """

    def get_group_permissions(self, user_obj: Any, obj: models.Model | None = None) -> set[str]:
        return super().get_group_permissions(user_obj) if user_obj.is_staff else set()

    def has_perm(self, user_obj: Any, perm: str, obj: models.Model | None = None) -> bool:
        return (obj is None or user_obj.is_staff) and super().has_perm(user_obj, perm)
