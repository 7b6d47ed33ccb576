"""The permissions of the platform's staff.

docs/roles.md describes the table in words, and a test compares the two. A permission added or removed here reaches
the groups of the roles with the next `migrate` (accounts/apps.py).
"""

from __future__ import annotations

from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _


class StaffRole(models.TextChoices):
    """A platform-side role; the value is also the name of the group that holds its permissions."""

    OPERATOR = "operator", _("Operator")
    SECURITY_REVIEWER = "security-reviewer", _("Security reviewer")
    COMPLIANCE_REVIEWER = "compliance-reviewer", _("Compliance reviewer")
    COST_REVIEWER = "cost-reviewer", _("Cost reviewer")
    CONTROLLER = "controller", _("Controller")
    AUDITOR = "auditor", _("Auditor")


REVIEWERS: Final = frozenset(
    {StaffRole.SECURITY_REVIEWER, StaffRole.COMPLIANCE_REVIEWER, StaffRole.COST_REVIEWER}
)

# Permissions in a tenant that only the platform has, whatever a person's role there.
PLATFORM_PERMISSIONS: Final = frozenset(
    {
        "create_tenant",
        "suspend_tenant",
        "confirm_closing",
        "open_emergency_access",
        "review_emergency_access",
    }
)

# Permissions in a tenant to decide about people. Service accounts never have them: otherwise people who know the token
# of one could raise their own role.
PEOPLE_PERMISSIONS: Final = frozenset(
    {"manage_members", "manage_owners", "manage_service_accounts", "manage_tokens", "propose_closing"}
)

# Global permissions by staff role: "app.codename". A "view" lets the admin list the rows; changes go through actions.
_SEE_REQUESTS = {
    "catalog.view_accessrequest",
    "catalog.view_review",
    "catalog.view_catalogmodel",
    "catalog.view_modelversion",
    "catalog.view_plannedchange",
    "catalog.view_grant",
    "catalog.view_attestation",
    "catalog.view_attestationcampaign",
    "catalog.view_track",
    "catalog.view_rule",
    "catalog.view_ruleset",
    "catalog.view_question",
    "catalog.view_questionset",
    "catalog.view_reviewscope",
    "catalog.view_reviewdelegation",
    "catalog.view_reviewteam",
    "catalog.view_workingcalendar",
    "tenants.view_tenant",
}
_SEE_COSTS = {
    "exports.view_export",
    "billing.view_price",
    "billing.view_usagekind",
    "tenants.view_cost",
    "tenants.view_tenant",
}

STAFF_PERMISSIONS: Final[dict[str, frozenset[str]]] = {
    StaffRole.OPERATOR: frozenset(
        _SEE_REQUESTS
        | _SEE_COSTS
        | {
            "tenants.view_project",
            "accounts.view_user",
            "accounts.erase_person",
            "tenants.view_membership",
            "directory.view_groupmapping",
            "directory.view_federatedidentity",
            "tenants.view_apikey",
            "tenants.view_limit",
            "tenants.view_personalaccesstoken",
            "tenants.view_webhook",
            "tenants.view_webhookdelivery",
            "audit.view_auditentry",
            "tenants.revoke_key",
            *(f"tenants.{permission}" for permission in PLATFORM_PERMISSIONS),
            "tenants.manage_tenant",
            "tenants.manage_members",
            "tenants.manage_projects",
            "tenants.manage_service_accounts",
            "tenants.manage_tokens",
            "tenants.manage_limits",
            "tenants.view_audit",
            "tenants.export_audit",
            "tenants.manage_owners",
            "tenants.propose_closing",
            "tenants.view_projectrole",
            "tenants.view_invitation",
            "tenants.view_tenantclosing",
            "tenants.view_emergencyaccess",
            "accounts.view_staffroleassignment",
            "accounts.assign_staff_role",
            "accounts.manage_people",
            "accounts.view_outboxmessage",
            "accounts.manage_outbox",
            "directory.manage_directory",
            "directory.view_scimtoken",
            "directory.view_directorygroup",
            "billing.publish_price",
            "billing.view_quarantinedevent",
            "catalog.publish_model",
            "catalog.curate_model",
            "catalog.manage_version",
            "catalog.manage_track",
            "catalog.manage_campaign",
            "catalog.manage_ruleset",
            "deployments.view_cluster",
            "deployments.view_deployment",
            "deployments.view_route",
            "deployments.manage_deployment",
            "deployments.manage_route",
            "deployments.view_provider",
            "deployments.view_providercredential",
            "deployments.view_providermodel",
            "deployments.manage_provider",
            "gateway.view_gateway",
            "gateway.view_signingkey",
            "gateway.view_refusedcalls",
            "tenants.view_configchange",
            "gateway.manage_gateway",
        }
    ),
    StaffRole.SECURITY_REVIEWER: frozenset(_SEE_REQUESTS | {"catalog.decide_review"}),
    StaffRole.COMPLIANCE_REVIEWER: frozenset(_SEE_REQUESTS | {"catalog.decide_review"}),
    StaffRole.COST_REVIEWER: frozenset(_SEE_REQUESTS | {"catalog.decide_review"}),
    StaffRole.CONTROLLER: frozenset(_SEE_COSTS | {"tenants.export_cost", "billing.view_quarantinedevent"}),
    StaffRole.AUDITOR: frozenset(
        _SEE_REQUESTS
        | _SEE_COSTS
        | {
            "tenants.view_project",
            "audit.view_auditentry",
            "tenants.view_audit",
            "tenants.export_audit",
            "tenants.view_membership",
            "tenants.view_projectrole",
            "tenants.view_tenantclosing",
            "tenants.view_emergencyaccess",
            "tenants.review_emergency_access",
            "accounts.view_staffroleassignment",
            "directory.view_groupmapping",
            "directory.view_federatedidentity",
        }
    ),
}
