"""Importing the public price map: entries become offers, offers become models, list prices go to billing."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.models import CatalogImport, CatalogModel, Offer
from catalog.price_map.entries import ReadOffer, UnreadableFile, read_file
from catalog.price_map.gather import Gathered, gather
from catalog.price_map.jumps import decimals, jumps_between
from catalog.prices import publish_list_prices
from catalog.provenance import state_by_import
from catalog.stored_sentences import LIST_PRICE
from core.names import clean_name

SOURCE = "litellm"
# The audit entry lists at most this many; the import's own row lists all.
JUMPS_IN_AN_ENTRY = 100
# Fields of an offer that an entry states.
_STATED = ("provider", "region", "prices", "facts", "source_url", "deprecation_date", "digest")


@dataclass
class ImportReport:
    """The result of an import. Counts are of entries, except those named for models or prices."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    # Offers of this source that the file no longer names; they stay unchanged.
    absent: int = 0
    models_added: int = 0
    models_changed: int = 0
    models_unchanged: int = 0
    # Drafts, retired models, and those past their deprecation date.
    models_not_published: int = 0
    models_unpriced: int = 0
    prices_published: int = 0
    prices_refused: dict[str, str] = field(default_factory=dict)  # by model
    # By entry, and by "list price of" a model.
    price_jumps: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        return {name: len(value) if isinstance(value, dict) else value for name, value in vars(self).items()}


@action(NoneType, permission="catalog.publish_model")
@transaction.atomic
def import_price_map(
    text: str,
    *,
    file_name: str,
    by: User | None = None,
    today: date | None = None,
    prices_from: datetime | None = None,
) -> ImportReport:
    """Update the catalog from a LiteLLM price map. Safe to repeat: the same file again changes nothing.

    Rejected entries change nothing; an offer imported from an earlier state of the entry stays. Offers that the
    file no longer names also stay, so a partial file removes nothing. New models are drafts: importing publishes
    nothing. A fact that an operator has edited stays, and what the file says of it is noted (catalog/provenance.py).

    Args:
        text: content of the price map.
        file_name: name of the file, for the report.
        by: None means the command line.
        today: the day that decides which deprecation dates have passed; default: the current day in UTC.
        prices_from: when a model's first list prices begin to apply; default: the current hour.

    Raises:
        UnreadableFile: the file is not a JSON object. Nothing has changed.
        PermissionDenied: `by` may not publish models.
    """
    import_price_map.require(by, None)
    today = today or now().date()
    read = read_file(text)
    if not read.offers and not read.refused:
        raise UnreadableFile(_("The file names no models."))
    # Only one import runs at a time.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('catalog.import_price_map'))")

    report = ImportReport(refused=read.refused, ignored=read.ignored)
    models = {model.name: model for model in CatalogModel.objects.select_for_update()}
    offers = {offer.source_key: offer for offer in Offer.objects.filter(source=SOURCE)}
    names = {model.pk: model.name for model in models.values()}

    known_prices = _known_prices(offers.values(), names, today)
    touched = _read_into(offers, read.offers, report)
    by_name: dict[str, list[Offer]] = defaultdict(list)
    wanted_names = {offer.source_key: offer.name for offer in read.offers}
    for offer in offers.values():
        by_name[wanted_names.get(offer.source_key) or _name_of(offer, names)].append(offer)

    wanted_prices: dict[str, dict[str, Decimal]] = {}
    new_models, changed_models = [], []
    changed_fields: set[str] = set()
    for name, theirs in by_name.items():
        gathered = gather(name, theirs, today=today)
        if name in models:
            if differing := _describe(models[name], gathered):
                changed_models.append(models[name])
                changed_fields |= differing
        else:
            models[name] = CatalogModel(name=name)
            _describe(models[name], gathered)
            new_models.append(models[name])
        for offer in theirs:
            is_primary = offer.source_key == gathered.primary
            if offer.model_id != models[name].pk or offer.is_primary != is_primary:
                touched.add(offer.source_key)
            offer.model, offer.is_primary = models[name], is_primary
        wanted_prices[name] = gathered.list_prices
        report.models_unpriced += not gathered.list_prices

    CatalogModel.objects.bulk_create(new_models, batch_size=1000)
    if changed_models:
        CatalogModel.objects.bulk_update(changed_models, sorted(changed_fields), batch_size=500)
    _write_offers([offers[key] for key in touched])
    report.models_added, report.models_changed = len(new_models), len(changed_models)
    report.models_unchanged = len(by_name) - len(new_models) - len(changed_models)
    report.models_not_published = sum(not models[name].is_visible for name in by_name)
    report.absent = len(offers) - len(read.offers) - sum(key in offers for key in read.refused)
    # List prices also jump when another offer becomes the primary one.
    for name, before in known_prices.items():
        if jumped := jumps_between(before, wanted_prices.get(name, {})):
            report.price_jumps[f"list price of {name}"] = jumped
    report.prices_published, report.prices_refused = publish_list_prices(
        wanted_prices,
        reason=LIST_PRICE(source=SOURCE, file=clean_name(file_name))[:200],
        valid_from=prices_from,
    )

    run = CatalogImport.objects.create(
        source=SOURCE,
        file_name=clean_name(file_name, 200),
        digest=hashlib.sha256(text.encode()).hexdigest(),
        by=by,
        counts=report.counts(),
        refused=report.refused,
        price_jumps=report.price_jumps,
    )
    named = [f"{name}: {jumped}" for name, jumped in list(report.price_jumps.items())[:JUMPS_IN_AN_ENTRY]]
    audit.record("catalog.imported", actor=by, subject=run, **run.counts, jumped=named)
    return report


def _known_prices(
    offers: Iterable[Offer], names: Mapping[UUID, str], today: date
) -> dict[str, dict[str, Decimal]]:
    """The list prices of models after the last import."""
    by_name: dict[str, list[Offer]] = defaultdict(list)
    for offer in offers:
        by_name[_name_of(offer, names)].append(offer)
    return {name: gather(name, theirs, today=today).list_prices for name, theirs in by_name.items()}


def _name_of(offer: Offer, names: Mapping[UUID, str]) -> str:
    """The name of the model of `offer`; empty if the offer has no model."""
    return names.get(offer.model_id, "") if offer.model_id else ""


def _read_into(offers: dict[str, Offer], read: list[ReadOffer], report: ImportReport) -> set[str]:
    """Update `offers` from the entries and count the changes. Returns the keys that differ from the database."""
    touched = set()
    for said in read:
        offer = offers.get(said.source_key)
        if offer is None:
            report.added += 1
            offer = offers[said.source_key] = Offer(source=SOURCE, source_key=said.source_key)
        elif offer.digest == said.digest:
            report.unchanged += 1
            continue
        else:
            report.changed += 1
            if jumped := jumps_between(decimals(offer.prices), decimals(said.prices)):
                report.price_jumps[said.source_key] = jumped
        touched.add(said.source_key)
        for name in _STATED:
            setattr(offer, name, getattr(said, name))
    return touched


def _describe(model: CatalogModel, gathered: Gathered) -> set[str]:
    """Update `model` from its offers, except facts that a person has edited. Returns the changed fields."""
    stated = {
        "title": gathered.title[:160],
        "maker": gathered.maker,
        "mode": gathered.mode,
        "context_tokens": gathered.context_tokens,
        "max_output_tokens": gathered.max_output_tokens,
        "deprecation_date": gathered.deprecation_date,
    }
    wanted: dict[str, Any] = {
        "capabilities": gathered.capabilities,
        "providers": gathered.providers,
        "regions": gathered.regions,
        "offer_count": gathered.offer_count,
        "list_input_price": gathered.list_prices.get("input"),
        "list_output_price": gathered.list_prices.get("output"),
        "list_cache_price": gathered.list_prices.get("cache_read"),
        "source": SOURCE,
        "search_text": _more_words(gathered),
        **state_by_import(model, stated, source=SOURCE),
    }
    differing = {name: value for name, value in wanted.items() if getattr(model, name) != value}
    if differing:
        differing["updated_at"] = now()
    for name, value in differing.items():
        setattr(model, name, value)
    return set(differing)


def _more_words(gathered: Gathered) -> str:
    able = [flag.replace("_", " ") for flag, can in gathered.capabilities.items() if can]
    words = Counter(" ".join([gathered.mode.replace("_", " "), *gathered.providers, *able]).split())
    return " ".join(sorted(words))


def _write_offers(offers: list[Offer]) -> None:
    """Insert new offers and update others. Removes `is_primary` before setting it, as its unique index requires."""
    Offer.objects.filter(pk__in=[offer.pk for offer in offers], is_primary=True).update(is_primary=False)
    new = [offer for offer in offers if offer._state.adding]
    changed = [offer for offer in offers if not offer._state.adding]
    Offer.objects.bulk_create(new, batch_size=1000)
    Offer.objects.bulk_update(changed, ["model", "is_primary", *_STATED], batch_size=500)
