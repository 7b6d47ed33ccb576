"""Planned changes in words: what changes, for tenants and for operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from catalog.model_facts import FACTS
from catalog.models import CatalogModel, PlannedChange
from catalog.provenance import value_of
from core.dates import moment
from core.joined import named


def fact_words(name: str, stored: Any) -> str:
    """A stored value of a fact as people read it. A fact that is no longer declared stays as it was stored."""
    if (fact := FACTS.get(name)) is None:
        return str(stored)
    return fact.shown(value_of(fact, stored))


def what_changes(
    change: PlannedChange, visible: QuerySet[CatalogModel], *, is_internal: bool = False
) -> list[str]:
    """A line for each fact that a change sets. One query for a successor, whose name only those read who may find it.

    Args:
        change: of any state.
        visible: the models that the reader may find.
        is_internal: also say facts that operators alone read.
    """
    lines = []
    is_hidden = False
    for name, value in change.values.items():
        fact = FACTS.get(name)
        if fact is not None and fact.is_internal and not is_internal:
            is_hidden = True
            continue
        if name == "successor" and value and not visible.filter(name=value).exists():
            continue
        lines.append(named(fact.label if fact else name, fact_words(name, value)))
    if is_hidden:
        lines.append(_("It is offered to other tenants than before. Access that projects have stays."))
    return lines


@dataclass(frozen=True)
class ComingChange:
    """What a model's page says of a change that is planned for it."""

    kind: str
    title: str
    lines: Sequence[str]
    # Public name of the model that follows with it; empty: as it is, or one that the reader may not find.
    successor: str
    takes_effect_at: datetime


def coming_changes(model: CatalogModel, visible: QuerySet[CatalogModel]) -> list[ComingChange]:
    """The changes that are planned for a model, the next one first, without successors that are not `visible`."""
    planned = model.planned_changes.filter(state=PlannedChange.State.PLANNED)
    return [_coming(change, visible) for change in planned.order_by("takes_effect_at", "pk")]


def _coming(change: PlannedChange, visible: QuerySet[CatalogModel]) -> ComingChange:
    when = {"when": moment(change.takes_effect_at)}
    title = {
        PlannedChange.Kind.RETIRE: _("Will be retired on %(when)s"),
        PlannedChange.Kind.DEPRECATE: _("Will be deprecated on %(when)s"),
        PlannedChange.Kind.EDIT: _("Will change on %(when)s"),
    }[PlannedChange.Kind(change.kind)] % when
    lines = what_changes(change, visible)
    if change.reason:
        lines.append(change.reason)
    successor = change.values.get("successor", "")
    if successor and not visible.filter(name=successor).exists():
        successor = ""
    return ComingChange(change.kind, title, lines, successor, change.takes_effect_at)
