"""What a role in a tenant or project lets a member do. Membership and ProjectRole say who has which role.

docs/roles.md shows this table, and a test compares the two. In SQL, `tenants_role_makes_tokens` repeats one line of it
(docs/decisions/0057). Staff roles are in accounts/roles.py.
"""

from __future__ import annotations

from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """A person's role in a tenant."""

    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    DEVELOPER = "developer", _("Developer")
    FINANCE = "finance", _("Finance")
    VIEWER = "viewer", _("Viewer")


class TokenScope(models.TextChoices):
    """What a personal access token may be used for, never more than its owner may do."""

    READ = "read", _("Read what you may see")
    REQUESTS = "requests", _("Ask for access and withdraw requests")
    KEYS = "keys", _("Claim and revoke keys, end grants")
    COSTS = "costs", _("Build and download cost reports")
    MANAGE = "manage", _("Manage settings, projects, members and tokens")
    PLATFORM = "platform", _("Act as platform staff")


# Permissions on a tenant, declared in Tenant.Meta. Every member sees the tenant; these decide what they may do there.
_VIEWER = {"view_cost"}
_FINANCE = {"view_cost", "export_cost"}
_DEVELOPER = {"request_access", "claim_key", "revoke_key", "view_cost"}
_ADMIN = (
    _DEVELOPER
    | _FINANCE
    | {
        "manage_tenant",
        "manage_members",
        "manage_projects",
        "manage_service_accounts",
        "manage_tokens",
        "manage_limits",
        "view_audit",
        "export_audit",
    }
)
_OWNER = _ADMIN | {"manage_owners", "propose_closing"}

ROLE_PERMISSIONS: Final[dict[str, frozenset[str]]] = {
    Role.OWNER: frozenset(_OWNER),
    Role.ADMIN: frozenset(_ADMIN),
    Role.DEVELOPER: frozenset(_DEVELOPER),
    Role.FINANCE: frozenset(_FINANCE),
    Role.VIEWER: frozenset(_VIEWER),
}

# Permissions checked on a project (also declared in Project.Meta). For these, a project role replaces the tenant
# role. The tenant role alone decides all others, and what a member sees.
PROJECT_PERMISSIONS: Final = frozenset(
    {"request_access", "claim_key", "revoke_key", "manage_limits", "manage_projects"}
)
NEVER_NARROWED: Final = frozenset({Role.OWNER, Role.ADMIN})
PROJECT_ROLES: Final = tuple(role for role in Role if role != Role.OWNER)
# Service accounts can have these roles too.
PROJECT_ROLE_CHOICES: Final = [(role.value, role.label) for role in PROJECT_ROLES]


def roles_with(codename: str) -> list[str]:
    """Return the roles that hold a permission, such as "view_cost"."""
    return [role for role, permissions in ROLE_PERMISSIONS.items() if codename in permissions]
