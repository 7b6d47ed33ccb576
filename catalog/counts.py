"""The numbers beside the options of all facets, in one query that looks at each model once.

For every model that the words find, the query notes which of the chosen facets it misses, one bit each. An option's
count is that of the models that have it and miss no other facet. The models that miss only one facet are those that
removing it would bring.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Case, IntegerField, Q, TextField, Value, When
from django.db.models.functions import Cast

from catalog.facets import FACETS, Facet, Shape
from catalog.querysets import CatalogModelQuerySet
from catalog.reader import Reader


@dataclass(frozen=True)
class Counts:
    """What `count` found."""

    # Models that match the whole selection.
    total: int
    # By facet and value, in the order of their numbers. Values that no model has are absent.
    options: Mapping[str, Mapping[str, int]]
    # By chosen facet, how many models there were without it; all are 0 unless `total` is.
    without: Mapping[str, int]


def chosen_condition(facet: Facet, reader: Reader, values: Sequence[str]) -> Q:
    """The condition that a model suits the chosen values of one facet."""
    conditions = [facet.condition(reader, value) for value in values]
    met = conditions[0]
    for one in conditions[1:]:
        met = met & one if facet.shape is Shape.ALL else met | one
    return met


def steps_of(facet: Facet, values: Sequence[str]) -> list[str]:
    """The options of a facet of steps, with chosen values that are no options among them, from the widest on."""
    options = list(facet.options or ())
    others = [value for value in values if value not in options and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value)]
    if not facet.is_single or not others:
        return options
    return sorted([*options, *others], key=float, reverse=float(options[0]) > float(options[-1]))


def count(found: CatalogModelQuerySet[Any], reader: Reader, chosen: Mapping[str, Sequence[str]]) -> Counts:
    """Count `found` by the options of every facet that the reader is shown. One query."""
    shown = [facet for facet in FACETS.values() if facet.is_shown(reader)]
    bits = {key: 1 << place for place, key in enumerate(key for key in FACETS if chosen.get(key))}
    missed: Any = Value(0)
    for key, bit in bits.items():
        met = chosen_condition(FACETS[key], reader, chosen[key])
        missed = missed + Case(When(met, then=0), default=bit, output_field=IntegerField())
    steps = {facet.key: steps_of(facet, chosen.get(facet.key, ())) for facet in shown}
    columns = {
        f"of_{facet.key}": Cast(column, TextField()) if facet.shape is Shape.ONE else column
        for facet in shown
        for column in [facet.column(reader, steps[facet.key])]
    }
    rows = found.order_by().values(missed=missed, **columns)
    try:
        sql, parameters = rows.query.sql_with_params()
    except EmptyResultSet:
        # The search has no words, only signs.
        return Counts(0, {facet.key: {} for facet in shown}, dict.fromkeys(bits, 0))
    parts = ["SELECT '', missed::text, count(*) FROM found GROUP BY 2"]
    for facet in shown:
        bit = 0 if facet.shape is Shape.ALL else bits.get(facet.key, 0)
        is_array = facet.shape in (Shape.SOME, Shape.ALL)
        option = "one" if is_array else f"of_{facet.key}::text"
        source = f"found, unnest(of_{facet.key}) one" if is_array else "found"
        where = f"FROM {source} WHERE missed IN (0, {bit}) GROUP BY 2"
        parts.append(f"SELECT '{facet.key}', {option}, count(*) {where}")
    whole = f"WITH found AS MATERIALIZED ({sql}) " + " UNION ALL ".join(parts)
    with connection.cursor() as cursor:
        cursor.execute(whole, parameters)
        answer = cursor.fetchall()
    by_missed = {int(value): number for key, value, number in answer if not key}
    options: dict[str, dict[str, int]] = {facet.key: {} for facet in shown}
    for key, value, number in sorted((row for row in answer if row[0]), key=lambda row: (-row[2], row[1])):
        options[key][value] = number
    for facet in shown:
        if facet.shape is Shape.STEPS:
            options[facet.key] = _at_least(steps[facet.key], options[facet.key])
    return Counts(by_missed.get(0, 0), options, {key: by_missed.get(bit, 0) for key, bit in bits.items()})


def _at_least(values: Sequence[str], by_step: Mapping[str, int]) -> dict[str, int]:
    return {
        value: sum(number for step, number in by_step.items() if int(step) >= place)
        for place, value in enumerate(values, 1)
    }
