"""The facts that rules consider, the tracks that they can require, and when a fact has become worse. Pure.

FACTS declares the facts on which approvals depend, and TRACKS declares the approval steps. The actions handle facts and
tracks according to these two (CONTRIBUTING, "Add a review track"). What the rules say: catalog/rule_table.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from accounts.roles import StaffRole
from tenants.models import DataClass

# Of the rules that a new installation begins with.
VERSION: Final = "2026-11.1"
# Cost per month, in the currency of the prices. An approval of an unknown cost covers a known one up to this.
COST_WITHOUT_REVIEW: Final = Decimal(500)
_AMOUNT: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)  # as `Facts.as_json` writes it


class RiskTier(models.TextChoices):
    """How much harm a model can do, lowest tier first. The rules compare tiers by this order."""

    LOW = "low", gettext_lazy("Low")
    MODERATE = "moderate", gettext_lazy("Moderate")
    HIGH = "high", gettext_lazy("High")


@dataclass(frozen=True)
class Facts:
    """The facts that the rules consider.

    FACTS declares those on which approvals depend. The others stay as they were requested, or matter only to the rules,
    which run again at every decision.
    """

    is_new_to_project: bool
    risk_tier: str
    data_class: str
    # None: the model has no price.
    expected_monthly_cost: Decimal | None
    currency: str = "USD"
    # The id of the tenant that asks.
    tenant: str = ""
    # Where the model is offered.
    regions: tuple[str, ...] = ()
    # The requested numbers, by kind of `tenants.Limit`.
    limits: Mapping[str, str] = field(default_factory=dict)
    duration_days: int = 365

    def as_json(self) -> dict[str, Any]:
        """The form that requests and decisions store: every declared fact, money as a string."""
        return {fact.name: fact.as_json(getattr(self, fact.name)) for fact in FACTS.values()}

    def as_inputs(self) -> dict[str, Any]:
        """The form that evaluations store: all that rules can consider. `from_inputs` reads it."""
        return self.as_json() | {
            "tenant": self.tenant,
            "regions": list(self.regions),
            "limits": dict(self.limits),
            "duration_days": self.duration_days,
        }

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any]) -> Facts:
        """The facts of a stored evaluation. Raises KeyError, TypeError or ValueError for what it did not write."""
        cost = inputs["expected_monthly_cost"]
        return cls(
            is_new_to_project=inputs["is_new_to_project"],
            risk_tier=inputs["risk_tier"],
            data_class=inputs["data_class"],
            expected_monthly_cost=None if cost is None else Decimal(cost),
            currency=inputs["currency"],
            tenant=inputs["tenant"],
            regions=tuple(inputs["regions"]),
            limits=inputs["limits"],
            duration_days=inputs["duration_days"],
        )


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
    """One approval step that rules can require, and how a new installation begins with it."""

    # The code of a row of `Track`, which says who decides it, how many of them, and within which time.
    name: str
    # In a new installation this role decides the track for all tenants and models, within so many working hours.
    first_role: StaffRole
    first_due_hours: int


def _any_change(then: Any, now: Any) -> bool:
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def data_class_in_words(value: str) -> str:
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
            shown=lambda value, present: data_class_in_words(value),
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


TRACKS: Final = {
    track.name: track
    for track in (
        TrackDeclaration(
            name="security",
            first_role=StaffRole.SECURITY_REVIEWER,
            first_due_hours=16,
        ),
        TrackDeclaration(
            name="compliance",
            first_role=StaffRole.COMPLIANCE_REVIEWER,
            first_due_hours=24,
        ),
        TrackDeclaration(
            name="cost",
            first_role=StaffRole.COST_REVIEWER,
            first_due_hours=8,
        ),
    )
}


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
