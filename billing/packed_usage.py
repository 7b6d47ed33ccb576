"""Usage of all kinds as one number, so that PostgreSQL adds up every kind with one sum.

A kind with the number `id` (UsageKind) has the sixteen decimal places from 10^(16·(id − 1)) on. The packed number is
the sum of count × place over the kinds. Adding packed numbers therefore adds each kind, and subtracting what was added
subtracts each: a sum over calls, hours or days is again the packed usage of all of them. Sixteen places hold ten
quadrillion of a kind in one sum; the tables of sums reject more tokens than that, so no kind runs into the next.
Decision 26 says what else was measured.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

# Decimal places of one kind. Migrations 0002 and 0005 have the same number.
PLACES: Final = 16
# PostgreSQL's numeric has digits to the base 10,000, so a kind has four of them.
DIGITS: Final = PLACES // 4
# How `struct` writes them in PostgreSQL's binary format: those of a count below 10^12, and those of a kind without one.
DIGITS_OF_COUNT: Final = "2x3H"
NO_DIGITS: Final = "8x"


def pack(counts: Mapping[int, int]) -> int:
    """The packed number of counts by the kinds' ids."""
    return sum(count * 10 ** (PLACES * (kind - 1)) for kind, count in counts.items())


def unpack(text: str) -> dict[int, int]:
    """The counts by the kinds' ids of a packed number in decimal notation, without kinds that were not used.

    Raises ValueError if the number is negative: some kind then lost more than it had.
    """
    if text.startswith("-"):
        raise ValueError(f"usage cannot be negative: {text}")
    counts = {}
    for kind, end in enumerate(range(len(text), 0, -PLACES), start=1):
        if count := int(text[max(end - PLACES, 0) : end]):
            counts[kind] = count
    return counts


def count_of(usage: str, place: str) -> str:
    """SQL for the count of the kind with this place (`UsageKind.place`) in packed usage, as bigint.

    No function of the database: it could not be written into the query that calls it, and would take ten times as long.
    """
    return f"mod(div({usage}, {place}), 1e{PLACES})::bigint"


def head_of_digits(kinds: int) -> bytes:
    """The header of a numeric that has the digits of the kinds with the ids `kinds` down to 1, length included."""
    digits = kinds * DIGITS
    return struct.pack(">ihhhh", 8 + 2 * digits, digits, digits - 1, 0, 0)
