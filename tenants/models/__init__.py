"""WHO: people, tenants, projects, memberships, keys, limits, tokens, the directory, the audit trail."""

from tenants.models.answers import StoredAnswer
from tenants.models.audit import (
    AuditEntry,
    AuditPruning,
    AuditRedaction,
    AuditSeal,
    AuditSealExport,
    AuditUnsealed,
)
from tenants.models.directory import (
    DirectoryGroup,
    DirectoryPerson,
    GroupRule,
    GroupRulesDue,
    ScimToken,
)
from tenants.models.emergency import EmergencyAccess
from tenants.models.keys import ApiKey, ConfigChange, ConfigRevision, Limit
from tenants.models.people import (
    FederatedIdentity,
    PersonalAccessToken,
    Session,
    Source,
    SpentLogoutToken,
    StaffAppointment,
    User,
)
from tenants.models.second_factor import RecoveryCode, SecondFactor
from tenants.models.staff_reads import StaffRead
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
    "ConfigChange",
    "ConfigRevision",
    "DataClass",
    "DirectoryGroup",
    "DirectoryPerson",
    "EmergencyAccess",
    "FederatedIdentity",
    "GroupRule",
    "GroupRulesDue",
    "Invitation",
    "Limit",
    "Membership",
    "PersonalAccessToken",
    "Project",
    "ProjectRole",
    "RecoveryCode",
    "ScimToken",
    "SecondFactor",
    "Session",
    "Source",
    "SpentLogoutToken",
    "StaffAppointment",
    "StaffRead",
    "StoredAnswer",
    "Tenant",
    "TenantClosing",
    "User",
]
