"""Telling owners that their grants end soon."""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.db.models import DateTimeField, F, Value
from django.utils.timezone import now

from accounts.outbox.posting import tell
from catalog.grant_notices import GRANT_ENDS
from catalog.models import Grant

TOLD_AT_ONCE: Final = 500


def tell_of_ends() -> int:
    """Tell the owners of grants that can be renewed from now on; return how many grants. Safe to repeat.

    Each owner is told once of each grant. A suspended grant has nobody who could be told; whoever takes it over is.
    """
    total = 0
    while told := _tell_some():
        total += told
    return total


@transaction.atomic
def _tell_some() -> int:
    moment = now()
    clock = Value(moment, DateTimeField())
    grants = (
        Grant.objects.across_tenants()
        .in_force()
        .filter(end_told_at=None, owner__isnull=False, valid_until__lte=moment + Grant.RENEWABLE)
        .alias(left=F("valid_until") - clock, lived=clock - F("valid_from"))
        # As `Grant.renewable_from`: in the second half of its time.
        .filter(left__lte=F("lived"))
        .select_related("tenant", "owner")
        .select_for_update(of=("self",), skip_locked=True)
        .order_by("valid_until", "pk")[:TOLD_AT_ONCE]
    )
    found = list(grants)
    for grant in found:
        assert grant.owner is not None
        tell(GRANT_ENDS, [grant.owner], subject=grant, tenant=grant.tenant)
    Grant.objects.across_tenants().filter(pk__in=[grant.pk for grant in found]).update(end_told_at=moment)
    return len(found)
