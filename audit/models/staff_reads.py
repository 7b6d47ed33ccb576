"""What staff read of tenants, per hour (docs/audit.md)."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Index, UniqueConstraint

from core.ids import uuid7
from core.tenant_managers import TenantOwned


class StaffRead(TenantOwned):
    """The kinds of pages that one staff member read of one tenant in one hour. Has one audit entry.

    Triggers let `kinds` grow and reject every other change, and deletion before retention ends.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    hour = models.DateTimeField()  # in UTC, its beginning
    kinds = ArrayField(models.CharField(max_length=120))  # names of routes
    # Not a foreign key, because entries are pruned by whole checkpoints.
    entry_id = models.UUIDField(null=True, unique=True)

    class Meta(TenantOwned.Meta):
        constraints = [
            UniqueConstraint(fields=["person", "tenant", "hour"], name="staff_read_once_an_hour"),
        ]
        indexes = [Index(fields=["hour"], name="staff_read_by_hour")]

    def __str__(self) -> str:
        return f"{self.person} in {self.tenant}, {self.hour:%Y-%m-%d %H}:00 UTC"
