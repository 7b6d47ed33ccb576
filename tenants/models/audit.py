"""The audit trail."""

from __future__ import annotations

from django.db import models
from django.db.models import Index
from django.utils.timezone import now

from tenants.ids import uuid7
from tenants.models.people import User
from tenants.models.tenancy import Tenant
from tenants.scoping import TenantOwned


class AuditEntry(TenantOwned):
    """One deed. Append-only: a trigger refuses UPDATE and DELETE."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, null=True, related_name="+")  # type: ignore[assignment]
    at = models.DateTimeField(default=now, editable=False)
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    actor_label = models.CharField(max_length=254)
    verb = models.CharField(max_length=80)
    subject_type = models.CharField(max_length=80)
    subject_id = models.CharField(max_length=64)
    subject_label = models.CharField(max_length=200)
    details = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)

    class Meta(TenantOwned.Meta):
        verbose_name_plural = "audit entries"
        indexes = [
            Index(fields=["tenant", "-at", "-id"], name="audit_tenant_newest"),
            Index(fields=["subject_type", "subject_id", "at"], name="audit_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label} {self.verb} {self.subject_label}"
