"""The rules that a new installation begins with; operators put other versions in force afterwards."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections, transaction


def make_first_rules(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Store the first rules, and put them in force, unless rules are in force.

    Runs after every migrate, once the tracks are there. Safe to repeat.
    """
    from catalog.models import Rule, RuleSet, Track
    from catalog.rule_table import FIRST_TABLE

    there = connections[using].introspection.table_names()
    # `migrate` may stop at an earlier state.
    if not {RuleSet._meta.db_table, Track._meta.db_table} <= set(there):
        return
    if RuleSet.objects.using(using).filter(state=RuleSet.State.IN_FORCE).exists():
        return
    with transaction.atomic(using=using):
        # A draft without rules is of evaluations of an earlier release.
        rule_set, _ = RuleSet.objects.using(using).get_or_create(version=FIRST_TABLE.version)
        rule_set.other_track_id = FIRST_TABLE.other_track
        rule_set.save(using=using, update_fields=["other_track"])
        Rule.objects.using(using).bulk_create(
            Rule.from_rule(rule_set, position, rule)
            for position, rule in enumerate(FIRST_TABLE.rules, start=1)
        )
        # The trigger sets the time.
        rule_set.state = RuleSet.State.IN_FORCE
        rule_set.save(using=using, update_fields=["state"])
