"""Who may do what: tenant roles carry object permissions on their tenant, staff roles global ones.

docs/roles.md reads both tables aloud, and a test holds them against it. A change here reaches the groups that
carry the roles with the next `migrate` (tenants/role_groups.py).
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


class StaffRole(models.TextChoices):
    """A platform-side role; the value is also the name of the group that carries its permissions."""

    OPERATOR = "operator", _("Operator")
    SECURITY_REVIEWER = "security-reviewer", _("Security reviewer")
    COMPLIANCE_REVIEWER = "compliance-reviewer", _("Compliance reviewer")
    COST_REVIEWER = "cost-reviewer", _("Cost reviewer")
    CONTROLLER = "controller", _("Controller")
    AUDITOR = "auditor", _("Auditor")


class TokenScope(models.TextChoices):
    """What a personal access token may be used for; never more than its owner may do."""

    READ = "read", _("Read what you may see")
    REQUESTS = "requests", _("Ask for access and withdraw requests")
    KEYS = "keys", _("Claim and revoke keys, end grants")
    COSTS = "costs", _("Build and download cost reports")
    MANAGE = "manage", _("Manage settings, projects, members and tokens")
    PLATFORM = "platform", _("Act as platform staff")


REVIEWERS: Final = frozenset(
    {StaffRole.SECURITY_REVIEWER, StaffRole.COMPLIANCE_REVIEWER, StaffRole.COST_REVIEWER}
)

# Deeds on a tenant, declared in Tenant.Meta. Every member sees the tenant; these are what they may do there.
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

# Deeds asked on a project (declared in Project.Meta as well): there a project role answers in place of the
# tenant's. All others are the tenant's alone, and so is what one sees.
PROJECT_PERMISSIONS: Final = frozenset(
    {"request_access", "claim_key", "revoke_key", "manage_limits", "manage_projects"}
)
NEVER_NARROWED: Final = frozenset({Role.OWNER, Role.ADMIN})
PROJECT_ROLES: Final = tuple(role for role in Role if role != Role.OWNER)
PROJECT_ROLE_CHOICES: Final = [
    (role.value, role.label) for role in PROJECT_ROLES
]  # service accounts have these too

# Deeds that decide about people, which no service account does: whoever knows its token would raise themselves.
PEOPLE_DEEDS: Final = frozenset(
    {"manage_members", "manage_owners", "manage_service_accounts", "manage_tokens", "propose_closing"}
)

# Deeds in a tenant that are the platform's, whatever one's role there.
STAFF_DEEDS: Final = frozenset(
    {
        "create_tenant",
        "suspend_tenant",
        "confirm_closing",
        "open_emergency_access",
        "review_emergency_access",
    }
)

# Global permissions by staff role: "app.codename". A "view" lets the admin list the rows; deeds go through actions.
_SEE_REQUESTS = {
    "catalog.view_accessrequest",
    "catalog.view_review",
    "catalog.view_catalogmodel",
    "catalog.view_grant",
    "tenants.view_tenant",
    "tenants.view_project",
}
_SEE_COSTS = {"billing.view_export", "billing.view_price", "tenants.view_cost", "tenants.view_tenant"}

STAFF_PERMISSIONS: Final[dict[str, frozenset[str]]] = {
    StaffRole.OPERATOR: frozenset(
        _SEE_REQUESTS
        | _SEE_COSTS
        | {
            "tenants.view_user",
            "tenants.erase_person",
            "tenants.view_membership",
            "tenants.view_grouprule",
            "tenants.view_federatedidentity",
            "tenants.view_apikey",
            "tenants.view_limit",
            "tenants.view_personalaccesstoken",
            "tenants.view_auditentry",
            "tenants.revoke_key",
            *(f"tenants.{deed}" for deed in STAFF_DEEDS | (_OWNER - _DEVELOPER - _FINANCE)),
            "tenants.view_projectrole",
            "tenants.view_invitation",
            "tenants.view_tenantclosing",
            "tenants.view_emergencyaccess",
            "tenants.view_staffappointment",
            "tenants.appoint_staff",
            "tenants.manage_people",
            "tenants.manage_directory",
            "tenants.view_scimtoken",
            "tenants.view_directorygroup",
            "billing.publish_price",
            "billing.view_quarantinedevent",
            "catalog.publish_model",
            "deployments.view_cluster",
            "deployments.view_deployment",
            "deployments.view_route",
            "deployments.manage_deployment",
            "gateway.view_gateway",
            "gateway.manage_gateway",
        }
    ),
    StaffRole.SECURITY_REVIEWER: frozenset(_SEE_REQUESTS | {"catalog.review_security"}),
    StaffRole.COMPLIANCE_REVIEWER: frozenset(_SEE_REQUESTS | {"catalog.review_compliance"}),
    StaffRole.COST_REVIEWER: frozenset(_SEE_REQUESTS | {"catalog.review_cost"}),
    StaffRole.CONTROLLER: frozenset(_SEE_COSTS | {"tenants.export_cost"}),
    StaffRole.AUDITOR: frozenset(
        _SEE_REQUESTS
        | _SEE_COSTS
        | {
            "tenants.view_auditentry",
            "tenants.view_audit",
            "tenants.export_audit",
            "tenants.view_membership",
            "tenants.view_projectrole",
            "tenants.view_tenantclosing",
            "tenants.view_emergencyaccess",
            "tenants.review_emergency_access",
            "tenants.view_staffappointment",
            "tenants.view_grouprule",
            "tenants.view_federatedidentity",
        }
    ),
}
