"""Entries of the audit log, what proves them, and what staff read of tenants."""

from audit.models.entries import (
    AuditEntry,
    AuditPruning,
    AuditRedaction,
    AuditSeal,
    AuditSealExport,
    AuditUnsealed,
)
from audit.models.staff_reads import StaffRead

__all__ = [
    "AuditEntry",
    "AuditPruning",
    "AuditRedaction",
    "AuditSeal",
    "AuditSealExport",
    "AuditUnsealed",
    "StaffRead",
]
