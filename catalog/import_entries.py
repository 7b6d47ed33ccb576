"""What an import is compared with, and the entries of earlier ones that it overtakes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, Final

from django.db.models import Exists, OuterRef

from catalog.applying import STATED, stored
from catalog.model_facts import IMPORTED, as_json
from catalog.models import CatalogImport, CatalogModel, ImportEntry, Offer
from catalog.price_map.comparing import Known, withdrawal_of
from catalog.price_map.reading import ReadFile
from catalog.price_map.verdicts import Verdict, in_words
from catalog.provenance import OPERATOR
from core.stored_words import in_english

# Values in one condition of a query.
CHUNK: Final = 5_000


def known_of(source: str, read: ReadFile) -> Known:
    """What the catalog has of a source's offers, and of their models. A bounded number of queries."""
    # Only the name of the model; its other columns are wide.
    mine = (
        Offer.objects.filter(source=source).select_related("model").only("source_key", "model__name", *STATED)
    )
    offers = {offer.source_key: stored(offer, offer.model.name) for offer in mine.iterator(2000)}
    names = {offer.name for offer in read.offers} | {said["name"] for said in offers.values()}
    others: dict[str, list[dict[str, Any]]] = defaultdict(list)
    rest = Offer.objects.exclude(source=source).filter(model__name__in=names).exclude(prices={})
    for name, prices, facts in rest.values_list("model__name", "prices", "facts"):
        if not facts.get("variant"):
            others[name].append({"prices": prices})
    entered: dict[str, dict[str, Any]] = {}
    licences: dict[str, str] = {}
    models = CatalogModel.objects.filter(name__in=names).values("name", "provenance", *IMPORTED)
    for model in models.iterator(2000):
        licences[model["name"]] = model["licence"]
        facts = {
            fact: as_json(model[fact])
            for fact, said in model["provenance"].items()
            if said.get("source") == OPERATOR and fact in IMPORTED
        }
        if facts:
            entered[model["name"]] = facts
    digests = {offer.digest for offer in read.offers} | {withdrawal_of(said) for said in offers.values()}
    rejected = ImportEntry.objects.filter(source=source, state=ImportEntry.State.REJECTED, digest__in=digests)
    return Known(offers, others, entered, licences, frozenset(rejected.values_list("key", "digest")))


def overtake(source: str, keys: Collection[str]) -> None:
    """A newer import of the source says something of these offers, so that open entries about them are void."""
    open_ones = ImportEntry.objects.filter(source=source, state__in=ImportEntry.OPEN)
    all_keys = sorted(keys)
    for start in range(0, len(all_keys), CHUNK):
        open_ones.filter(key__in=all_keys[start : start + CHUNK]).update(state=ImportEntry.State.OVERTAKEN)
    still = ImportEntry.objects.filter(run=OuterRef("pk"), state__in=ImportEntry.OPEN)
    CatalogImport.objects.filter(source=source, state=CatalogImport.State.OPEN).exclude(Exists(still)).update(
        state=CatalogImport.State.DONE
    )


def kept_words(verdicts: Iterable[Verdict]) -> str:
    """Verdicts as the audit log keeps them: in English."""
    with in_english():
        return "; ".join(map(in_words, verdicts))
