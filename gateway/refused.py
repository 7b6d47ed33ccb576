"""Configurations that were not published, because they could not be proved (gateway/proof.py)."""

from __future__ import annotations

from typing import Final

import structlog
from django.db import transaction
from django.utils.timezone import now
from prometheus_client import Counter

import audit
from gateway.models import ConfigRefusal
from gateway.proof import NotProved

log = structlog.get_logger(__name__)
REFUSED: Final = Counter(
    "console_configurations_refused_total", "Configurations that were compiled and not published."
)


@transaction.atomic
def note_refused(fault: NotProved, revision: int) -> ConfigRefusal:
    """Keep why the configuration at `revision` was not published, and raise an alarm.

    An audit entry is written when the reason is new, not each time a gateway asks again.
    """
    REFUSED.inc()
    log.error("config.refused", revision=revision, reason=str(fault), **fault.row)
    ConfigRefusal.objects.get_or_create(pk=1)
    row = ConfigRefusal.objects.select_for_update().get(pk=1)
    is_new = row.reason != str(fault) or not row.stands
    row.revision, row.reason, row.refused_at = revision, str(fault), now()
    row.save()
    if is_new:
        audit.record(
            "configuration.refused",
            actor=None,
            subject=row,
            revision=revision,
            fault=str(fault),
            row=fault.row,
        )
    return row


def standing_refusal() -> ConfigRefusal | None:
    """The refusal of the newest configuration, while gateways still get no newer one."""
    row = ConfigRefusal.objects.filter(pk=1).first()
    return row if row is not None and row.stands else None
