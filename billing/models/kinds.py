"""Kinds of usage."""

from __future__ import annotations

from django.db import models
from django.db.models import CheckConstraint, Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from billing.kinds import Unit


class UsageKind(models.Model):
    """A kind of usage: tokens of the prompt, seconds of audio, searches. Events and sums hold its number.

    A row is never deleted or renamed, and never changes once it is described (`is_known`): its number is in the ledger.
    Its insert gives it the next number (migration 0002).
    """

    id = models.SmallIntegerField(primary_key=True, editable=False)
    # As gateways and price lists write it.
    name = models.CharField(_("name"), max_length=40, unique=True)
    # Empty for the kinds that the code declares: their label is translated.
    label = models.CharField(_("label"), max_length=60, blank=True)
    unit = models.CharField(_("unit"), max_length=12, choices=Unit)
    # Whole numbers of it are multiples of 1/scale units.
    scale = models.IntegerField(_("scale"), default=1)
    # How many units a price is usually quoted for.
    price_for = models.IntegerField(_("price for"), default=1_000_000)
    # Whether a call that used it without a price for it is not priced.
    needs_price = models.BooleanField(_("needs a price"), default=True)
    # False: a gateway named it, and nobody has described it yet.
    is_known = models.BooleanField(_("described"), default=True)
    # 10^(16·(id − 1)): where its count is in packed usage.
    place = models.DecimalField(max_digits=1000, decimal_places=0, editable=False)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    class Meta:
        db_table = "usage_kind"
        verbose_name = _("kind of usage")
        verbose_name_plural = _("kinds of usage")
        constraints = [
            CheckConstraint(
                name="usage_kind_name_is_a_slug", condition=Q(name__regex=r"^[a-z][a-z0-9_]{0,39}$")
            ),
            CheckConstraint(name="usage_kind_scale_is_positive", condition=Q(scale__gte=1, price_for__gte=1)),
            CheckConstraint(name="usage_kind_unit_is_known", condition=~Q(unit="unknown", is_known=True)),
        ]

    def __str__(self) -> str:
        return self.name
