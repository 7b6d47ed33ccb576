"""Queries for exports."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.db.models import Q
from django.utils.timezone import now

from accounts.models import User
from core.tenant_managers import OwnedRow, TenantQuerySet
from exports.kinds import all_kinds
from tenants.permissions import tenants_where

# A worker that builds an export reports progress every second.
SILENCE = timedelta(seconds=30)


class ExportQuerySet(TenantQuerySet[OwnedRow]):
    """Queries for exports."""

    def with_names(self) -> Self:
        return self.select_related("tenant", "project", "requested_by")

    def of_kinds(self, *names: str) -> Self:
        return self.filter(kind__in=names)

    def readable_by(self, user: User) -> Self:
        """Leave out confidential files, unless `user` may download them."""
        confidential: dict[str, list[str]] = {}
        for kind in all_kinds():
            if kind.is_confidential and not user.has_perm(kind.permission):
                confidential.setdefault(kind.permission, []).append(kind.name)
        readable = Q()
        for permission, names in confidential.items():
            readable &= ~Q(kind__in=names) | Q(tenant__in=tenants_where(user, permission).values("pk"))
        return self.filter(readable)

    def unfinished(self) -> Self:
        """Exports that wait for a worker or are being built."""
        return self.filter(state__in=["queued", "running"])

    def left_alone(self) -> Self:
        """Exports that have been queued for a while, or whose worker has gone silent: their message was lost."""
        since = now() - SILENCE
        return self.filter(
            Q(state="queued", created_at__lt=since) | Q(state="running", heartbeat_at__lt=since)
        )

    def outlived(self) -> Self:
        """Finished exports whose date has passed. Final exports do not expire, because their file is kept."""
        return self.filter(state="done", expires_at__lte=now(), is_final=False)
