"""Where the facts of a model come from: `CatalogModel.provenance`, one entry for each fact that somebody stated.

    {"title": {"source": "operator", "at": "2026-11-30T12:00:00+00:00", "by": "0198…", "stated": "GPT-4o"}}

`source` and `at` are those of the value in the column; `by` is the person, for an operator's edit. `stated` is what the
last import said (`stated_by`, if that is not the source). If it differs from an operator's value, `differing` names the
fact until somebody takes or keeps (`kept`) a value; an import never replaces what an operator entered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import User
from catalog.model_facts import FACTS, IMPORTED, ModelFact, as_json

if TYPE_CHECKING:
    from catalog.models import CatalogModel

OPERATOR: Final = "operator"
SOURCES: Final = {
    OPERATOR: pgettext_lazy("source of a fact", "operator"),
    "litellm": _("LiteLLM price map"),
    "models_dev": _("models.dev"),
    "openrouter": _("OpenRouter"),
    "kubeflow": _("Kubeflow catalog"),
    "huggingface": _("model cards"),
    "openai_list": _("List of an OpenAI-compatible API"),
    "demo": _("demo"),
}


@dataclass(frozen=True)
class FactRow:
    """One fact of a model as pages show it. `source` is empty if nobody has stated it: it has the initial value."""

    fact: ModelFact
    value: Any
    source: str
    at: datetime | None
    by: UUID | None
    # What the last import said; None if it says the same, or imports do not state the fact.
    stated: Any
    is_differing: bool

    @property
    def name(self) -> str:
        return self.fact.name

    @property
    def label(self) -> str:
        return str(self.fact.label)

    @property
    def words(self) -> str:
        return self.fact.shown(self.value)

    @property
    def source_label(self) -> str:
        return str(SOURCES.get(self.source, self.source) or _("not stated by anybody"))

    @property
    def stated_words(self) -> str:
        return FACTS[self.fact.name].shown(value_of(self.fact, self.stated))


def value_of(fact: ModelFact, stated: Any) -> Any:
    """A stored value as the column has it. A value that is no longer valid stays as it was stored."""
    try:
        return fact.clean(stated)
    except ValidationError:
        return stated


def fact_rows(model: CatalogModel) -> list[FactRow]:
    """Every fact with its value, source and time."""
    rows = []
    for fact in FACTS.values():
        entry = model.provenance.get(fact.name, {})
        value, stated = getattr(model, fact.name), entry.get("stated")
        rows.append(
            FactRow(
                fact=fact,
                value=value,
                source=entry.get("source", ""),
                at=datetime.fromisoformat(entry["at"]) if "at" in entry else None,
                by=UUID(entry["by"]) if entry.get("by") else None,
                stated=stated if "stated" in entry and stated != as_json(value) else None,
                is_differing=fact.name in model.differing,
            )
        )
    return rows


def state_by_operator(model: CatalogModel, values: Mapping[str, Any], *, by: User | None) -> None:
    """Set facts in memory, as an operator's. The caller saves."""
    moment = now().isoformat()
    provenance = dict(model.provenance)
    for name, value in values.items():
        setattr(model, name, value)
        entry: dict[str, Any] = {"source": OPERATOR, "at": moment, "by": str(by.pk) if by else None}
        if "stated" in (before := provenance.get(name, {})):
            # Who edits sees what the import says, so a value that they enter is kept against it.
            said_by = before.get("stated_by", before["source"])
            entry |= {"stated": before["stated"], "stated_by": said_by, "kept": True}
        provenance[name] = entry
    model.provenance = provenance
    model.differing = differing(model)


def state_by_import(
    model: CatalogModel, values: Mapping[str, Any], *, sources: Mapping[str, str]
) -> dict[str, Any]:
    """What the columns, `provenance` and `differing` of a model become if imports state these values.

    `sources` says of each fact who states it.

    A fact that an operator has stated keeps its value, as does one that differs from what the last import said, however
    that came about. A fact that nobody has stated takes the import's value if it is empty or the model is new.
    """
    moment = now().isoformat()
    after: dict[str, Any] = {}
    provenance = dict(model.provenance)
    for name, value in values.items():
        before, stated, source = as_json(getattr(model, name)), as_json(value), sources[name]
        entry = provenance.get(name)
        if model._state.adding or (entry is None and before in (None, "", [])):
            is_taken = True
        else:
            is_taken = entry is not None and entry["source"] != OPERATOR and entry.get("stated") == before
        if is_taken:
            after[name] = value
            if entry is None or before != stated or entry.get("source") != source:
                provenance[name] = {"source": source, "at": moment, "stated": stated}
        elif entry is None or "stated" not in entry or entry["stated"] != stated:
            # Something new is stated, so an earlier answer ("keep mine") does not cover it.
            rest = {key: said for key, said in (entry or {}).items() if key != "kept"}
            provenance[name] = {"source": "", **rest, "stated": stated, "stated_by": source}
    after["provenance"] = provenance
    after["differing"] = differing(model, provenance, after)
    return after


def take_stated(model: CatalogModel, names: Collection[str]) -> None:
    """Set facts in memory to what the last import said; from now on imports change them again."""
    provenance = dict(model.provenance)
    for name in names:
        stated = provenance[name]["stated"]
        source = provenance[name].get("stated_by", provenance[name]["source"])
        setattr(model, name, value_of(FACTS[name], stated))
        provenance[name] = {"source": source, "at": now().isoformat(), "stated": stated}
    model.provenance = provenance
    model.differing = differing(model)


def keep_own(model: CatalogModel, names: Collection[str], *, by: User | None) -> None:
    """Note in memory that a person has seen what the import says, and keeps the values of these facts."""
    provenance = dict(model.provenance)
    for name in names:
        entry = provenance[name]
        provenance[name] = {"at": now().isoformat(), "by": str(by.pk) if by else None} | entry
        provenance[name] |= {"source": entry["source"] or OPERATOR, "kept": True}
    model.provenance = provenance
    model.differing = differing(model)


def differing(
    model: CatalogModel,
    provenance: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> list[str]:
    """The facts of which the last import says something else, unless a person has kept theirs since."""
    entries, values = model.provenance if provenance is None else provenance, after or {}
    return [
        name
        for name in IMPORTED
        if (entry := entries.get(name))
        and "stated" in entry
        and not entry.get("kept")
        and entry["stated"] != as_json(values.get(name, getattr(model, name)))
    ]
