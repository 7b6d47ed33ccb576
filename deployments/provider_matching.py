"""Which of the catalog's models a provider's model is: by the same name, else by the same name in another spelling."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from catalog.models import CatalogModel, Offer
from catalog.price_map.names import read_key
from deployments.models import ProviderModel

MatchedBy = ProviderModel.MatchedBy
# What the catalog calls the provider behind a dialect, where it knows it by another name.
IN_CATALOG: Final = {
    "azure_v1": "azure",
    "qwen": "dashscope",
    "together": "together_ai",
    "openai_compatible": "",
    "vllm": "",
    "litellm": "",
}
# A release of the same model: its date, or a word for "the newest"; and OpenRouter's kinds of service.
_RELEASE: Final = re.compile(
    r"(-\d{4}-\d{2}-\d{2}|-20\d{6}|-latest|@latest|:(free|beta|extended|nitro|floor))$"
)
CHUNK: Final = 1_000


def match_all(models: Iterable[ProviderModel], dialect: str) -> list[ProviderModel]:
    """Set `model` and `matched_by` of each, in memory, unless a person decided; return those that changed.

    Asks the database twice per thousand models.
    """
    open_rows = [row for row in models if row.matched_by != MatchedBy.PERSON]
    changed: list[ProviderModel] = []
    for start in range(0, len(open_rows), CHUNK):
        rows = open_rows[start : start + CHUNK]
        names = {row.pk: candidates(row.name, dialect) for row in rows}
        known = _known({name for exact, others in names.values() for name in (*exact, *others)})
        for row in rows:
            exact, others = names[row.pk]
            model, by = _first(row, exact, known), MatchedBy.EXACT
            if model is None:
                model, by = _first(row, others, known), MatchedBy.NORMALIZED
            before = (row.model_id, row.matched_by)
            row.model, row.matched_by = model, by if model is not None else ""
            if model is not None and not row.mode:
                row.mode = model.mode
            if before != (row.model_id, row.matched_by):
                changed.append(row)
    return changed


def candidates(name: str, dialect: str) -> tuple[list[str], list[str]]:
    """Names under which the catalog may have a provider's model: spelled alike, and spelled otherwise, best first."""
    provider = IN_CATALOG.get(dialect, dialect)
    exact = [name.lower(), f"{provider}/{name}" if provider else name]
    others: list[str] = []
    for said in dict.fromkeys([name, _RELEASE.sub("", name)]):
        place = read_key(said, provider or "openai")
        if place is not None:
            others.append(place.name)
        last = said.rpartition("/")[2].lower()
        others += [said.lower(), last, re.sub(r"[._:@]+", "-", last)]
    return exact, [other for other in dict.fromkeys(others) if other not in exact]


def _known(names: set[str]) -> dict[str, CatalogModel]:
    """The catalog's published models by their names and by the keys of their offers."""
    published = CatalogModel.objects.published()
    found = {model.name: model for model in published.filter(name__in=names)}
    offers = Offer.objects.filter(source_key__in=names, model__in=published).select_related("model")
    return {offer.source_key: offer.model for offer in offers} | found


def _first(row: ProviderModel, names: Iterable[str], known: dict[str, CatalogModel]) -> CatalogModel | None:
    """The first known model of the same mode; an unknown mode fits all."""
    for name in names:
        model = known.get(name)
        if model is not None and (not row.mode or _kind(row.mode) == _kind(model.mode)):
            return model
    return None


def _kind(mode: str) -> str:
    # The catalog lists models with OpenAI's newer API apart; they chat all the same.
    return "chat" if mode == "responses" else mode
