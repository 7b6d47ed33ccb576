"""Search by the beginning of a text, in a form that can use an index under row-level security.

`LIKE` and `lower()` are not leakproof: PostgreSQL checks a policy before it evaluates them, so they never become index
conditions for the console's role. Comparisons of text are leakproof. The indexes named `…_prefix` sort by code
points, which keeps texts with the same beginning together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import CharField, Index, Lookup, Q, TextField
from django.db.models.functions import Collate

LAST = "\U0010ffff"  # nothing sorts after it


class _ByCodePoint(Lookup):
    operator: str
    # Otherwise name fields would clean away the end of a range, which is a noncharacter.
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        column, values = self.process_lhs(compiler, connection)
        value, more = self.process_rhs(compiler, connection)
        return f'{column} COLLATE "C" {self.operator} {value}', [*values, *more]


@CharField.register_lookup
@TextField.register_lookup
class FromCodePoint(_ByCodePoint):
    """Equal or later, whatever the language of the database."""

    lookup_name, operator = "from_code_point", ">="


@CharField.register_lookup
@TextField.register_lookup
class BeforeCodePoint(_ByCodePoint):
    """Earlier, whatever the language of the database."""

    lookup_name, operator = "before_code_point", "<"


def begins_with(term: str, names: Iterable[str]) -> Q:
    """The condition that one of these fields begins with `term`, as typed, in small letters or with a capital.

    An empty term, or one that PostgreSQL cannot store, matches nothing.
    """
    if not term or "\0" in term:
        return Q(pk__in=[])
    variants = dict.fromkeys([term, term.lower(), term[:1].upper() + term[1:]])
    condition = Q(pk__in=[])
    for name in names:
        for variant in variants:
            last = variant + LAST
            condition |= Q(**{f"{name}__from_code_point": variant, f"{name}__before_code_point": last})
    return condition


def prefix_index(field: str, name: str) -> Index:
    """The index that answers `begins_with` for `field`."""
    return Index(Collate(field, "C"), name=name)
