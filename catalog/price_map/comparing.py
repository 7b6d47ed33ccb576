"""Comparing what a file says with what the catalog has, entry by entry. Pure: no database, no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from catalog.price_map.reading import ReadFile, ReadOffer
from catalog.price_map.verdicts import Verdict, verdicts

NEW: Final = "new"
CHANGED: Final = "changed"
WITHDRAWN: Final = "withdrawn"
Stated = Mapping[str, Any]


@dataclass(frozen=True)
class Compared:
    """One entry that somebody has to decide."""

    key: str
    name: str
    provider: str
    kind: str
    before: Stated | None
    after: Stated | None
    digest: str
    held_for: list[Verdict]
    differs: list[str]


@dataclass
class Comparison:
    """All entries to decide, and the numbers of the others."""

    entries: list[Compared] = field(default_factory=list)
    unchanged: int = 0
    # Somebody has rejected the very same before.
    rejected_before: int = 0


@dataclass(frozen=True)
class Known:
    """What the catalog has."""

    # Offers of the source, by key, as stored.
    offers: Mapping[str, Stated]
    # By name of a model, the offers of other sources.
    others: Mapping[str, Sequence[Stated]]
    # By name of a model, the facts that an operator has entered.
    by_operators: Mapping[str, Mapping[str, Any]]
    # By name of a model, its licence.
    licences: Mapping[str, str]
    # Keys and digests that somebody has rejected.
    rejected: frozenset[tuple[str, str]]


def as_stated(offer: ReadOffer) -> dict[str, Any]:
    """What an entry of a file says, as entries of imports keep it."""
    day = offer.deprecation_date
    return {
        "name": offer.name,
        "provider": offer.provider,
        "region": offer.region,
        "prices": offer.prices,
        "facts": offer.facts,
        "source_url": offer.source_url,
        "deprecation_date": day.isoformat() if day else None,
        "digest": offer.digest,
    }


def compare(read: ReadFile, known: Known) -> Comparison:
    """What differs, by model and key: with verdicts first, and last what a file, perhaps a partial one, leaves out."""
    result = Comparison()
    said = {offer.source_key: as_stated(offer) for offer in read.offers}
    peers = _peers(said, known)
    for key, after in said.items():
        before = known.offers.get(key)
        if before is not None and before["digest"] == after["digest"]:
            result.unchanged += 1
        elif (key, after["digest"]) in known.rejected:
            result.rejected_before += 1
        else:
            result.entries.append(_entry(key, before, after, peers, known))
    for key, before in known.offers.items():
        # What cannot be read is named all the same.
        if key in said or key in read.refused:
            continue
        if (key, withdrawal_of(before)) in known.rejected:
            result.rejected_before += 1
        else:
            result.entries.append(_entry(key, before, None, peers, known))
    result.entries.sort(key=lambda one: (one.kind == WITHDRAWN, not one.held_for, one.name, one.key))
    return result


def withdrawal_of(before: Stated) -> str:
    """Stands for the digest of an entry that the file does not name."""
    return f"-{before['digest']}"[:64]


def otherwise(name: str, after: Stated | None, known: Known) -> list[str]:
    """The facts of which an operator says something else than the entry."""
    if after is None:
        return []
    entered = known.by_operators.get(name, {})
    facts = after["facts"] | {"deprecation_date": after["deprecation_date"]}
    return sorted(fact for fact, value in entered.items() if facts.get(fact) not in (None, "", [], value))


def _entry(
    key: str,
    before: Stated | None,
    after: Stated | None,
    peers: Mapping[str, Mapping[str, Mapping[str, str]]],
    known: Known,
) -> Compared:
    said = after or before or {}
    name = said["name"]
    near = [prices for other, prices in peers.get(name, {}).items() if other != key]
    return Compared(
        key=key,
        name=name,
        provider=said["provider"],
        kind=WITHDRAWN if after is None else NEW if before is None else CHANGED,
        before=before,
        after=after,
        digest=after["digest"] if after else withdrawal_of(said),
        held_for=verdicts(before, after, peers=near, licence=known.licences.get(name, "")),
        differs=otherwise(name, after, known),
    )


def _peers(said: Mapping[str, Stated], known: Known) -> dict[str, dict[str, Mapping[str, str]]]:
    """By model, the prices of its offers by key: of the file, or else as we know them. Variants are left out."""
    peers: dict[str, dict[str, Mapping[str, str]]] = defaultdict(dict)
    for name, offers in known.others.items():
        for number, offer in enumerate(offers):
            # No key of a file begins like this.
            peers[name][f" {number}"] = offer["prices"]
    for key, offer in ({**known.offers, **said}).items():
        if offer["prices"] and not offer["facts"].get("variant"):
            peers[offer["name"]][key] = offer["prices"]
    return peers
