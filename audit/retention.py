"""Letting old entries go: after AUDIT_RETENTION_DAYS, whole seals at a time, and never a seal itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils.timezone import now

from audit.models import AuditPruning, AuditSeal, StaffRead
from audit.recording import record
from core.scope import platform_scope

log = structlog.get_logger(__name__)

SEALS_A_RUN: Final = 50


@transaction.atomic
def prune_old_entries() -> int:
    """Delete the entries of seals whose newest entry has outlived retention; return how many. Safe to repeat.

    Seals go in the order of the chain, fifty a run. The seals stay and hold the digests, so the chain still proves
    itself, and an entry "audit.pruned" says what went. The database refuses to delete anything else, and anything
    younger than 180 days whatever the setting says.
    """
    with platform_scope("pruning the audit log"), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('audit_prune'))")
        earlier = AuditPruning.objects.aggregate(last=Max("up_to_seal"))["last"] or 0
        cutoff = now() - timedelta(days=settings.AUDIT_RETENTION_DAYS)
        going: list[AuditSeal] = []
        later = AuditSeal.objects.filter(number__gt=earlier).order_by("number").defer("entry_digests")
        for seal in later[:SEALS_A_RUN]:
            if seal.last_at >= cutoff:
                break
            going.append(seal)
        if not going:
            return 0
        last = going[-1]
        line = record(
            "audit.pruned",
            actor=None,
            subject=last,
            up_to_seal=last.number,
            from_seal=earlier + 1,
            entries=sum(len(seal.entry_ids) for seal in going),
            older_than=cutoff,
            seal_sha256=bytes(last.sha256).hex(),
        )
        cursor.execute("SELECT audit_prune(%s, %s)", [last.number, line.pk])
        deleted = int(cursor.fetchone()[0])
        StaffRead.unscoped.filter(hour__lt=cutoff).delete()  # their entries have gone, or go soon
        log.info("audit_pruned", up_to_seal=last.number, entries=deleted)
        return deleted
