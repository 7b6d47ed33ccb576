"""Which configuration each gateway runs, what it refused, and the alarm when one lags or refuses."""

from __future__ import annotations

from typing import Any

import structlog
from django.conf import settings
from django.db.models import QuerySet
from django.utils.timesince import timesince
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from gateway.models import Gateway

log = structlog.get_logger(__name__)


def lag_in_words(gateway: Any) -> str:
    """How far a gateway is behind, for people. The gateway comes from `with_lag`."""
    behind = gateway.newest - gateway.acknowledged_revision
    if behind <= 0:
        return _("none")
    words = ngettext("%(count)d revision", "%(count)d revisions", behind) % {"count": behind}
    if gateway.behind_since is None:
        return words
    return _("%(revisions)s, for %(time)s") % {"revisions": words, "time": timesince(gateway.behind_since)}


def lagging() -> QuerySet[Any]:
    """Gateways in service that have lacked a revision for GATEWAY_LAG_SECONDS, the longest first."""
    since = now() - settings.GATEWAY_LAG_TIME
    rows: Any = Gateway.objects.in_service().with_lag()
    late: QuerySet[Any] = rows.filter(behind_since__lt=since).order_by("behind_since", "name")
    return late


def refusing() -> QuerySet[Gateway]:
    """Gateways in service whose last acknowledgement names a revision that they refused."""
    return Gateway.objects.in_service().filter(report__refused__revision__isnull=False).order_by("name")


def raise_alarms() -> tuple[list[str], list[str]]:
    """Log an error for each gateway that lags or refuses; return their names. Safe to repeat."""
    late, refused = list(lagging()), list(refusing())
    for gateway in late:
        log.error(
            "gateway.lags",
            gateway=gateway.name,
            serves=gateway.acknowledged_revision,
            since=gateway.behind_since.isoformat(),
            last_seen=gateway.last_seen_at.isoformat() if gateway.last_seen_at else None,
        )
    for gateway in refused:
        said = gateway.report["refused"]
        log.error("gateway.refuses", gateway=gateway.name, revision=said["revision"], reason=said["reason"])
    return [gateway.name for gateway in late], [gateway.name for gateway in refused]
