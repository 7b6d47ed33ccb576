"""Running the rules over the facts of a request, and storing what they said."""

from __future__ import annotations

from django.utils.translation import gettext as _

from catalog.asked_facts import AskedFacts, as_inputs, evaluate_items
from catalog.models import AccessRequest, RuleEvaluation, RuleSet
from catalog.rule_table import Evaluated, RuleTable
from core.errors import Conflict
from core.stored_words import in_english


def table_in_force() -> RuleTable:
    """The rules that hold now."""
    return RuleSet.objects.get(state=RuleSet.State.IN_FORCE).table


def lock_table_in_force() -> RuleTable:
    """The rules that hold now, and until the caller's transaction ends.

    Raises Conflict if people change them twice while this waits.
    """
    for _attempt in range(2):
        # Others may be put in force while this waits: then it finds no row that still is, and looks again.
        for rule_set in RuleSet.objects.raw(
            "SELECT * FROM catalog_ruleset WHERE state = 'in_force' FOR SHARE"
        ):
            return rule_set.table
    raise Conflict(_("The rules are just being changed. Try again."), code="rules_changed")


def evaluate_in_english(asked: AskedFacts) -> tuple[RuleTable, Evaluated]:
    """The rules, which then stay in force until the transaction ends, and what they say, in the sentences to store."""
    table = lock_table_in_force()
    with in_english():
        return table, evaluate_items(table, asked)


def record_evaluation(
    access_request: AccessRequest, asked: AskedFacts, table: RuleTable, said: Evaluated, *, occasion: str
) -> RuleEvaluation:
    """Store what the rules said about the request.

    Args:
        access_request: the request.
        asked: what they considered.
        table: the rules.
        said: what they said (`evaluate_in_english`).
        occasion: from `RuleEvaluation.Occasion`.
    """
    return RuleEvaluation.objects.create(
        tenant=access_request.tenant,
        access_request=access_request,
        rule_set_id=table.version,
        occasion=occasion,
        inputs=as_inputs(asked),
        answer=said.answer,
        result=said.as_json(),
    )
