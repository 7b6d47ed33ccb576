"""Running the rules over the facts of a request, and storing what they said."""

from __future__ import annotations

from catalog import rule_table
from catalog.models import AccessRequest, RuleEvaluation
from catalog.rule_table import Evaluated, RuleTable
from catalog.rules import Facts
from core.stored_words import in_english


def table_in_force() -> RuleTable:
    """The rules that hold now."""
    return rule_table.FIRST_TABLE


def evaluate_in_english(facts: Facts) -> tuple[RuleTable, Evaluated]:
    """The rules that hold now, and what they say, in the sentences to store."""
    table = table_in_force()
    with in_english():
        return table, rule_table.evaluate(table, facts)


def record_evaluation(
    access_request: AccessRequest, facts: Facts, table: RuleTable, said: Evaluated, *, occasion: str
) -> RuleEvaluation:
    """Store what the rules said about the request.

    Args:
        access_request: the request.
        facts: what they considered.
        table: the rules.
        said: what they said (`evaluate_in_english`).
        occasion: from `RuleEvaluation.Occasion`.
    """
    return RuleEvaluation.objects.create(
        tenant=access_request.tenant,
        access_request=access_request,
        rule_version=table.version,
        occasion=occasion,
        inputs=facts.as_inputs(),
        answer=said.answer,
        result=said.as_json(),
    )
