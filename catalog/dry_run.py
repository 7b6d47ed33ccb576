"""What other rules would have said about the requests of the last months. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.utils.timezone import now

from catalog.asked_facts import evaluate_inputs
from catalog.models import RuleEvaluation
from catalog.rule_table import Answer, Evaluated, RuleTable
from core.joined import listed

DAYS: Final = 90
# The newest requests; a few hundred milliseconds.
MOST_TRIED: Final = 5000
MOST_SHOWN: Final = 50


@dataclass(frozen=True)
class Changed:
    """A request whose outcome would be another."""

    request: UUID
    before: Evaluated
    after: Evaluated


@dataclass
class DryRun:
    """How many requests were tried, how many would have another outcome, and the newest of these."""

    tried: int = 0
    changed: int = 0
    shown: list[Changed] = field(default_factory=list)

    @property
    def is_cut(self) -> bool:
        """Whether there may be older requests that were not tried."""
        return self.tried == MOST_TRIED


def dry_run(before: RuleTable, after: RuleTable) -> DryRun:
    """Evaluate both tables over the facts with which requests of the last 90 days were made, newest first."""
    made = (
        RuleEvaluation.objects.across_tenants()
        .filter(occasion=RuleEvaluation.Occasion.RAISED, at__gte=now() - timedelta(days=DAYS))
        .order_by("-at")
        .values_list("access_request", "inputs")[:MOST_TRIED]
    )
    found = DryRun()
    for request, inputs in made.iterator(chunk_size=500):
        one, other = evaluate_inputs(before, inputs), evaluate_inputs(after, inputs)
        found.tried += 1
        if _outcome(one) != _outcome(other):
            found.changed += 1
            if len(found.shown) < MOST_SHOWN:
                found.shown.append(Changed(request, one, other))
    return found


def in_words(said: Evaluated, tracks: Mapping[str, str]) -> str:
    """An outcome in words: its reviews, each with a number of people if rules ask for one, or what happens instead."""
    if said.answer != Answer.REVIEWS:
        return str(Answer(said.answer).label)
    labels = (
        tracks.get(one.track, one.track) + (f" × {one.quorum}" if one.quorum else "") for one in said.reviews
    )
    return listed(labels)


def _outcome(said: Evaluated) -> tuple[str, frozenset[tuple[str, int]]]:
    is_decided = said.answer == Answer.REJECTED
    return said.answer, frozenset() if is_decided else frozenset(
        (one.track, one.quorum) for one in said.reviews
    )
