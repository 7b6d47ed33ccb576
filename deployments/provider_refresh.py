"""Reading providers' lists of models again from time to time, without anybody who asks."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now

import audit
from core.leaks import without_secrets
from deployments.locks import if_nobody_else
from deployments.models import Provider
from deployments.provider_declared import place_of
from deployments.provider_lists import note_report
from deployments.provider_tests import require_reached
from deployments.providers.listing import Report

EVERY = timedelta(hours=6)
MOST_AT_ONCE = 5
# No other one is asked after that; one alone may take another minute.
MOST_SECONDS = 60


def refresh_due_providers() -> int:
    """Read the lists that are six hours old, a few at once; return how many were asked. Safe to repeat.

    Only of enabled providers that have listed models before: of others there is nothing to read, or only gateways reach
    them. They are asked as a test by hand asks them, with the same checks of addresses. A provider that cannot be
    reached keeps its models, and is asked again six hours later.
    """
    with if_nobody_else("providers: lists of models") as is_ours:
        if not is_ours:
            return 0
        due = Provider.objects.filter(
            is_enabled=True, listed_at__isnull=False, tested_at__lt=now() - EVERY
        ).order_by("tested_at")
        began, asked = monotonic(), 0
        for provider in due[:MOST_AT_ONCE]:
            if monotonic() - began > MOST_SECONDS:
                break
            _refresh(provider)
            asked += 1
        return asked


def _refresh(provider: Provider) -> None:
    """Ask one provider, and save what came; the audit log has an entry only if something is different."""
    report: Report | None = None
    fault = ""
    try:
        report = require_reached(provider)
    except ValidationError as error:
        fault = " ".join(error.messages)[:600]
    with transaction.atomic():
        row = Provider.objects.select_for_update(of=("self",)).filter(pk=provider.pk).first()
        # Deleted, or changed by a person while it was asked, with a test or without.
        if row is None or row.tested_at != provider.tested_at or place_of(row) != place_of(provider):
            return
        old_fault, old = row.fault, _names_of(row)
        if report is not None:
            note_report(row, report)
        else:
            row.tested_at, row.fault, row.answered_in_ms = now(), fault, None
            row.save(update_fields=["tested_at", "fault", "answered_in_ms"])
        names = _names_of(row)
        if names != old or bool(fault) != bool(old_fault):
            audit.record(
                "provider.listed_anew",
                actor=None,
                subject=row,
                fault=fault,
                added=_shown(names - old),
                removed=_shown(old - names),
            )


def _names_of(provider: Provider) -> set[str]:
    """The models in its list now."""
    return set(provider.models.filter(last_seen_at__gte=provider.listed_at).values_list("name", flat=True))


def _shown(names: set[str]) -> str:
    """The first names, and the number of the rest. The provider chose them, so one may look like a secret."""
    first = sorted(map(without_secrets, names))[:10]
    rest = len(names) - len(first)
    return ", ".join(first) + (f" + {rest}" if rest else "")
