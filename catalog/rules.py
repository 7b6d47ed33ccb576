"""The rules that decide which reviews a request needs, and why. Pure: facts in, tracks with reasons out.

FACTS declares the facts that the rules consider, and TRACKS declares the approval steps. The actions handle facts and
tracks according to these two (CONTRIBUTING, "Add a review track").

Every request stores the version together with the result of the rules, so a decision can be explained later with
the rules of its day. If you change a rule, raise VERSION.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from accounts.roles import StaffRole
from tenants.models import DataClass

VERSION: Final = "2026-11.1"
# Cost per month, in the currency of the prices.
COST_WITHOUT_REVIEW: Final = Decimal(500)
_AMOUNT: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)  # as `Facts.as_json` writes it


class RiskTier(models.TextChoices):
    """How much harm a model can do, lowest tier first. The rules compare tiers by this order."""

    LOW = "low", gettext_lazy("Low")
    MODERATE = "moderate", gettext_lazy("Moderate")
    HIGH = "high", gettext_lazy("High")


@dataclass(frozen=True)
class Facts:
    """The facts that the rules consider. `data_class_rank` rises from public (0) to restricted (3).

    FACTS declares every field but the rank, which follows from the data class.
    """

    is_new_to_project: bool
    risk_tier: str
    data_class: str
    data_class_rank: int
    # None: the model has no price.
    expected_monthly_cost: Decimal | None
    currency: str = "USD"

    def as_json(self) -> dict[str, Any]:
        """The form that requests and decisions store: every declared fact, money as a string."""
        return {fact.name: fact.as_json(getattr(self, fact.name)) for fact in FACTS.values()}


@dataclass(frozen=True)
class FactDeclaration:
    """One fact: the tracks that use it, which changes make it worse, and how pages show that.

    Except for `as_json`, the functions take values in the form that `Facts.as_json` writes.
    """

    # The name of the field in `Facts`.
    name: str
    # Approvals on these tracks depend on the fact.
    tracks: tuple[str, ...]
    # True if a submitted value is a valid value of the fact.
    is_readable: Callable[[Any], bool]
    # True if the second value is worse than the first. Called only if they differ.
    is_worse: Callable[[Any, Any], bool]
    # A sentence that the fact has become worse, with %(then)s and %(now)s.
    sentence: str
    # The text of one known value in that sentence, given all current facts.
    shown: Callable[[Any, Mapping[str, Any]], str] = lambda value, present: str(value)
    # Converts the value of the field for JSON.
    as_json: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class TrackDeclaration:
    """One approval step: when a request needs it, and how a new installation begins with it."""

    # The code of a row of `Track`, which says who decides it, how many of them, and within which time.
    name: str
    # A sentence that says why a request with these facts needs the track; empty if it does not.
    rule: Callable[[Facts], str]
    # In a new installation this role decides the track for all tenants and models, within so many working hours.
    first_role: StaffRole
    first_due_hours: int


def _any_change(then: Any, now: Any) -> bool:
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _data_class_in_words(value: str) -> str:
    """Its label within a sentence; the value itself if it is none of ours."""
    return str(DataClass(value).label).lower() if value in DataClass.values else value


def _is_amount(value: Any) -> bool:
    return value is None or (isinstance(value, str) and bool(_AMOUNT.fullmatch(value)))


def _is_higher_cost(then: str | None, now: str | None) -> bool:
    if now is None:
        return True
    return Decimal(now) > (COST_WITHOUT_REVIEW if then is None else Decimal(then))


FACTS: Final = {
    fact.name: fact
    for fact in (
        FactDeclaration(
            name="expected_monthly_cost",
            tracks=("cost",),
            is_readable=_is_amount,
            is_worse=_is_higher_cost,
            sentence=gettext_noop("The expected monthly cost was %(then)s and is now %(now)s."),
            shown=lambda value, present: f"{Decimal(value):,.2f} {present['currency']}",
            as_json=lambda cost: None if cost is None else format(cost, ".8f"),
        ),
        FactDeclaration(
            name="currency",
            tracks=("cost",),
            is_readable=_is_text,
            is_worse=_any_change,
            sentence=gettext_noop("The price was in %(then)s and is now in %(now)s."),
        ),
        FactDeclaration(
            name="risk_tier",
            tracks=("security", "compliance"),
            is_readable=lambda value: value in RiskTier.values,
            is_worse=lambda then, now: RiskTier.values.index(now) > RiskTier.values.index(then),
            sentence=gettext_noop("The model's risk tier was %(then)s and is now %(now)s."),
            shown=lambda value, present: str(RiskTier(value).label).lower(),
        ),
        FactDeclaration(
            name="data_class",
            tracks=("compliance",),
            is_readable=_is_text,
            is_worse=_any_change,
            sentence=gettext_noop("The data class was %(then)s and is now %(now)s."),
            shown=lambda value, present: _data_class_in_words(value),
        ),
        FactDeclaration(
            name="is_new_to_project",
            tracks=("security",),
            is_readable=lambda value: isinstance(value, bool),
            is_worse=lambda then, now: bool(now),
            sentence=gettext_noop("The project no longer has a grant for this model."),
        ),
    )
}


def _why_security(facts: Facts) -> str:
    if facts.is_new_to_project:
        return _("The project has not used this model before.")
    if facts.risk_tier == RiskTier.HIGH:
        return _("The model's risk tier is high.")
    return ""


def _why_compliance(facts: Facts) -> str:
    if facts.data_class_rank >= 2:
        return _("You want to send %(class)s data.") % {"class": _data_class_in_words(facts.data_class)}
    if facts.risk_tier == RiskTier.HIGH:
        return _("The model's risk tier is high.")
    return ""


def _why_cost(facts: Facts) -> str:
    if facts.expected_monthly_cost is None:
        return _("The model has no price yet, so its cost is unknown.")
    if facts.expected_monthly_cost > COST_WITHOUT_REVIEW:
        return _("The expected cost is above %(amount)s %(currency)s a month.") % {
            "amount": COST_WITHOUT_REVIEW,
            "currency": facts.currency,
        }
    return ""


TRACKS: Final = {
    track.name: track
    for track in (
        TrackDeclaration(
            name="security",
            rule=_why_security,
            first_role=StaffRole.SECURITY_REVIEWER,
            first_due_hours=16,
        ),
        TrackDeclaration(
            name="compliance",
            rule=_why_compliance,
            first_role=StaffRole.COMPLIANCE_REVIEWER,
            first_due_hours=24,
        ),
        TrackDeclaration(
            name="cost",
            rule=_why_cost,
            first_role=StaffRole.COST_REVIEWER,
            first_due_hours=8,
        ),
    )
}
# Decides the requests for which no rule requires a track.
TRACK_OF_ALL_OTHERS: Final = TRACKS["security"]


@dataclass(frozen=True)
class NeededReview:
    """One track, by its code, and the sentence that explains why it is needed."""

    track: str
    reason: str


def needed_reviews(facts: Facts) -> list[NeededReview]:
    """The reviews that a request with these facts needs; always at least one."""
    needed = wanted_reviews(facts)
    if not needed:
        reason = _("Another person reviews every request.")
        needed = [NeededReview(TRACK_OF_ALL_OTHERS.name, reason)]
    return needed


def wanted_reviews(facts: Facts) -> list[NeededReview]:
    """The reviews that the rules require for these facts; empty if any one reviewer is enough."""
    return [NeededReview(track.name, reason) for track in TRACKS.values() if (reason := track.rule(facts))]


def worse(track: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The names of the facts of `track` that are worse `now` than `then`, both in the form of `Facts.as_json`.

    An approval covers its own facts and any better ones. These are worse: a higher cost, even by a cent; an unknown
    cost; a cost that has become known and needs a review; another currency; a higher risk tier or data class; a project
    that has not used the model before. A fact that was not recorded counts as worse.
    Raises KeyError for a track that is not in TRACKS.
    """
    name = TRACKS[track].name
    return [
        fact.name
        for fact in FACTS.values()
        if name in fact.tracks and (fact.name not in then or _is_worse(fact, then, now))
    ]


def _is_worse(fact: FactDeclaration, then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    before, after = then[fact.name], now[fact.name]
    return bool(before != after) and fact.is_worse(before, after)


def change_in_words(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """A sentence that says how a fact became worse. Both mappings have it. Raises KeyError if it is not in FACTS."""
    fact = FACTS[name]
    shown = {
        moment: _("unknown") if value is None else fact.shown(value, now)
        for moment, value in (("then", then[name]), ("now", now[name]))
    }
    return _(fact.sentence) % shown


def read_facts(said: Any) -> dict[str, Any]:
    """Read submitted facts that a person has seen. Leaves out invalid values, which then count as worse."""
    return {
        name: value
        for name, value in (said if isinstance(said, Mapping) else {}).items()
        if name in FACTS and FACTS[name].is_readable(value)
    }
