"""What an edit of many models would do, model by model, before anybody saves it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from catalog.model_facts import FACTS, as_json
from catalog.model_impact import ModelImpact, impact_of
from catalog.models import CatalogModel
from catalog.provenance import OPERATOR

# Models of one edit.
MOST: Final = 10_000
# Models that a preview or a result names.
NAMED: Final = 200


@dataclass(frozen=True)
class Outcome:
    """What becomes of one model: facts that change, and those that stay because an operator has entered them."""

    model: CatalogModel
    values: Mapping[str, Any]
    kept: tuple[str, ...]
    is_published: bool = False
    # Why it is not published; empty if it is, or nobody wants it.
    unpublished: str = ""

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """By fact, the value before and after, as the audit log has them."""
        return {
            name: (as_json(getattr(self.model, name)), as_json(value)) for name, value in self.values.items()
        }

    @property
    def is_anything(self) -> bool:
        return bool(self.values or self.kept or self.is_published or self.unpublished)

    @property
    def words(self) -> list[str]:
        """One line for each thing that happens, or does not happen, to the model."""
        lines = [
            _("%(fact)s: %(before)s → %(after)s")
            % {
                "fact": FACTS[name].label,
                "before": FACTS[name].shown(getattr(self.model, name)),
                "after": FACTS[name].shown(value),
            }
            for name, value in self.values.items()
        ]
        lines += [
            _("%(fact)s stays %(value)s: an operator entered it")
            % {"fact": FACTS[name].label, "value": FACTS[name].shown(getattr(self.model, name))}
            for name in self.kept
        ]
        if self.is_published:
            lines.append(pgettext("of a model", "published"))
        return [*lines, self.unpublished] if self.unpublished else lines


@dataclass(frozen=True)
class FactCount:
    """One fact of the edit: of how many models it changes, was so already, or stays an operator's."""

    label: str
    words: str
    changed: int
    same: int
    kept: int


@dataclass(frozen=True)
class Plan:
    """An edit of many models, as it would happen now."""

    outcomes: Sequence[Outcome]
    counts: Sequence[FactCount]
    impact: ModelImpact | None

    @property
    def changed(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.values]

    @property
    def published(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.is_published]

    @property
    def is_change(self) -> bool:
        return bool(self.changed or self.published)

    @property
    def named(self) -> list[Outcome]:
        """The outcomes that a page lists: those of models to which anything happens, up to NAMED."""
        return [one for one in self.outcomes if one.is_anything][:NAMED]

    @property
    def others(self) -> int:
        """How many outcomes a page does not list."""
        return sum(one.is_anything for one in self.outcomes) - len(self.named)

    @property
    def digest(self) -> str:
        """Changes if the edit would do anything else than before."""
        said = [(str(one.model.pk), one.changes, one.kept, one.is_published) for one in self.outcomes]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def plan(
    models: Iterable[CatalogModel],
    values: Mapping[str, Any],
    *,
    may_replace: bool,
    why_unpublishable: Callable[[CatalogModel], str] | None = None,
) -> Plan:
    """What setting these cleaned values would do to these models. Reads the models once, and their impact.

    Args:
        models: the selection.
        values: the facts, cleaned.
        may_replace: also change facts that an operator has entered.
        why_unpublishable: why a model with its new facts cannot be published, empty if it can; None: nobody wants it.
    """
    outcomes = []
    dangerous = []
    for model in models:
        differing = {name: value for name, value in values.items() if getattr(model, name) != value}
        kept = tuple(
            name
            for name in differing
            if not may_replace and model.provenance.get(name, {}).get("source") == OPERATOR
        )
        changing = {name: value for name, value in differing.items() if name not in kept}
        reason = None if why_unpublishable is None else why_unpublishable(_with(model, changing))
        outcomes.append(Outcome(model, changing, kept, is_published=reason == "", unpublished=reason or ""))
        if any(FACTS[name].is_dangerous(getattr(model, name), value) for name, value in changing.items()):
            dangerous.append(model.pk)
    impact = impact_of(dangerous) if dangerous else None
    return Plan(outcomes, [_count(name, values[name], outcomes) for name in values], impact or None)


def _with(model: CatalogModel, values: Mapping[str, Any]) -> CatalogModel:
    changed = copy(model)
    for name, value in values.items():
        setattr(changed, name, value)
    return changed


def _count(name: str, value: Any, outcomes: Sequence[Outcome]) -> FactCount:
    changed = sum(name in one.values for one in outcomes)
    kept = sum(name in one.kept for one in outcomes)
    fact = FACTS[name]
    return FactCount(str(fact.label), fact.shown(value), changed, len(outcomes) - changed - kept, kept)
