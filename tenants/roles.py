"""Who may do what: tenant roles carry object permissions on their tenant, staff roles global ones.

Both tables are read aloud by docs/concepts.md; changing one takes effect at the next request.
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
    KEYS = "keys", _("Claim, rotate and revoke keys")
    COSTS = "costs", _("Build and download cost reports")
    MANAGE = "manage", _("Manage projects, members and limits")
    PLATFORM = "platform", _("Act as platform staff")


REVIEWERS: Final = frozenset(
    {StaffRole.SECURITY_REVIEWER, StaffRole.COMPLIANCE_REVIEWER, StaffRole.COST_REVIEWER}
)

# Permissions on a tenant, declared in Tenant.Meta. Every member sees the tenant; these are the deeds.
_DEVELOPER = {"request_access", "claim_key", "revoke_key", "view_cost"}
_FINANCE = {"view_cost", "export_cost"}
_ADMIN = _DEVELOPER | _FINANCE | {"manage_members", "manage_limits", "view_audit"}

ROLE_PERMISSIONS: Final[dict[str, frozenset[str]]] = {
    Role.OWNER: frozenset(_ADMIN),
    Role.ADMIN: frozenset(_ADMIN),
    Role.DEVELOPER: frozenset(_DEVELOPER),
    Role.FINANCE: frozenset(_FINANCE),
    Role.VIEWER: frozenset({"view_cost"}),
}

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
            "tenants.view_apikey",
            "tenants.view_limit",
            "tenants.view_auditentry",
            "tenants.revoke_key",
            "tenants.manage_members",
            "tenants.manage_limits",
            "tenants.view_audit",
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
        | {"tenants.view_auditentry", "tenants.view_audit", "tenants.view_membership"}
    ),
}
