"""A table of rules, and what it says about the facts of a request. Pure: the same table and facts give the same answer.

All rules whose conditions hold count, wherever they stand: a rule only ever adds a review, a rejection or a shorter
duration, so no rule hides another (docs/decisions/0055). The order decides which sentence explains a track.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from catalog.rules import COST_WITHOUT_REVIEW, VERSION, Facts, RiskTier, data_class_in_words
from core.regions import is_allowed
from core.stored_words import retold
from tenants.models import DataClass, Limit


class Outcome(models.TextChoices):
    """What a rule does when its conditions hold."""

    REVIEW = "review", pgettext_lazy("rule", "requires a review")
    AUTOMATIC = "automatic", pgettext_lazy("rule", "approves at once, unless another rule requires a review")
    REJECT = "reject", pgettext_lazy("rule", "rejects the request")
    DURATION = "duration", pgettext_lazy("rule", "limits the duration")


class Usage(models.TextChoices):
    """Whether the project has had a grant for the model before."""

    NEW = "new", gettext_lazy("The project has not used the model before")
    KNOWN = "known", gettext_lazy("The project has used the model before")


class Answer(models.TextChoices):
    """What a whole table says about a request."""

    REVIEWS = "reviews", pgettext_lazy("evaluation", "Reviews")
    AUTOMATIC = "automatic", pgettext_lazy("evaluation", "Approved automatically")
    REJECTED = "rejected", pgettext_lazy("evaluation", "Not allowed")


@dataclass(frozen=True)
class Rule:
    """One rule. A condition that is empty or None holds for every request; all that are set must hold."""

    outcome: str
    # For a review: the code of the track, and how many people at least; 0: as many as the track says.
    track: str = ""
    quorum: int = 0
    # For a rejection: what to change. Otherwise an explanation in place of the one made from the conditions.
    sentence: str = ""
    # For a duration: the most days that may be requested.
    longest_days: int = 0

    usage: str = ""
    risk_tiers: tuple[str, ...] = ()
    data_classes: tuple[str, ...] = ()
    # The id of a tenant.
    tenant: str = ""
    # An unknown cost is above every amount.
    cost_above: Decimal | None = None
    cost_up_to: Decimal | None = None
    # Holds if the model is offered in none of these regions.
    outside_regions: tuple[str, ...] = ()
    # A kind of `tenants.Limit`. A request without such a limit asks for more than any number.
    limit_kind: str = ""
    limit_above: Decimal | None = None

    def holds(self, facts: Facts) -> bool:
        """Whether every condition holds."""
        return all(condition(self, facts) for condition in _CONDITIONS)

    def reason(self, facts: Facts) -> str:
        """Why the rule applies, to the person who asks: its own sentence, or one for each condition."""
        return self.sentence or " ".join(_reasons(self, facts)) or _("A rule for all requests applies.")


@dataclass(frozen=True)
class RuleTable:
    """The rules of one version, in their order, and the track of requests for which no rule says anything."""

    version: str
    rules: tuple[Rule, ...]
    other_track: str = "security"


@dataclass(frozen=True)
class NeededReview:
    """One track, by its code, and why it is needed.

    `quorum` is 0 if no rule says how many people. `rules` has the numbers of the rules that require the track, from 1;
    it is empty if none does, and any other person is enough.
    """

    track: str
    reason: str
    quorum: int = 0
    rules: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rejection:
    """Why the request is not possible, by the field to change."""

    field: str
    reason: str
    rule: int


@dataclass(frozen=True)
class Evaluated:
    """What a table says about some facts. `automatic_by` has the rules that approve, if the answer is automatic."""

    answer: str
    reviews: tuple[NeededReview, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    automatic_by: tuple[int, ...] = ()

    @property
    def required(self) -> tuple[NeededReview, ...]:
        """The reviews that rules require, without the one that every other request gets."""
        return tuple(review for review in self.reviews if review.rules)

    @property
    def problems(self) -> dict[str, str]:
        """Why the request is not possible, by the field to change, in the language of the reader."""
        return {one.field: retold(one.reason) for one in reversed(self.rejections)}

    def as_json(self) -> dict[str, Any]:
        """The form that evaluations store."""
        return {
            "reviews": [
                {"track": one.track, "reason": one.reason, "quorum": one.quorum, "rules": list(one.rules)}
                for one in self.reviews
            ],
            "rejections": [
                {"field": one.field, "reason": one.reason, "rule": one.rule} for one in self.rejections
            ],
            "automatic_by": list(self.automatic_by),
        }


@dataclass
class _Track:
    reason: str
    quorum: int = 0
    rules: list[int] = field(default_factory=list)


def evaluate(table: RuleTable, facts: Facts) -> Evaluated:
    """What the table says. Approval is automatic only if a rule says so and none requires a review or rejects.

    A track that several rules require has the reason of the first and the highest quorum.
    """
    tracks: dict[str, _Track] = {}
    rejections: list[Rejection] = []
    automatic: list[int] = []
    for number, rule in enumerate(table.rules, start=1):
        if not rule.holds(facts):
            continue
        if rule.outcome == Outcome.REVIEW:
            track = tracks.setdefault(rule.track, _Track(rule.reason(facts)))
            track.quorum = max(track.quorum, rule.quorum)
            track.rules.append(number)
        elif rule.outcome == Outcome.AUTOMATIC:
            automatic.append(number)
        elif rule.outcome == Outcome.REJECT:
            rejections.append(Rejection("model", rule.sentence, number))
        elif facts.duration_days > rule.longest_days:
            reason = rule.sentence or _(
                "Such a grant lasts at most %(days)s days. Ask for %(days)s days or fewer."
            ) % {"days": rule.longest_days}
            rejections.append(Rejection("duration_days", reason, number))
    reviews = tuple(
        NeededReview(code, track.reason, track.quorum, tuple(track.rules)) for code, track in tracks.items()
    )
    if rejections:
        return Evaluated(Answer.REJECTED, reviews, tuple(rejections))
    if reviews:
        return Evaluated(Answer.REVIEWS, reviews)
    if automatic:
        return Evaluated(Answer.AUTOMATIC, automatic_by=tuple(automatic))
    return Evaluated(
        Answer.REVIEWS, (NeededReview(table.other_track, _("Another person reviews every request.")),)
    )


def _is_cost_above(rule: Rule, facts: Facts) -> bool:
    cost = facts.expected_monthly_cost
    return rule.cost_above is None or cost is None or cost > rule.cost_above


def _is_cost_up_to(rule: Rule, facts: Facts) -> bool:
    cost = facts.expected_monthly_cost
    return rule.cost_up_to is None or (cost is not None and cost <= rule.cost_up_to)


def _is_outside(rule: Rule, facts: Facts) -> bool:
    allowed = list(rule.outside_regions)
    return not allowed or not any(is_allowed(region, allowed) for region in facts.regions)


def _is_limit_above(rule: Rule, facts: Facts) -> bool:
    if not rule.limit_kind or rule.limit_above is None:
        return True
    asked = facts.limits.get(rule.limit_kind)
    return asked is None or Decimal(asked) > rule.limit_above


_CONDITIONS: Final[tuple[Callable[[Rule, Facts], bool], ...]] = (
    lambda rule, facts: not rule.usage or (rule.usage == Usage.NEW) == facts.is_new_to_project,
    lambda rule, facts: not rule.risk_tiers or facts.risk_tier in rule.risk_tiers,
    lambda rule, facts: not rule.data_classes or facts.data_class in rule.data_classes,
    lambda rule, facts: not rule.tenant or facts.tenant == rule.tenant,
    _is_cost_above,
    _is_cost_up_to,
    _is_outside,
    _is_limit_above,
)


def _reasons(rule: Rule, facts: Facts) -> Iterator[str]:
    if rule.usage == Usage.NEW:
        yield _("The project has not used this model before.")
    elif rule.usage == Usage.KNOWN:
        yield _("The project has used this model before.")
    if rule.risk_tiers:
        yield _("The model's risk tier is %(tier)s.") % {"tier": str(RiskTier(facts.risk_tier).label).lower()}
    if rule.data_classes:
        yield _("You want to send %(class)s data.") % {"class": data_class_in_words(facts.data_class)}
    if rule.tenant:
        yield _("Your organization has a rule of its own.")
    if rule.cost_above is not None and facts.expected_monthly_cost is None:
        yield _("The model has no price yet, so its cost is unknown.")
    elif rule.cost_above is not None:
        amount = {"amount": plain(rule.cost_above), "currency": facts.currency}
        yield _("The expected cost is above %(amount)s %(currency)s a month.") % amount
    if rule.cost_up_to is not None:
        amount = {"amount": plain(rule.cost_up_to), "currency": facts.currency}
        yield _("The expected cost is at most %(amount)s %(currency)s a month.") % amount
    if rule.outside_regions:
        regions = {"regions": ", ".join(rule.outside_regions)}
        yield _("No provider offers the model in these regions: %(regions)s.") % regions
    if rule.limit_kind and rule.limit_above is not None:
        limit = {"limit": Limit.Kind(rule.limit_kind).label, "amount": plain(rule.limit_above)}
        if rule.limit_kind in facts.limits:
            yield _("You ask for a limit above %(amount)s (%(limit)s).") % limit
        else:
            yield _("You ask for no limit of this kind: %(limit)s.") % limit


def plain(number: Decimal) -> str:
    """The number without zeros at its end: 500, 0.25."""
    return format(number.normalize(), "f")


# What `migrate` begins with; operators put other versions in force.
FIRST_TABLE: Final = RuleTable(
    VERSION,
    (
        Rule(Outcome.REVIEW, "security", usage=Usage.NEW),
        Rule(Outcome.REVIEW, "security", risk_tiers=(RiskTier.HIGH,)),
        Rule(Outcome.REVIEW, "compliance", data_classes=(DataClass.CONFIDENTIAL, DataClass.RESTRICTED)),
        Rule(Outcome.REVIEW, "compliance", risk_tiers=(RiskTier.HIGH,)),
        Rule(Outcome.REVIEW, "cost", cost_above=COST_WITHOUT_REVIEW),
    ),
)


def same_answer(stored: Mapping[str, Any], answer: str, again: Evaluated) -> bool:
    """Whether a stored result says what `again` says.

    Sentences are not compared: a later release may word them otherwise.
    """
    return answer == again.answer and _without_words(stored) == _without_words(again.as_json())


def _without_words(result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        part: [
            {k: v for k, v in one.items() if k != "reason"} if isinstance(one, dict) else one for one in said
        ]
        for part, said in result.items()
    }
