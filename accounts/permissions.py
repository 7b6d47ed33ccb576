"""One permission check for actions, pages, templates and the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.roles import PEOPLE_PERMISSIONS

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request

    from accounts.models import User

# What a permission allows, as refusals say it.
WORDS: Final[dict[str, Any]] = {
    "tenants.request_access": gettext_lazy("ask for model access"),
    "tenants.claim_key": gettext_lazy("claim keys"),
    "tenants.revoke_key": gettext_lazy("revoke keys"),
    "tenants.view_cost": gettext_lazy("see costs"),
    "tenants.export_cost": gettext_lazy("export costs"),
    "tenants.manage_tenant": gettext_lazy("change settings"),
    "tenants.manage_members": gettext_lazy("manage members"),
    "tenants.manage_owners": gettext_lazy("make or change owners"),
    "tenants.manage_projects": gettext_lazy("manage projects"),
    "tenants.manage_service_accounts": gettext_lazy("manage service accounts"),
    "tenants.manage_tokens": gettext_lazy("see or revoke other people's tokens"),
    "tenants.manage_limits": gettext_lazy("change limits"),
    "accounts.manage_people": gettext_lazy("deactivate and reactivate people"),
    "directory.manage_directory": gettext_lazy("manage the directory's tokens"),
    "tenants.view_audit": gettext_lazy("read the audit log"),
    "tenants.export_audit": gettext_lazy("export the audit log"),
    "tenants.propose_closing": gettext_lazy("propose to close the tenant"),
    "tenants.create_tenant": gettext_lazy("create tenants"),
    "tenants.suspend_tenant": gettext_lazy("suspend tenants"),
    "tenants.confirm_closing": gettext_lazy("confirm that a tenant closes"),
    "tenants.open_emergency_access": gettext_lazy("open emergency access"),
    "tenants.review_emergency_access": gettext_lazy("review emergency access"),
    "accounts.assign_staff_role": gettext_lazy("give or take staff roles"),
    "accounts.manage_outbox": gettext_lazy("send messages again"),
    "accounts.erase_person": gettext_lazy("export or erase personal data"),
    "catalog.curate_model": gettext_lazy("edit models"),
    "catalog.decide_review": gettext_lazy("decide reviews"),
    "catalog.manage_ruleset": gettext_lazy("change rules of access requests"),
    "catalog.manage_campaign": gettext_lazy("start and cancel attestation campaigns"),
    "catalog.manage_track": gettext_lazy("manage tracks of reviews"),
    "catalog.manage_version": gettext_lazy("change versions of models"),
    "catalog.publish_model": gettext_lazy("publish models"),
    "billing.publish_price": gettext_lazy("publish prices"),
    "deployments.manage_deployment": gettext_lazy("change deployments"),
    "deployments.manage_route": gettext_lazy("change routes"),
    "deployments.manage_provider": gettext_lazy("manage providers"),
    "gateway.manage_gateway": gettext_lazy("manage gateways"),
}


def signed_in(request: HttpRequest | Request) -> User:
    """The person behind a request. Raises PermissionDenied if there is none; views require a sign-in anyway."""
    from accounts.models import User

    if not isinstance(request.user, User):
        raise PermissionDenied(_("Sign in first."))
    return request.user


def require(user: User, permission: str, subject: models.Model | None = None) -> None:
    """Raise PermissionDenied, with a message, unless `user` holds `permission` (on `subject`, or as staff).

    For an object of a project, check the project: a project role may give other permissions than the tenant's role.
    """
    if user.has_perm(permission, subject):
        return
    is_for_people = permission.removeprefix("tenants.") in PEOPLE_PERMISSIONS
    permission = WORDS.get(permission, permission)
    if user.is_service_account and is_for_people:
        raise PermissionDenied(
            _("A service account cannot %(permission)s; a person must.") % {"permission": permission}
        )
    if subject is None:
        raise PermissionDenied(
            _("Your role does not allow you to %(permission)s. Ask an owner or admin.")
            % {"permission": permission}
        )
    raise PermissionDenied(
        _("Your role does not allow you to %(permission)s in %(place)s. Ask an owner or admin.")
        % {"permission": permission, "place": subject}
    )


class StaffPermissionBackend(ModelBackend):
    """Local sign-in, and the permissions of staff roles.

    Unlike in Django's own backend, a global permission also applies to each particular tenant. The roles of a person
    who is no longer staff give nothing, because their groups hold global permissions.
    """

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **kwargs: Any) -> Any:
        """Sign nobody in, through any entry point, if local accounts are off."""
        if not settings.LOCAL_ACCOUNTS:
            return None
        return super().authenticate(request, username=username, password=password, **kwargs)

    def user_can_authenticate(self, user: Any) -> bool:
        """Reject service accounts: they cannot sign in to pages, and a session of one is not signed in."""
        return not getattr(user, "is_service_account", False) and super().user_can_authenticate(user)

    def get_group_permissions(self, user_obj: Any, obj: models.Model | None = None) -> set[str]:
        return super().get_group_permissions(user_obj) if user_obj.is_staff else set()

    def has_perm(self, user_obj: Any, perm: str, obj: models.Model | None = None) -> bool:
        return (obj is None or user_obj.is_staff) and super().has_perm(user_obj, perm)
