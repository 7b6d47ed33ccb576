"""What operators do with versions of the rules, for the role matrix."""

from catalog.actions import rule_sets
from catalog.models import Rule, RuleSet
from tests.factories import staff
from tests.role_matrix import Action, EntryPoint

SENT = {"_form_submitted": "1"}
RULE = {"outcome": "review", "track": "cost", "risk_tiers": ["low"], "quorum": "2"}


def in_force(world, actor):
    return RuleSet.objects.get(state="in_force")


def draft(world, actor):
    return rule_sets.copy_rule_set(in_force(world, actor).pk, note="A try.", by=staff("operator"))


def rule(world, actor):
    return Rule.objects.get(rule_set=draft(world, actor), position=2)


def proposed(world, actor):
    return rule_sets.propose_rule_set(draft(world, actor).pk, by=staff("operator"))


RULE_ACTIONS = [
    Action(
        "copy a version of the rules",
        "catalog.actions.rule_sets.copy_rule_set",
        subject=in_force,
        admin=EntryPoint("POST /admin/catalog/ruleset/{it.pk}/copy/", SENT | {"note": "A try."}),
    ),
    Action(
        "add a rule",
        "catalog.actions.rule_sets.add_rule",
        subject=draft,
        admin=EntryPoint("POST /admin/catalog/ruleset/{it.pk}/add-rule/", SENT | RULE),
    ),
    Action(
        "change a rule",
        "catalog.actions.rule_sets.change_rule",
        subject=rule,
        admin=EntryPoint("POST /admin/catalog/rule/{it.pk}/change-rule/", SENT | RULE),
    ),
    Action(
        "move a rule",
        "catalog.actions.rule_sets.move_rule",
        subject=rule,
        admin=EntryPoint("POST /admin/catalog/rule/{it.pk}/move/", SENT | {"position": "4"}),
    ),
    Action(
        "delete a rule",
        "catalog.actions.rule_sets.delete_rule",
        subject=rule,
        admin=EntryPoint("POST /admin/catalog/rule/{it.pk}/remove/", SENT),
    ),
    Action(
        "propose a version of the rules",
        "catalog.actions.rule_sets.propose_rule_set",
        subject=draft,
        admin=EntryPoint("POST /admin/catalog/ruleset/{it.pk}/propose/", SENT),
    ),
    Action(
        "return a version of the rules",
        "catalog.actions.rule_sets.return_rule_set",
        subject=proposed,
        admin=EntryPoint("POST /admin/catalog/ruleset/{it.pk}/return/", SENT),
    ),
    Action(
        "put a version of the rules in force",
        "catalog.actions.rule_sets.put_rule_set_in_force",
        subject=proposed,
        admin=EntryPoint("POST /admin/catalog/ruleset/{it.pk}/put-in-force/", SENT),
    ),
    Action(
        "delete a draft of the rules",
        "catalog.actions.rule_sets.delete_rule_set",
        subject=draft,
        admin=EntryPoint("POST /admin/catalog/ruleset/{it.pk}/remove/", SENT),
    ),
]
