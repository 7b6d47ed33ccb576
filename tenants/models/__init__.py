"""WHO: people, tenants, projects, memberships, keys, limits, tokens, the directory, the audit trail."""

from tenants.models.audit import (
    AuditEntry,
    AuditPruning,
    AuditRedaction,
    AuditSeal,
    AuditSealExport,
    AuditUnsealed,
)
from tenants.models.directory import DirectoryGroup, GroupRule, ScimToken
from tenants.models.keys import ApiKey, ConfigRevision, Limit
from tenants.models.people import (
    FederatedIdentity,
    PersonalAccessToken,
    Session,
    Source,
    StaffAppointment,
    User,
)
from tenants.models.tenancy import (
    DataClass,
    Invitation,
    Membership,
    Project,
    ProjectRole,
    Tenant,
    TenantClosing,
)

__all__ = [
    "ApiKey",
    "AuditEntry",
    "AuditPruning",
    "AuditRedaction",
    "AuditSeal",
    "AuditSealExport",
    "AuditUnsealed",
    "ConfigRevision",
    "DataClass",
    "DirectoryGroup",
    "FederatedIdentity",
    "GroupRule",
    "Invitation",
    "Limit",
    "Membership",
    "PersonalAccessToken",
    "Project",
    "ProjectRole",
    "ScimToken",
    "Session",
    "Source",
    "StaffAppointment",
    "Tenant",
    "TenantClosing",
    "User",
]
