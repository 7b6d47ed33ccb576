"""manage.py replay_rules: evaluate the rules of each stored evaluation over its facts again, and compare."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.utils.timezone import now

from catalog.asked_facts import evaluate_inputs
from catalog.models import RuleEvaluation, RuleSet
from catalog.rule_table import same_answer
from core.scope import platform_scope

# Maximum number of evaluations to list.
MOST: Final = 50


class Command(BaseCommand):
    help = (
        "Prove that stored evaluations give the same answer again; exit with 1 and name the ones that do not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, metavar="N", help="only those of the last N days")

    def handle(self, *args: Any, days: int | None, **options: Any) -> None:
        with platform_scope("replaying rules"):
            tables = {one.version: one.table for one in RuleSet.objects.prefetch_related("rules")}
            rows = RuleEvaluation.objects.across_tenants().exclude(occasion=RuleEvaluation.Occasion.CARRIED)
            if days is not None:
                rows = rows.filter(at__gte=now() - timedelta(days=days))
            replayed = wrong = 0
            for row in rows.iterator(chunk_size=1000):
                replayed += 1
                again = evaluate_inputs(tables[row.rule_set_id], row.inputs)
                if not same_answer(row.result, row.answer, again):
                    wrong += 1
                    if wrong <= MOST:
                        self.stderr.write(
                            f"{row.pk} of request {row.access_request_id}, rules {row.rule_set_id}: "
                            f"stored {row.answer}, now {again.answer}"
                        )
        if wrong:
            raise CommandError(f"WRONG. Evaluations that give another answer: {wrong} of {replayed}.")
        self.stdout.write(f"Proved: {replayed} evaluations give their stored answers again.")
