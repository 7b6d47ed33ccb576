"""How gateways handle the calls of a route: time-outs, connections, retries, probes and sessions."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

MOST_CONNECT_SECONDS = 60
MOST_SECONDS = 3_600
MOST_CALL_SECONDS = 86_400
MOST_CONNECTIONS = 4_096
MOST_ATTEMPTS = 10
MOST_RETRIES_PER_SECOND = 1_000


def _between(low: int, high: int) -> list[MinValueValidator | MaxValueValidator]:
    return [MinValueValidator(low), MaxValueValidator(high)]


class Probes(models.TextChoices):
    """Which targets gateways ask, beside calls, whether they answer."""

    DEFAULT = "", _("Our own engines once they are ejected, providers never")
    OFF = "off", _("None")
    EJECTED = "ejected", _("Ejected targets, providers included")
    IDLE = "idle", _("Ejected and idle targets, providers included")


class Handled(models.Model):
    """The columns of a route that say how its calls are handled. An empty one means the default."""

    HANDLING: ClassVar[tuple[str, ...]] = (
        "connect_timeout_seconds",
        "first_byte_timeout_seconds",
        "idle_timeout_seconds",
        "call_timeout_seconds",
        "most_connections",
        "most_attempts",
        "retry_percent",
        "retries_per_second",
        "probes",
        "is_sticky",
    )

    connect_timeout_seconds = models.PositiveIntegerField(
        _("time-out of connecting"),
        null=True,
        blank=True,
        validators=_between(1, MOST_CONNECT_SECONDS),
        help_text=_("In seconds. Empty: as the provider states, or 3."),
    )
    first_byte_timeout_seconds = models.PositiveIntegerField(
        _("time-out of the first byte"),
        null=True,
        blank=True,
        validators=_between(1, MOST_SECONDS),
        help_text=_("In seconds. Empty: as the provider states, or 600. Models that think answer late."),
    )
    idle_timeout_seconds = models.PositiveIntegerField(
        _("time-out between bytes"),
        null=True,
        blank=True,
        validators=_between(1, MOST_SECONDS),
        help_text=_("In seconds. Empty: as the provider states, or 120."),
    )
    call_timeout_seconds = models.PositiveIntegerField(
        _("time-out of a whole call"),
        null=True,
        blank=True,
        validators=_between(1, MOST_CALL_SECONDS),
        help_text=_("In seconds, with all of its attempts. Empty: none."),
    )
    most_connections = models.PositiveIntegerField(
        _("connections to each target"),
        null=True,
        blank=True,
        validators=_between(1, MOST_CONNECTIONS),
        help_text=_(
            "How many calls each worker of a gateway has in progress at most at each address of a target. Empty: 1,024."
        ),
    )
    most_attempts = models.PositiveIntegerField(
        _("attempts of a call"),
        default=3,
        validators=_between(1, MOST_ATTEMPTS),
        help_text=_("How often a call is sent at most, if targets fail. 1: never again."),
    )
    retry_percent = models.PositiveIntegerField(
        _("retries in percent"),
        default=20,
        validators=_between(0, 100),
        help_text=_("Which part of the calls of the last ten seconds a gateway sends again at most."),
    )
    retries_per_second = models.PositiveIntegerField(
        _("retries a second beside these"),
        default=10,
        validators=_between(0, MOST_RETRIES_PER_SECOND),
        help_text=_("So that a route with few calls can retry at all."),
    )
    probes = models.CharField(
        _("probes"),
        max_length=10,
        blank=True,
        default=Probes.DEFAULT,
        choices=Probes,
        help_text=_(
            "Gateways ask these for their list of models, which may count against a provider's limits."
        ),
    )
    is_sticky = models.BooleanField(
        _("calls of a session stay together"),
        default=False,
        help_text=_(
            "Calls with the same x-session-id or prompt_cache_key go to the same target while it answers."
        ),
    )

    class Meta:
        abstract = True


# As the validators say, for rows that no form has seen.
HANDLING_IS_POSSIBLE = (
    (Q(connect_timeout_seconds=None) | Q(connect_timeout_seconds__gte=1))
    & (Q(first_byte_timeout_seconds=None) | Q(first_byte_timeout_seconds__gte=1))
    & (Q(idle_timeout_seconds=None) | Q(idle_timeout_seconds__gte=1))
    & (Q(call_timeout_seconds=None) | Q(call_timeout_seconds__gte=1))
    & (Q(most_connections=None) | Q(most_connections__gte=1))
    & Q(most_attempts__gte=1, most_attempts__lte=MOST_ATTEMPTS)
    & Q(retry_percent__lte=100, probes__in=Probes.values)
)
