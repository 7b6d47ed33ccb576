"""Parts of configurations that were not published, because they could not be proved (gateway/proof.py)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog
from django.db import transaction
from django.utils.timezone import now
from prometheus_client import Counter

import audit
from core.leaks import without_secrets
from gateway.models import ConfigRefusal
from gateway.proof import NotProved
from tenants.revision import raise_revision

log = structlog.get_logger(__name__)
REFUSED: Final = Counter(
    "console_configurations_refused_total", "Configurations of which a part was compiled and not published."
)
# At once, of one configuration.
MOST_LOGGED: Final = 20
# Reasons on the page and in the audit entry.
MOST_SAID: Final = 10


@transaction.atomic
def note_refused(faults: Sequence[NotProved], revision: int) -> ConfigRefusal:
    """Keep which parts of the configuration at `revision` were not published, and raise an alarm.

    An audit entry is written when a reason is new, not each time it is found again.
    """
    REFUSED.inc()
    first = faults[0]
    # Queries find them in any order.
    # The audit log refuses what looks like a secret, as a slug may. That must not hold back the rest.
    reasons = sorted({without_secrets(str(fault)) for fault in faults})
    for fault in {str(fault): fault for fault in faults[:MOST_LOGGED]}.values():
        log.error("config.refused", revision=revision, reason=str(fault), **fault.row)
    said = " ".join(reasons[:MOST_SAID])
    if len(reasons) > MOST_SAID:
        said += f" And {len(reasons) - MOST_SAID} more: see the log."
    ConfigRefusal.objects.get_or_create(pk=1)
    row = ConfigRefusal.objects.select_for_update().get(pk=1)
    # Changes may show some of what everything shows.
    is_new = not row.stands or not all(reason in row.reason for reason in reasons[:MOST_SAID])
    row.refused_at = now()
    if is_new:
        row.revision, row.reason = revision, said
    row.save(update_fields=["revision", "reason", "refused_at"])
    if is_new:
        audit.record(
            "configuration.refused",
            actor=None,
            subject=row,
            revision=revision,
            fault=said,
            row={name: without_secrets(value) for name, value in first.row.items()},
        )
    return row


@transaction.atomic
def note_proved(since: datetime) -> bool:
    """End the refusal that was last found at `since`, unless it was found again; gateways then get everything."""
    row = ConfigRefusal.objects.select_for_update().get(pk=1)
    if row.refused_at != since:
        return False
    row.proved_at = now()
    row.save(update_fields=["proved_at"])
    audit.record("configuration.proved", actor=None, subject=row, fault=row.reason)
    raise_revision()
    return True


def standing_refusal() -> ConfigRefusal | None:
    """What was not published and why, while the whole has not been proved again."""
    row = ConfigRefusal.objects.filter(pk=1).first()
    return row if row is not None and row.stands else None
