"""What operators do with kinds of usage: add one, and describe one that a gateway named first."""

from __future__ import annotations

from types import NoneType
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from billing.kinds import Unit
from billing.known_kinds import LOCK, MOST_KINDS, NAME
from billing.models import UsageKind
from core.errors import Conflict
from core.names import clean_name

MOST_UNITS = 1_000_000_000
_ADD = """
INSERT INTO usage_kind (name, label, unit, scale, price_for, needs_price, is_known, created_at)
SELECT %(name)s, %(label)s, %(unit)s, %(scale)s, %(price_for)s, true, true, now()
 WHERE (SELECT count(*) FROM usage_kind) < %(most)s
ON CONFLICT (name) DO NOTHING RETURNING id
"""


def _require_undescribed(_user: User | None, kind: UsageKind) -> None:
    if kind.is_known:
        raise Conflict(
            _("%(kind)s is described already. Its number is in the ledger, so it stays as it is.")
            % {"kind": kind.name}
        )


@action(NoneType, permission="billing.publish_price")
@transaction.atomic
def add_usage_kind(
    name: str, *, label: str, unit: str, scale: int, price_for: int, by: User | None
) -> UsageKind:
    """Add a kind of usage. It stays: nobody can rename, change or delete it.

    A call that uses it without a price for it is not priced.

    Args:
        name: as gateways and price lists write it: lower-case letters, digits and underscores.
        label: its name for people.
        unit: a Unit other than UNKNOWN.
        scale: whole numbers of it are multiples of 1/scale units.
        price_for: how many units a price is usually quoted for.
        by: the operator; None: the platform.

    Raises:
        PermissionDenied: `by` may not publish prices.
        ValidationError: a value is outside its range, or there are MOST_KINDS already.
        Conflict: there is such a kind.
    """
    add_usage_kind.require(by, None)
    if not NAME.fullmatch(name):
        raise ValidationError(
            {"name": _("Use up to 40 lower-case letters, digits and underscores, a letter first.")}
        )
    facts = _facts(label, unit, scale, price_for)
    if UsageKind.objects.filter(name=name).exists():
        raise Conflict(_("There is a kind %(kind)s already.") % {"kind": name})
    with connection.cursor() as cursor:
        cursor.execute(LOCK)
        cursor.execute(_ADD, facts | {"name": name, "most": MOST_KINDS})
        row = cursor.fetchone()
    if row is None:
        raise ValidationError(
            _("There are %(most)d kinds already, or someone else has just added this one.")
            % {"most": MOST_KINDS}
        )
    kind = UsageKind.objects.get(pk=row[0])
    audit.record("usage_kind.added", actor=by, subject=kind, **facts)
    return kind


@action(UsageKind, permission="billing.publish_price", state=_require_undescribed)
@transaction.atomic
def describe_usage_kind(
    pk: int, *, label: str, unit: str, scale: int, price_for: int, by: User | None
) -> UsageKind:
    """Say what a kind is that a gateway named before the console knew it. From then on it stays as it is.

    Usage recorded so far keeps its numbers. If the unit is the token, it counts among the tokens from now on.
    `pk` is its number; `label`, `unit`, `scale` and `price_for` are as in `add_usage_kind`.

    Raises:
        UsageKind.DoesNotExist: there is no such kind.
        PermissionDenied: `by` may not publish prices.
        Conflict: it is described already.
        ValidationError: a value is outside its range.
    """
    kind = UsageKind.objects.select_for_update().get(pk=pk)
    describe_usage_kind.require(by, kind)
    facts = _facts(label, unit, scale, price_for)
    for name, value in facts.items():
        setattr(kind, name, value)
    kind.is_known = True
    kind.save(update_fields=["label", "unit", "scale", "price_for", "is_known"])
    audit.record("usage_kind.described", actor=by, subject=kind, **facts)
    return kind


def _facts(label: str, unit: str, scale: int, price_for: int) -> dict[str, Any]:
    """The facts of a kind, checked. Raises ValidationError."""
    label = clean_name(label, 60)
    if not label:
        raise ValidationError({"label": _("Enter a name for people.")})
    if unit not in Unit.values or unit == Unit.UNKNOWN:
        raise ValidationError({"unit": _("Choose a unit.")})
    for name, number in (("scale", scale), ("price_for", price_for)):
        if not 1 <= number <= MOST_UNITS:
            raise ValidationError({name: _("Enter a number from 1 to %(most)d.") % {"most": MOST_UNITS}})
    return {"label": label, "unit": unit, "scale": scale, "price_for": price_for}
