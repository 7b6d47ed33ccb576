"""Random rules over random facts: the answer is exact, and what is stored says it again."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from catalog.rule_table import Answer, Evaluated, Outcome, Rule, RuleTable, Usage, evaluate, same_answer
from catalog.rules import Facts, RiskTier
from tenants.models import DataClass, Limit

TENANTS = ["0190aaaa-0000-7000-8000-000000000001", "0190aaaa-0000-7000-8000-000000000002"]
AMOUNTS = st.decimals(0, 2000, places=2)
REGIONS = st.lists(
    st.sampled_from(["eu", "eu-central-1", "us", "us-east-1", "europe"]), max_size=3, unique=True
)


def some_of(values):
    return st.lists(st.sampled_from(list(values)), max_size=2, unique=True).map(tuple)


FACTS = st.builds(
    Facts,
    is_new_to_project=st.booleans(),
    risk_tier=st.sampled_from(RiskTier.values),
    data_class=st.sampled_from(DataClass.values),
    expected_monthly_cost=st.none() | st.decimals(0, 2000, places=8),
    currency=st.sampled_from(["USD", "EUR"]),
    tenant=st.sampled_from(TENANTS),
    regions=REGIONS.map(tuple),
    limits=st.dictionaries(
        st.sampled_from(Limit.Kind.values), AMOUNTS.map(lambda one: format(one, "f")), max_size=3
    ),
    duration_days=st.integers(1, 730),
)
CONDITIONS = {
    "usage": st.sampled_from(["", *Usage.values]),
    "risk_tiers": some_of(RiskTier.values),
    "data_classes": some_of(DataClass.values),
    "tenant": st.sampled_from(["", *TENANTS]),
    "cost_above": st.none() | AMOUNTS,
    "cost_up_to": st.none() | AMOUNTS,
    "outside_regions": REGIONS.map(tuple),
}
OUTCOMES = st.one_of(
    st.fixed_dictionaries(
        {
            "outcome": st.just(Outcome.REVIEW),
            "track": st.sampled_from(["security", "cost", "legal"]),
            "quorum": st.integers(0, 9),
        }
    ),
    st.just({"outcome": Outcome.AUTOMATIC}),
    st.just({"outcome": Outcome.REJECT, "sentence": "Ask for less."}),
    st.fixed_dictionaries({"outcome": st.just(Outcome.DURATION), "longest_days": st.integers(1, 730)}),
)
LIMITS = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"limit_kind": st.sampled_from(Limit.Kind.values), "limit_above": AMOUNTS}),
)


@st.composite
def rules(draw):
    chosen = draw(st.sets(st.sampled_from(sorted(CONDITIONS)), max_size=3))
    conditions = {name: draw(CONDITIONS[name]) for name in sorted(chosen)}
    return Rule(**draw(OUTCOMES), **conditions, **draw(LIMITS))


TABLES = st.builds(RuleTable, st.just("x"), st.lists(rules(), max_size=8).map(tuple))


@given(TABLES, FACTS)
def test_what_is_stored_says_the_same_again(table, facts):
    said = evaluate(table, facts)
    inputs, result = json.loads(json.dumps([facts.as_inputs(), said.as_json()]))
    assert Facts.from_inputs(inputs) == facts
    again = evaluate(table, Facts.from_inputs(inputs))
    assert again == said
    assert same_answer(result, said.answer, again)


@given(TABLES, FACTS)
def test_tracks_and_quorums_are_those_of_all_rules_that_hold(table, facts):
    said = evaluate(table, facts)
    holding = [(number, rule) for number, rule in enumerate(table.rules, 1) if rule.holds(facts)]
    wanted = [(number, rule) for number, rule in holding if rule.outcome == Outcome.REVIEW]
    assert {one.track: one.quorum for one in said.required} == {
        track: max(rule.quorum for _, rule in wanted if rule.track == track)
        for _, track in ((number, rule.track) for number, rule in wanted)
    }
    for one in said.required:
        assert list(one.rules) == [number for number, rule in wanted if rule.track == one.track]
        assert one.reason
    rejected = any(
        rule.outcome == Outcome.REJECT
        or (rule.outcome == Outcome.DURATION and facts.duration_days > rule.longest_days)
        for _, rule in holding
    )
    assert (said.answer == Answer.REJECTED) == rejected == bool(said.problems)


@given(TABLES, FACTS)
def test_nothing_is_approved_at_once_that_any_rule_holds_back(table, facts):
    said = evaluate(table, facts)
    holding = [rule for rule in table.rules if rule.holds(facts)]
    is_automatic = (
        bool(holding)
        and all(
            rule.outcome == Outcome.AUTOMATIC
            or (rule.outcome == Outcome.DURATION and facts.duration_days <= rule.longest_days)
            for rule in holding
        )
        and any(rule.outcome == Outcome.AUTOMATIC for rule in holding)
    )
    assert (said.answer == Answer.AUTOMATIC) == is_automatic
    if said.answer != Answer.REJECTED:
        assert bool(said.reviews) != is_automatic


@given(TABLES, FACTS, st.randoms())
def test_the_order_of_rules_changes_no_outcome(table, facts, random):
    shuffled = list(table.rules)
    random.shuffle(shuffled)
    one, other = evaluate(table, facts), evaluate(RuleTable("x", tuple(shuffled)), facts)
    assert one.answer == other.answer
    assert {(review.track, review.quorum) for review in one.reviews} == {
        (review.track, review.quorum) for review in other.reviews
    }


def test_another_answer_is_noticed():
    said = Evaluated(Answer.AUTOMATIC, automatic_by=(1,))
    assert not same_answer(said.as_json(), Answer.AUTOMATIC, Evaluated(Answer.AUTOMATIC, automatic_by=(2,)))
    assert not same_answer(said.as_json(), Answer.AUTOMATIC, evaluate(RuleTable("x", ()), FACTS_OF_ONE))


FACTS_OF_ONE = Facts(
    is_new_to_project=True, risk_tier="low", data_class="public", expected_monthly_cost=Decimal(1)
)
