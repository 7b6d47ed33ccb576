"""The facts of all items of a request, and what the rules say of them together.

A table of rules (catalog/rule_table.py) considers one item at a time. A request needs each track that one of its items
needs. Its decisions and evaluations store the facts of every item, by the item's id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.utils.translation import gettext as _

from catalog import rules
from catalog.models import Grant, RequestItem
from catalog.prices import monthly_cost
from catalog.rule_table import Answer, Evaluated, NeededReview, Rejection, RuleTable, evaluate

MOST_NAMED: Final = 3
# As items store it, so that rules decide on what is stored.
STORED_COST: Final = Decimal("0.00000001")


@dataclass(frozen=True)
class ItemFacts:
    """One item of a request, stored or not, and its facts."""

    item: RequestItem
    facts: rules.Facts


# Every item of one request.
AskedFacts = list[ItemFacts]


def facts_of(item: RequestItem, duration_days: int) -> rules.Facts:
    """The facts that the rules consider, as they are now. The item needs its project, with its tenant, and model."""
    project, model = item.project, item.model
    estimate = monthly_cost(model.name, item.expected_tokens_per_day)
    had_grant = Grant.objects.in_tenant(project.tenant).filter(project=project, model=model).exists()
    return rules.Facts(
        is_new_to_project=not had_grant,
        risk_tier=model.risk_tier,
        data_class=item.data_class,
        expected_monthly_cost=estimate.amount.quantize(STORED_COST) if estimate else None,
        currency=estimate.currency if estimate else "USD",
        tenant=str(project.tenant_id),
        regions=tuple(model.regions),
        limits=item.limits,
        duration_days=duration_days,
    )


def facts_of_items(items: Iterable[RequestItem], duration_days: int) -> AskedFacts:
    """The present facts of each item of a request for so many days. Items need project, tenant and model."""
    return [ItemFacts(item, facts_of(item, duration_days)) for item in items]


def as_inputs(asked: AskedFacts) -> dict[str, dict[str, Any]]:
    """The form that evaluations store: by id of the item, all that rules can consider. `evaluate_inputs` reads it."""
    return {str(one.item.pk): one.facts.as_inputs() for one in asked}


def as_json(asked: AskedFacts) -> dict[str, dict[str, Any]]:
    """The form that requests and decisions store: by id of the item, its facts."""
    return {str(one.item.pk): one.facts.as_json() for one in asked}


def read_facts(said: Any) -> dict[str, dict[str, Any]]:
    """Read submitted facts that a person has seen. Leaves out invalid values, which then count as worse."""
    return {
        str(item): rules.read_facts(facts)
        for item, facts in (said if isinstance(said, Mapping) else {}).items()
    }


def evaluate_items(table: RuleTable, asked: AskedFacts) -> Evaluated:
    """What the table says of all items together; sentences name the items that they are about unless it is all."""
    return _together([(str(one.item), evaluate(table, one.facts)) for one in asked])


def evaluate_inputs(table: RuleTable, inputs: Mapping[str, Any]) -> Evaluated:
    """What the table says of the facts of a stored evaluation. Raises as `Facts.from_inputs` does."""
    facts = {item: rules.Facts.from_inputs(stored) for item, stored in inputs.items()}
    return _together([(item, evaluate(table, facts[item])) for item in sorted(facts)])


def _together(said: Sequence[tuple[str, Evaluated]]) -> Evaluated:
    """One answer for all items: rejected if one is, with each review that one requires, automatic only if all are.

    Raises IndexError without items.
    """
    if len(said) == 1:
        return said[0][1]
    tracks: dict[str, list[tuple[str, NeededReview]]] = {}
    rejections: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for name, one in said:
        for review in one.required:
            tracks.setdefault(review.track, []).append((name, review))
        for rejection in one.rejections:
            found = rejections.setdefault((rejection.field, rejection.rule), [])
            found.append((name, rejection.reason))
    reviews = tuple(
        NeededReview(
            track,
            _of_items([(name, one.reason) for name, one in found], len(said)),
            max(one.quorum for _name, one in found),
            tuple(sorted({rule for _name, one in found for rule in one.rules})),
        )
        for track, found in tracks.items()
    )
    refused = tuple(
        Rejection(field, _of_items(found, len(said)), rule) for (field, rule), found in rejections.items()
    )
    if refused:
        return Evaluated(Answer.REJECTED, reviews, refused)
    if reviews:
        return Evaluated(Answer.REVIEWS, reviews)
    if all(one.answer == Answer.AUTOMATIC for _name, one in said):
        by = {rule for _name, one in said for rule in one.automatic_by}
        return Evaluated(Answer.AUTOMATIC, automatic_by=tuple(sorted(by)))
    return next(one for _name, one in said if one.answer != Answer.AUTOMATIC)


def worse_in_words(track: str, then: Mapping[str, Any], asked: AskedFacts) -> str:
    """The same in words; empty if no fact is worse. Earlier facts that are not recorded count as worse."""
    return _said(asked, lambda one: _changes(track, _then(then, one), one.facts, names_unrecorded=True))


def known_changes(track: str, then: Mapping[str, Any], asked: AskedFacts) -> str:
    """In words, the recorded facts of `track` that are worse now than `then`; empty if none are."""
    return _said(asked, lambda one: _changes(track, _then(then, one), one.facts, names_unrecorded=False))


def _then(then: Mapping[str, Any], one: ItemFacts) -> Mapping[str, Any]:
    facts: Mapping[str, Any] = then.get(str(one.item.pk)) or {}
    return facts


def _changes(track: str, then: Mapping[str, Any], facts: rules.Facts, *, names_unrecorded: bool) -> str:
    present = facts.as_json()
    names = rules.worse(track, then, present)
    words = [rules.change_in_words(name, then, present) for name in names if name in then]
    if names_unrecorded and len(words) < len(names):
        words.append(_("Some of the earlier facts are not recorded."))
    return " ".join(words)


def _said(asked: AskedFacts, words_of: Callable[[ItemFacts], str]) -> str:
    said = [(str(one.item), words) for one in asked if (words := words_of(one))]
    return _of_items(said, len(asked))


def _of_items(said: Sequence[tuple[str, str]], count: int) -> str:
    """The sentences, each with the names of the items that it is about unless it is about all `count` of them."""
    by_words: dict[str, list[str]] = {}
    for name, words in said:
        by_words.setdefault(words, []).append(name)
    return " ".join(
        words
        if len(names) == count
        else _("Because of %(items)s: %(reason)s") % {"items": _names(names), "reason": words}
        for words, names in by_words.items()
    )


def _names(names: list[str]) -> str:
    said = "; ".join(names[:MOST_NAMED])
    return said if len(names) <= MOST_NAMED else f"{said}; +{len(names) - MOST_NAMED}"
