"""Why an entry of an import is held back: what a person should look at before it is accepted.

Each verdict is a small dictionary, stored with the entry: its `code`, and the values that a sentence about it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.known_kinds import words_of

# Providers cut prices by half or two thirds. A fivefold step is rare, and a wrong unit changes a price a thousandfold.
FACTOR: Final = Decimal(5)
# Prices that nearly all offers of a model have; only these are compared between offers.
COMPARED: Final = ("input", "output")
CODES: Final = {
    "price_moved": gettext_lazy("Price moved far"),
    "price_appeared": gettext_lazy("New kind of price"),
    "price_vanished": gettext_lazy("Price vanished"),
    "price_alone": gettext_lazy("No other offer is near"),
    "window_shrank": gettext_lazy("Context shrank"),
    "licence_changed": gettext_lazy("License changed"),
    "withdrawn": gettext_lazy("No longer named"),
}
Verdict = Mapping[str, Any]


def verdicts(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    peers: Sequence[Mapping[str, str]] = (),
    licence: str = "",
) -> list[Verdict]:
    """What is suspicious about an entry; empty if nothing is.

    Args:
        before: what we have of the offer, as stored; None: nothing.
        after: what the file says; None: it does not name it.
        peers: prices of other offers of the model, without variants.
        licence: of the model, as known by now.
    """
    if after is None:
        return [{"code": "withdrawn"}]
    prices = decimals(after["prices"])
    known = decimals(before["prices"]) if before else {}
    found = list(jumps(known, prices)) if known else []
    if not after["facts"].get("variant"):
        found += _alone(known, prices, peers)
    then = before["facts"] if before else {}
    was, window = then.get("context_tokens"), after["facts"].get("context_tokens")
    if was and window and window < was:
        found.append({"code": "window_shrank", "was": was, "now": window})
    was, said = then.get("licence") or licence, after["facts"].get("licence")
    if was and said and said != was:
        found.append({"code": "licence_changed", "was": was, "now": said})
    return found


def jumps(before: Mapping[str, Decimal], after: Mapping[str, Decimal]) -> Iterator[Verdict]:
    """The prices, by kind, that changed by `FACTOR` or more, became free or priced, appeared or vanished."""
    for kind in sorted(before.keys() | after.keys()):
        old, new = before.get(kind), after.get(kind)
        if old is None and new is not None:
            yield {"code": "price_appeared", "kind": kind, "now": plain(new)}
        elif old is not None and new is None:
            yield {"code": "price_vanished", "kind": kind, "was": plain(old)}
        elif old is not None and new is not None and old != new and not is_near(old, new):
            yield {"code": "price_moved", "kind": kind, "was": plain(old), "now": plain(new)}


def _alone(
    known: Mapping[str, Decimal], prices: Mapping[str, Decimal], peers: Iterable[Mapping[str, str]]
) -> Iterator[Verdict]:
    """Prices that are new, and far from those of all other offers. Offers of only zeros say nothing of a price."""
    others = [decimals(one) for one in peers]
    for kind in COMPARED:
        price = prices.get(kind)
        if not price or price == known.get(kind):
            continue
        theirs = [other[kind] for other in others if other.get(kind)]
        if theirs and not any(is_near(price, other) for other in theirs):
            nearest = min(theirs, key=lambda other: max(price, other) / min(price, other))
            yield {"code": "price_alone", "kind": kind, "now": plain(price), "nearest": plain(nearest)}


def is_near(one: Decimal, other: Decimal) -> bool:
    """Whether two prices differ by less than `FACTOR`. A price of 0 is near to nothing else."""
    if not one or not other:
        return one == other
    return max(one, other) < FACTOR * min(one, other)


def in_words(verdict: Verdict) -> str:
    """A verdict as a sentence, in the language of the reader."""
    code = verdict.get("code")
    said: dict[str, Any] = dict(verdict)
    if "kind" in said:
        said["kind"] = words_of(said["kind"])
    if code == "price_moved":
        moved = _("%(kind)s: %(was)s → %(now)s") % said
        return f"{moved} {times(verdict['was'], verdict['now'])}".rstrip()
    if code == "price_appeared":
        return _("%(kind)s: had no price, now %(now)s") % said
    if code == "price_vanished":
        return _("%(kind)s: was %(was)s, now without a price") % said
    if code == "price_alone":
        return _("%(kind)s: %(now)s, but no other offer is near; the nearest is %(nearest)s") % said
    if code == "window_shrank":
        return _("Context: was %(was)s tokens, now %(now)s") % {
            "was": f"{said['was']:,}",
            "now": f"{said['now']:,}",
        }
    if code == "licence_changed":
        return _("License: was %(was)s, now %(now)s") % said
    if code == "withdrawn":
        return _("The file no longer names it. Accepting removes the offer.")
    return str(code)


def times(was: str, now: str) -> str:
    """By what factor a price moved, such as (×1000); empty from or to 0."""
    old, new = Decimal(was), Decimal(now)
    if not old or not new:
        return ""
    factor = (max(old, new) / min(old, new)).quantize(Decimal("0.1"))
    return f"({'×' if new > old else '÷'}{plain(factor)})"


def decimals(prices: Mapping[str, str]) -> dict[str, Decimal]:
    """An offer's prices, converted from strings to numbers."""
    return {kind: Decimal(price) for kind, price in prices.items()}


def plain(number: Decimal) -> str:
    """A number without an exponent and without zeros at its end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
