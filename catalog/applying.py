"""Carrying accepted entries of imports over to offers, and from offers to models and list prices."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from django.db import connection
from django.db.models import Exists, ForeignObjectRel, OuterRef
from django.utils.timezone import now

from catalog.model_facts import MODALITIES
from catalog.models import CatalogModel, Offer
from catalog.price_map.gather import LISTS, TEXTS, Gathered, gather
from catalog.prices import publish_list_prices
from catalog.provenance import OPERATOR, state_by_import

# The fields of an offer that an entry states, as columns have them.
STATED: Final = ("provider", "region", "prices", "facts", "source_url", "deprecation_date", "digest")
_LONGEST: Final = {"title": 160, "maker": 80, "licence": 80, "licence_url": 500, "family": 60}


@dataclass
class Applied:
    """What accepted entries did. Models that are named are no longer than the audit log and pages can show."""

    models_added: int = 0
    models_changed: int = 0
    models_removed: int = 0
    models_unpriced: int = 0
    prices_published: int = 0
    prices_refused: dict[str, str] = field(default_factory=dict)  # by model
    # Keys of which the offer is no longer what the entry was compared with.
    overtaken: list[str] = field(default_factory=list)
    # By model, the facts that an operator has entered, of which the offers say something else.
    kept: dict[str, list[str]] = field(default_factory=dict)


def one_import_at_a_time() -> None:
    """Wait for other imports, until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('catalog.import'))")


def stored(offer: Offer, name: str) -> dict[str, Any]:
    """What we have of an offer, as entries keep it."""
    said = {column: getattr(offer, column) for column in STATED}
    return {**said, "deprecation_date": _day(offer.deprecation_date), "name": name}


def apply(
    source: str,
    wanted: Mapping[str, tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]],
    *,
    reason: str,
    today: date,
    prices_from: datetime | None = None,
) -> Applied:
    """Change offers of a source, then their models and list prices. The number of statements is bounded.

    Args:
        source: of the offers.
        wanted: by key, what the change was compared with, and what it wants; None: no offer. An offer that is
            something else by now is left alone and reported as overtaken.
        reason: of the new list prices.
        today: decides which deprecation dates have passed.
        prices_from: when first list prices begin; default: the current hour.
    """
    done = Applied()
    rows = Offer.objects.filter(source=source, source_key__in=wanted).select_related("model")
    present = {offer.source_key: offer for offer in rows}
    fresh: dict[str, Mapping[str, Any] | None] = {}
    for key, (before, after) in wanted.items():
        offer = present.get(key)
        is_same = before is None if offer is None else before == stored(offer, offer.model.name)
        if is_same:
            fresh[key] = after
        else:
            done.overtaken.append(key)
    names = {after["name"] for after in fresh.values() if after}
    names |= {present[key].model.name for key in fresh if key in present}
    models = {
        model.name: model
        for model in CatalogModel.objects.select_for_update()
        .defer("search")
        .filter(name__in=names)
        .order_by("pk")
    }
    _write(source, fresh, models, done, today=today)
    _publish(models, done, reason=reason, today=today, prices_from=prices_from)
    return done


def _write(
    source: str,
    fresh: Mapping[str, Mapping[str, Any] | None],
    models: dict[str, CatalogModel],
    done: Applied,
    *,
    today: date,
) -> None:
    by_id = {model.pk: name for name, model in models.items()}
    by_name: dict[str, dict[tuple[str, str], Offer]] = defaultdict(dict)
    before: dict[tuple[str, str], tuple[Any, bool]] = {}
    for offer in Offer.objects.filter(model__in=list(by_id)):
        place = (offer.source, offer.source_key)
        by_name[by_id[offer.model_id]][place] = offer
        before[place] = (offer.model_id, offer.is_primary)
    gone, touched = [], set()
    present = {place: (name, offer) for name, theirs in by_name.items() for place, offer in theirs.items()}
    for key, after in fresh.items():
        place = (source, key)
        was, offer = present.get(place, ("", Offer(source=source, source_key=key)))
        if was:
            del by_name[was][place]
        if after is None:
            gone.append(offer.pk)
            continue
        for column in STATED:
            setattr(offer, column, after[column])
        offer.deprecation_date = date.fromisoformat(day) if (day := after["deprecation_date"]) else None
        by_name[after["name"]][place] = offer
        touched.add(place)

    new, changed, columns = [], [], set()
    for name in sorted(by_name.keys() | models.keys()):
        theirs = list(by_name[name].values())
        gathered = gather(name, theirs, today=today) if theirs else None
        model = models.get(name)
        if model is None:
            model = models[name] = CatalogModel(name=name)
        is_new, differing = model._state.adding, _describe(model, gathered)
        if is_new:
            new.append(model)
        elif differing:
            changed.append(model)
            columns |= differing
        for offer in theirs:
            place = (offer.source, offer.source_key)
            offer.model, offer.is_primary = model, gathered is not None and place == gathered.primary
            if before.get(place) != (model.pk, offer.is_primary):
                touched.add(place)
    CatalogModel.objects.bulk_create(new, batch_size=1000)
    if changed:
        CatalogModel.objects.bulk_update(changed, sorted(columns), batch_size=500)
    Offer.objects.filter(pk__in=gone).delete()
    _write_offers(
        [offer for theirs in by_name.values() for place, offer in theirs.items() if place in touched]
    )
    done.models_added, done.models_changed = len(new), len(changed)


def _describe(model: CatalogModel, gathered: Gathered | None) -> set[str]:
    """Update `model` from its offers, except facts that a person has edited. Returns the changed fields.

    None: it has no offers any more. What they said of it stays, but for what only offers can say.
    """
    if gathered is None:
        wanted: dict[str, Any] = {"providers": [], "regions": [], "offer_count": 0, "capabilities": {}}
    else:
        stated = _stated(model, gathered)
        primary = gathered.primary[0]
        wanted = {
            "capabilities": gathered.capabilities,
            "providers": gathered.providers,
            "regions": gathered.regions,
            "offer_count": gathered.offer_count,
            "source": primary,
            "search_text": _more_words(gathered),
            **state_by_import(
                model, stated, sources={fact: gathered.said_by.get(fact, primary) for fact in stated}
            ),
        }
    differing = {name: value for name, value in wanted.items() if getattr(model, name) != value}
    if differing:
        differing["updated_at"] = now()
    for name, value in differing.items():
        setattr(model, name, value)
    return set(differing)


def _stated(model: CatalogModel, gathered: Gathered) -> dict[str, Any]:
    """The facts that the offers state. One that no offer states any more becomes empty, if an import stated it."""
    stated: dict[str, Any] = {
        "title": gathered.title,
        "maker": gathered.maker,
        "mode": gathered.mode,
        "context_tokens": gathered.context_tokens,
        "max_output_tokens": gathered.max_output_tokens,
        "deprecation_date": gathered.deprecation_date,
    }
    for fact in (*TEXTS, *LISTS):
        value = gathered.more.get(fact)
        if fact.startswith("modalities") and value:
            value = [word for word in MODALITIES if word in value]
        if value or "stated" in model.provenance.get(fact, {}):
            stated[fact] = value or ("" if fact in TEXTS else [])
    return {fact: value[: _LONGEST[fact]] if fact in _LONGEST else value for fact, value in stated.items()}


def _more_words(gathered: Gathered) -> str:
    able = [flag.replace("_", " ") for flag, can in gathered.capabilities.items() if can]
    words = Counter(" ".join([gathered.mode.replace("_", " "), *gathered.providers, *able]).split())
    return " ".join(sorted(words))


def _write_offers(offers: Collection[Offer]) -> None:
    """Insert new offers and update others. Removes `is_primary` before setting it, as its unique index requires."""
    Offer.objects.filter(pk__in=[offer.pk for offer in offers], is_primary=True).update(is_primary=False)
    new = [offer for offer in offers if offer._state.adding]
    changed = [offer for offer in offers if not offer._state.adding]
    Offer.objects.bulk_create(new, batch_size=1000)
    Offer.objects.bulk_update(changed, ["model", "is_primary", *STATED], batch_size=500)


def _publish(
    models: Mapping[str, CatalogModel],
    done: Applied,
    *,
    reason: str,
    today: date,
    prices_from: datetime | None,
) -> None:
    """Publish the list prices of these models: those of their primary offers."""
    primary = Offer.objects.filter(model__in=[model.pk for model in models.values()], is_primary=True)
    prices: dict[Any, dict[str, Decimal]] = {}
    for pk, stated in primary.values_list("model_id", "prices"):
        numbers = {kind: Decimal(price) for kind, price in stated.items()}
        prices[pk] = numbers if any(numbers.values()) else {}
    wanted = {name: prices.get(model.pk, {}) for name, model in models.items()}
    done.models_unpriced = sum(not kinds for kinds in wanted.values())
    done.prices_published, done.prices_refused = publish_list_prices(
        wanted, reason=reason, valid_from=prices_from
    )
    for name, model in models.items():
        theirs = [
            fact
            for fact, said in model.provenance.items()
            if said.get("source") == OPERATOR and "stated" in said and fact in model.differing
        ]
        if theirs:
            done.kept[name] = sorted(theirs)


def remove_unused_drafts(names: Iterable[str]) -> int:
    """Delete those of these models that are drafts without offers, to which nothing refers. Returns their number."""
    unused = CatalogModel.objects.filter(name__in=list(names), lifecycle=CatalogModel.Lifecycle.DRAFT)
    # Also the relations without a name of their own (`related_name="+"`), which `related_objects` leaves out.
    for relation in CatalogModel._meta.get_fields(include_hidden=True):
        if not isinstance(relation, ForeignObjectRel):
            continue
        theirs = relation.related_model._base_manager.filter(**{relation.field.name: OuterRef("pk")})
        unused = unused.exclude(Exists(theirs))
    edited = [
        model.pk
        for model in unused.only("pk", "provenance")
        if any(said.get("source") == OPERATOR for said in model.provenance.values())
    ]
    return unused.exclude(pk__in=edited).delete()[1].get("catalog.CatalogModel", 0)


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None
