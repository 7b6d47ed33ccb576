"""Tenants, their projects and members, keys, limits and emergency access."""

from tenants.models.emergency import EmergencyAccess
from tenants.models.keys import ApiKey, ConfigChange, ConfigRevision, Limit, RevisionEntry
from tenants.models.tenancy import (
    DataClass,
    Invitation,
    Membership,
    Project,
    ProjectRole,
    Tenant,
    TenantClosing,
)
from tenants.models.tokens import PersonalAccessToken
from tenants.models.webhooks import Webhook, WebhookDelivery

__all__ = [
    "ApiKey",
    "ConfigChange",
    "ConfigRevision",
    "DataClass",
    "EmergencyAccess",
    "Invitation",
    "Limit",
    "Membership",
    "PersonalAccessToken",
    "Project",
    "ProjectRole",
    "RevisionEntry",
    "Tenant",
    "TenantClosing",
    "Webhook",
    "WebhookDelivery",
]
