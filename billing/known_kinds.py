"""The rows of UsageKind as the ledger uses them: numbers for names, and names for numbers.

A gateway may name a kind that the console does not know. The kind then becomes a row of its own, with the unit
"unknown" and without a price: calls that used it are kept and are not priced. An alarm is logged until an operator
describes the kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import structlog
from django.db import connection, transaction

from billing.kinds import DECLARED, Kind, Unit
from billing.packed_usage import pack, unpack

log = structlog.get_logger(__name__)

# The most rows there may be. Every kind costs eight bytes in each sum that contains a kind with a higher number.
MOST_KINDS: Final = 250
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_BY_CODE: Final = {str(one.kind): one for one in DECLARED}


class KnownKind(NamedTuple):
    """What ingest and pages need to know of a kind."""

    id: int
    name: str
    unit: str
    # Whole numbers of it are multiples of 1/scale units.
    scale: int
    needs_price: bool
    # Empty: that of the code, translated.
    label: str
    # False: a gateway named it, and nobody has described it yet.
    is_known: bool

    @property
    def place(self) -> int:
        """What a count of it is multiplied by in packed usage."""
        return pack({self.id: 1})

    @property
    def is_token(self) -> bool:
        return self.unit == Unit.TOKEN

    @property
    def words(self) -> str:
        """Its name for people."""
        return self.label or (str(Kind(self.name).label) if self.name in _BY_CODE else self.name)


# Rows that are certain to stay as they are: those of `migrate`, and others that are described and committed.
_certain: dict[str, KnownKind] = {}
_names: dict[int, str] = {}

_READ: Final = """
SELECT id, name, unit, scale, needs_price, label, is_known FROM usage_kind ORDER BY id
"""
_CREATE: Final = """
INSERT INTO usage_kind (name, label, unit, scale, price_for, needs_price, is_known, created_at)
SELECT name, '', 'unknown', 1, 1, true, false, now()
  FROM unnest(%s::text[]) AS name
 WHERE NOT EXISTS (SELECT FROM usage_kind k WHERE k.name = name.name)
 ORDER BY name
 LIMIT greatest(0, %s - (SELECT count(*) FROM usage_kind))
ON CONFLICT (name) DO NOTHING RETURNING name
"""
# Held while a row is added, so that nobody else adds one after MOST_KINDS were counted.
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('billing.usage_kinds'))"
_DECLARE: Final = """
INSERT INTO usage_kind (name, label, unit, scale, price_for, needs_price, is_known, created_at)
VALUES (%s, '', %s, %s, %s, %s, true, now())
ON CONFLICT (name) DO UPDATE SET unit = excluded.unit, scale = excluded.scale, price_for = excluded.price_for,
                                 needs_price = excluded.needs_price, is_known = true
    WHERE NOT usage_kind.is_known
"""


def make_declared_kinds(**_kwargs: Any) -> None:
    """Make the rows of DECLARED that are missing, and describe those that a gateway named first. Safe to repeat."""
    _certain.clear()
    _names.clear()
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('usage_kind')")
        # `migrate` may stop at an earlier state.
        if cursor.fetchone()[0] is None:
            return
        cursor.execute("SELECT name FROM usage_kind WHERE is_known")
        there = {name for (name,) in cursor.fetchall()}
        for one in DECLARED:
            if one.kind not in there:
                cursor.execute(_DECLARE, [one.kind, one.unit, one.scale, one.price_for, one.needs_price])


def all_kinds() -> list[KnownKind]:
    """Every kind, by its number. Takes one query."""
    with connection.cursor() as cursor:
        cursor.execute(_READ)
        found = [KnownKind(*row) for row in cursor.fetchall()]
    for one in found:
        # What a transaction has made may yet be undone; and an undescribed kind may yet become one of tokens.
        if one.name in _BY_CODE or (one.is_known and not connection.in_atomic_block):
            _certain[one.name] = one
            _names[one.id] = one.name
    return found


def kinds_named(names: Iterable[str]) -> dict[str, KnownKind]:
    """The kinds with these names. Makes rows for unknown ones, with an alarm.

    A name is missing from the result if it cannot be one, or if there are MOST_KINDS already.
    """
    wanted = {str(name) for name in names if isinstance(name, str) and NAME.fullmatch(name)}
    if wanted <= _certain.keys():
        return {name: _certain[name] for name in wanted}
    found = {one.name: one for one in all_kinds()}
    if missing := sorted(wanted - found.keys()):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(LOCK)
            cursor.execute(_CREATE, [missing, MOST_KINDS])
            made = sorted(name for (name,) in cursor.fetchall())
        log.error("usage_kind_unknown", kinds=made, not_made=sorted({*missing} - {*made}))
        found = {one.name: one for one in all_kinds()}
    return {name: found[name] for name in wanted & found.keys()}


def unknown_kinds() -> list[str]:
    """Names of kinds that nobody has described yet."""
    return [one.name for one in all_kinds() if not one.is_known]


def quantities_of(packed: str | None) -> dict[str, int]:
    """The counts by name of packed usage in decimal notation, in the order of the kinds' numbers. None: nothing."""
    counts = unpack(packed) if packed else {}
    names: Mapping[int, str] = _names
    if not counts.keys() <= names.keys():
        names = {one.id: one.name for one in all_kinds()}
    return {names[kind]: count for kind, count in counts.items()}


def kind_named(name: str) -> KnownKind | None:
    """The kind with this name; None if there is none."""
    return _certain.get(name) or next((one for one in all_kinds() if one.name == name), None)


def words_of(name: str) -> str:
    """A kind's name for people; that of the row if an operator added it."""
    if name in _BY_CODE:
        return str(Kind(name).label)
    known = kind_named(name)
    return known.words if known else name
