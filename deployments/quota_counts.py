"""How gateways count our quotas at providers: together in one Redis, or each by itself.

Gateways belong to a package above this one. The package `gateway` registers here at start what it knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext


@dataclass(frozen=True)
class QuotaCounts:
    """The gateways that are alive and heed quotas, and in how many places they count."""

    gateways: int
    # One for all gateways with the same Redis, and one for each gateway without.
    places: int


_registered: list[Callable[[], QuotaCounts]] = []


def register(count: Callable[[], QuotaCounts]) -> None:
    """Register who counts gateways. Call this from AppConfig.ready; the last call counts."""
    _registered[:] = [count]


def quota_counts() -> QuotaCounts:
    """What holds now. One query."""
    return _registered[0]()


def in_words() -> str:
    """Who shares a quota now, for the pages on which it is set and shown. One query."""
    counts = quota_counts()
    if not counts.gateways:
        return _(
            "No gateway is alive now. Gateways share a quota if they count in one Redis (GATEWAY_REDIS_URL); others "
            "count it each by itself."
        )
    if counts.places == 1:
        return ngettext(
            "%(gateways)d gateway counts it now. More gateways share it if all count in one Redis (GATEWAY_REDIS_URL).",
            "%(gateways)d gateways share it now: they count in one Redis.",
            counts.gateways,
        ) % {"gateways": counts.gateways}
    return _(
        "%(gateways)d gateways do not share it: without one Redis for all (GATEWAY_REDIS_URL) they count in %(places)d "
        "places, so together they may send %(places)d times as much. Enter what the provider allows, divided by "
        "%(places)d."
    ) % {"gateways": counts.gateways, "places": counts.places}
