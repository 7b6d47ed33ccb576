"""Changing the rules: a version is copied, its rules are edited, one person proposes it, another puts it in force."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import F
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog import rule_table
from catalog.models import Rule, RuleSet
from catalog.models.rules import MOST_DAYS, MOST_RULES
from catalog.rule_table import Outcome
from core.errors import Conflict
from core.names import read_line

MANAGE: Final = "catalog.manage_ruleset"


def _require_draft(_by: User | None, rule_set: RuleSet) -> None:
    if rule_set.state != RuleSet.State.DRAFT:
        raise Conflict(
            _("Version %(version)s is no draft; its rules stay. Copy it to change them.")
            % {"version": rule_set.version}
        )


def _require_draft_of_rule(by: User | None, rule: Rule) -> None:
    _require_draft(by, rule.rule_set)


def _require_proposed(_by: User | None, rule_set: RuleSet) -> None:
    if rule_set.state != RuleSet.State.PROPOSED:
        raise Conflict(_("Version %(version)s is not proposed.") % {"version": rule_set.version})


def _require_second_person(by: User, rule_set: RuleSet) -> None:
    if rule_set.proposed_by_id == by.pk:
        raise PermissionDenied(_("You proposed these rules. Another person must put them in force."))


@action(RuleSet, permission=MANAGE)
@transaction.atomic
def copy_rule_set(pk: UUID | str, *, note: str, by: User) -> RuleSet:
    """Make a draft with the rules of a version.

    Args:
        pk: id of the version.
        note: what will change, and why.
        by: an operator.

    Raises:
        RuleSet.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not change rules.
        ValidationError: the note is empty.
    """
    source = RuleSet.objects.get(pk=pk)
    copy_rule_set.require(by, source)
    note = read_line(note)
    if not note:
        raise ValidationError({"note": _("Say what changes, and why.")})
    # One copy at a time, so that each has a number of its own.
    list(RuleSet.objects.select_for_update().filter(state=RuleSet.State.IN_FORCE))
    draft = RuleSet.objects.create(
        version=_next_version(), note=note, other_track_id=source.other_track_id, created_by=by
    )
    Rule.objects.bulk_create(
        Rule.from_rule(draft, number, rule) for number, rule in enumerate(source.table.rules, start=1)
    )
    audit.record("rule_set.copied", actor=by, subject=draft, copied_from=source.version, reason=note)
    return draft


@action(RuleSet, permission=MANAGE, state=_require_draft)
@transaction.atomic
def add_rule(pk: UUID | str, *, wanted: rule_table.Rule, by: User) -> Rule:
    """Add a rule at the end of a draft.

    Raises:
        RuleSet.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not change rules.
        Conflict: the version is no draft.
        ValidationError: by field, what the rule lacks or has too much; or the version has 200 rules.
    """
    rule_set = _lock(pk)
    add_rule.require(by, rule_set)
    position = rule_set.rules.count() + 1
    if position > MOST_RULES:
        raise ValidationError(_("A version has at most %(most)s rules.") % {"most": MOST_RULES})
    rule = _checked(Rule.from_rule(rule_set, position, wanted))
    rule.save(force_insert=True)
    audit.record(
        "rule.added", actor=by, subject=rule, changes=audit.difference({}, _state(rule), sorted(_state(rule)))
    )
    return rule


@action(Rule, permission=MANAGE, state=_require_draft_of_rule)
@transaction.atomic
def change_rule(pk: UUID | str, *, wanted: rule_table.Rule, by: User) -> Rule:
    """Change a rule of a draft; it keeps its place.

    Raises:
        Rule.DoesNotExist: there is no such rule.
        PermissionDenied: `by` may not change rules.
        Conflict: its version is no draft.
        ValidationError: by field, what the rule lacks or has too much.
    """
    rule = _lock_rule(pk)
    change_rule.require(by, rule)
    changed = Rule.from_rule(rule.rule_set, rule.position, wanted)
    changed.pk = rule.pk
    _checked(changed).save(force_update=True)
    changes = audit.difference(_state(rule), _state(changed), sorted(_state(changed)))
    if changes:
        audit.record("rule.changed", actor=by, subject=changed, changes=changes)
    return changed


@action(Rule, permission=MANAGE, state=_require_draft_of_rule)
@transaction.atomic
def move_rule(pk: UUID | str, *, position: int, by: User) -> Rule:
    """Move a rule of a draft to another place; the rules between make room.

    Raises:
        Rule.DoesNotExist: there is no such rule.
        PermissionDenied: `by` may not change rules.
        Conflict: its version is no draft.
        ValidationError: there is no such place.
    """
    rule = _lock_rule(pk)
    move_rule.require(by, rule)
    others = rule.rule_set.rules.exclude(pk=rule.pk)
    if not 1 <= position <= others.count() + 1:
        raise ValidationError({"position": _("Enter the number of a rule, from 1.")})
    before = rule.position
    others.filter(position__gt=before).update(position=F("position") - 1)
    others.filter(position__gte=position).update(position=F("position") + 1)
    rule.position = position
    rule.save(update_fields=["position"])
    if position != before:
        changes = audit.difference({"position": before}, {"position": position}, ["position"])
        audit.record("rule.moved", actor=by, subject=rule, changes=changes)
    return rule


@action(Rule, permission=MANAGE, state=_require_draft_of_rule)
@transaction.atomic
def delete_rule(pk: UUID | str, *, by: User) -> RuleSet:
    """Delete a rule of a draft.

    Raises:
        Rule.DoesNotExist: there is no such rule.
        PermissionDenied: `by` may not change rules.
        Conflict: its version is no draft.
    """
    rule = _lock_rule(pk)
    delete_rule.require(by, rule)
    audit.record(
        "rule.deleted",
        actor=by,
        subject=rule,
        changes=audit.difference(_state(rule), {}, sorted(_state(rule))),
    )
    rule.delete()
    rule.rule_set.rules.filter(position__gt=rule.position).update(position=F("position") - 1)
    return rule.rule_set


@action(RuleSet, permission=MANAGE, state=_require_draft)
@transaction.atomic
def propose_rule_set(pk: UUID | str, *, by: User) -> RuleSet:
    """Propose a draft: its rules stay as they are from now on, and another person can put them in force.

    Raises:
        RuleSet.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not change rules.
        Conflict: the version is no draft.
    """
    rule_set = _lock(pk)
    propose_rule_set.require(by, rule_set)
    rule_set.state, rule_set.proposed_by, rule_set.proposed_at = RuleSet.State.PROPOSED, by, now()
    rule_set.save(update_fields=["state", "proposed_by", "proposed_at"])
    audit.record("rule_set.proposed", actor=by, subject=rule_set, reason=rule_set.note)
    return rule_set


@action(RuleSet, permission=MANAGE, state=_require_proposed)
@transaction.atomic
def return_rule_set(pk: UUID | str, *, by: User) -> RuleSet:
    """Make a proposed version a draft again, so that its rules can be changed.

    Raises:
        RuleSet.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not change rules.
        Conflict: the version is not proposed.
    """
    rule_set = _lock(pk)
    return_rule_set.require(by, rule_set)
    rule_set.state, rule_set.proposed_by, rule_set.proposed_at = RuleSet.State.DRAFT, None, None
    rule_set.save(update_fields=["state", "proposed_by", "proposed_at"])
    audit.record("rule_set.returned", actor=by, subject=rule_set)
    return rule_set


@action(RuleSet, permission=MANAGE, rule=_require_second_person, state=_require_proposed)
@transaction.atomic
def put_rule_set_in_force(pk: UUID | str, *, by: User) -> RuleSet:
    """Put a proposed version in force, as the second person. The version of before is superseded in the same moment.

    Requests that are being made or decided are finished first, with the rules of before. Open requests meet the new
    rules at their next decision.

    Raises:
        RuleSet.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not change rules, or proposed this version.
        Conflict: the version is not proposed.
    """
    before = RuleSet.objects.select_for_update().get(state=RuleSet.State.IN_FORCE)
    rule_set = _lock(pk)
    put_rule_set_in_force.require(by, rule_set)
    before.state, before.superseded_at = RuleSet.State.SUPERSEDED, now()
    before.save(update_fields=["state", "superseded_at"])
    rule_set.state, rule_set.put_in_force_by, rule_set.in_force_at = RuleSet.State.IN_FORCE, by, now()
    rule_set.save(update_fields=["state", "put_in_force_by", "in_force_at"])
    audit.record(
        "rule_set.put_in_force",
        actor=by,
        subject=rule_set,
        proposed_by=str(rule_set.proposed_by),
        supersedes=before.version,
        reason=rule_set.note,
    )
    return rule_set


@action(RuleSet, permission=MANAGE, state=_require_draft)
@transaction.atomic
def delete_rule_set(pk: UUID | str, *, by: User) -> str:
    """Delete a draft with its rules; returns its version.

    Raises:
        RuleSet.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not change rules.
        Conflict: the version is no draft.
    """
    rule_set = _lock(pk)
    delete_rule_set.require(by, rule_set)
    audit.record("rule_set.deleted", actor=by, subject=rule_set)
    rule_set.delete()
    return rule_set.version


def _lock(pk: UUID | str) -> RuleSet:
    return RuleSet.objects.select_for_update().get(pk=pk)


def _lock_rule(pk: UUID | str) -> Rule:
    """The rule, its version locked first. Raises Rule.DoesNotExist."""
    rule_set = _lock(Rule.objects.values_list("rule_set", flat=True).get(pk=pk))
    rule = Rule.objects.get(pk=pk)
    rule.rule_set = rule_set
    return rule


def _next_version() -> str:
    month = f"{now():%Y-%m}."
    taken = RuleSet.objects.filter(version__startswith=month).values_list("version", flat=True)
    numbers = [int(end) for one in taken if (end := one.removeprefix(month)).isdigit()]
    return f"{month}{max(numbers, default=0) + 1}"


def _checked(rule: Rule) -> Rule:
    """The rule, if it is complete and has nothing that its outcome does not use. Raises ValidationError by field."""
    problems: dict[str, Any] = {}
    is_review = rule.outcome == Outcome.REVIEW
    if is_review and rule.track_id is None:
        problems["track"] = _("Choose the track that the rule requires.")
    if not is_review and (rule.track_id is not None or rule.quorum):
        problems["track"] = _("Only a rule that requires a review has a track and a number of approvals.")
    if rule.outcome == Outcome.REJECT and not rule.sentence:
        problems["sentence"] = _("Say what the requester must change.")
    if rule.outcome == Outcome.DURATION and not 1 <= (rule.longest_days or 0) <= MOST_DAYS:
        problems["longest_days"] = _("Enter 1 to %(most)s days.") % {"most": MOST_DAYS}
    if rule.outcome != Outcome.DURATION and rule.longest_days is not None:
        problems["longest_days"] = _("Only a rule that limits the duration has a number of days.")
    if bool(rule.limit_kind) != (rule.limit_above is not None):
        problems["limit_above"] = _("Enter both a kind of limit and a number, or neither.")
    if rule.cost_above is not None and rule.cost_up_to is not None and rule.cost_above >= rule.cost_up_to:
        problems["cost_up_to"] = _("No cost is above the first amount and up to this one.")
    if problems:
        raise ValidationError(problems)
    rule.sentence = read_line(rule.sentence)
    rule.clean_fields(exclude=["rule_set"])
    rule.validate_constraints(exclude=["position"])
    return rule


def _state(rule: Rule) -> dict[str, Any]:
    """The rule as the audit log keeps it: what is set."""
    said = {
        name: str(value)
        if isinstance(value, Decimal)
        else list(value)
        if isinstance(value, tuple)
        else str(value)
        for name, value in asdict(rule.as_rule).items()
        if value not in ("", (), None, 0)
    }
    return said | {"position": rule.position}
