"""Delegations: a reviewer lets a colleague decide in their place, on one track and for a while."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import CheckConstraint, F, Index, Q
from django.db.models.functions import Least
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import User
from catalog.models.tracks import FIRST_NAMES, Track
from core.ids import uuid7
from core.stored_labels import StoredLabel, of_choices

_DELEGATION = StoredLabel(
    "catalog.reviewdelegation",
    pgettext_lazy("delegation", "%(track)s: %(receiver)s for %(giver)s"),
    track=of_choices(lambda: list(FIRST_NAMES.items())),
)


class ReviewDelegationQuerySet(models.QuerySet["ReviewDelegation"]):
    """Queries for delegations."""

    def not_over(self) -> Self:
        """In force, or to begin later."""
        return self.filter(ended_at=None, ends_at__gt=now())

    def in_force(self) -> Self:
        """Those of this moment."""
        return self.not_over().filter(begins_at__lte=now())

    def of(self, person: User) -> Self:
        """Those that a person gave or received."""
        return self.filter(Q(giver=person) | Q(receiver=person))

    def once_in_force(self) -> Self:
        """Without those that ended before they began."""
        return self.alias(over=Least("ended_at", "ends_at")).filter(over__gt=F("begins_at"))


class ReviewDelegation(models.Model):
    """A reviewer's scopes of one track, in which another person decides for a while in their place.

    Only the giver's own scopes of the moment count, so nobody passes on what they received. Triggers keep the row as it
    was made, but for its end.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    track = models.ForeignKey(
        Track,
        models.PROTECT,
        to_field="code",
        db_column="track",
        verbose_name=_("track"),
        related_name="delegations",
    )
    giver = models.ForeignKey(User, models.PROTECT, verbose_name=_("delegated by"), related_name="+")
    receiver = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("decides in their place"), related_name="+"
    )
    begins_at = models.DateTimeField(_("begins"))
    ends_at = models.DateTimeField(_("ends"))
    # When somebody ended it early.
    ended_at = models.DateTimeField(_("ended early"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    objects = ReviewDelegationQuerySet.as_manager()

    class Meta:
        verbose_name = _("delegation")
        verbose_name_plural = _("delegations")
        constraints = [
            CheckConstraint(name="review_delegation_is_to_another", condition=~Q(giver=F("receiver"))),
            CheckConstraint(name="review_delegation_ends", condition=Q(ends_at__gt=F("begins_at"))),
        ]
        indexes = [Index(fields=["receiver", "track"], name="review_delegation_to")]

    def __str__(self) -> str:
        return _DELEGATION(track=self.track.label, receiver=self.receiver, giver=self.giver)

    @property
    def over_at(self) -> datetime:
        """When it was or will be over."""
        return self.ends_at if self.ended_at is None else min(self.ended_at, self.ends_at)

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None or self.ends_at <= now()
