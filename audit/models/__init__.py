"""Entries of the audit log, the checkpoints that prove them, and records of what staff read of tenants."""

from audit.models.entries import (
    AuditAnchor,
    AuditCheckpoint,
    AuditEntry,
    AuditPending,
    AuditPruning,
    AuditRedaction,
)
from audit.models.staff_reads import StaffRead

__all__ = [
    "AuditAnchor",
    "AuditCheckpoint",
    "AuditEntry",
    "AuditPending",
    "AuditPruning",
    "AuditRedaction",
    "StaffRead",
]
