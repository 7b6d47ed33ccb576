"""Delete old entries after AUDIT_RETENTION_DAYS, whole checkpoints at a time, but never a checkpoint itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils.timezone import now

from audit.models import AuditCheckpoint, AuditPruning, StaffRead
from audit.recording import record
from core.scope import platform_scope

log = structlog.get_logger(__name__)

CHECKPOINTS_A_RUN: Final = 50


@transaction.atomic
def prune_old_entries() -> int:
    """Delete the entries of checkpoints whose newest entry is past retention; return how many. Safe to repeat.

    It processes checkpoints in the order of the chain, fifty per run. The checkpoints stay and hold the digests, so the
    chain still verifies; an entry "audit.pruned" records the deletion. The database rejects deleting anything else, or
    anything younger than 180 days, whatever the setting says.
    """
    with platform_scope("pruning the audit log"), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('audit_prune'))")
        earlier = AuditPruning.objects.aggregate(last=Max("up_to_checkpoint"))["last"] or 0
        cutoff = now() - timedelta(days=settings.AUDIT_RETENTION_DAYS)
        going: list[AuditCheckpoint] = []
        later = AuditCheckpoint.objects.filter(number__gt=earlier).order_by("number").defer("entry_digests")
        for checkpoint in later[:CHECKPOINTS_A_RUN]:
            if checkpoint.last_at >= cutoff:
                break
            going.append(checkpoint)
        if not going:
            return 0
        last = going[-1]
        line = record(
            "audit.pruned",
            actor=None,
            subject=last,
            up_to_checkpoint=last.number,
            from_checkpoint=earlier + 1,
            entries=sum(len(checkpoint.entry_ids) for checkpoint in going),
            older_than=cutoff,
            checkpoint_sha256=bytes(last.sha256).hex(),
        )
        cursor.execute("SELECT audit_prune(%s, %s)", [last.number, line.pk])
        deleted = int(cursor.fetchone()[0])
        # Their entries are already deleted, or soon will be.
        StaffRead.unscoped.filter(hour__lt=cutoff).delete()
        log.info("audit_pruned", up_to_checkpoint=last.number, entries=deleted)
        return deleted
