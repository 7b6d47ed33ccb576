"""Filters of lists of the HTTP API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.request import Request
from rest_framework.serializers import ValidationError as InvalidRequest

# As the library reads them, in any case. It would read any other word as no filter.
BOOLEANS: Final = frozenset({"true", "false", "1", "0"})


class MomentField(IsoDateTimeField):  # type: ignore[misc]
    def to_python(self, value: object) -> datetime | None:
        """The moment in UTC. PostgreSQL refuses offsets of 16 hours and more, which ISO 8601 allows.

        Raises ValidationError also for moments outside of the years 1 to 9999.
        """
        moment: datetime | None = super().to_python(value)
        if moment is None:
            return None
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None


class MomentFilter(django_filters.IsoDateTimeFilter):  # type: ignore[misc]
    """A moment in ISO 8601, with any offset."""

    field_class = MomentField


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class RepeatableTextFilter(django_filters.CharFilter):  # type: ignore[misc]
    """A text that a query may give several times. The field validates the last one; its method reads them all."""


class WordsFilter(django_filters.CharFilter):  # type: ignore[misc]
    """What somebody searches for. No words find everything, so it may be empty."""


class StatedFilters(DjangoFilterBackend):  # type: ignore[misc]
    """Refuses a filter that is there and says nothing. The library takes it as none, and answers with every row."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """Narrow a list. Raises ValidationError that names each filter that is empty, or no true and no false."""
        filters = self.get_filterset_class(view, queryset)
        wrong: dict[str, list[str]] = {}
        for name, one in (filters.get_filters() if filters else {}).items():
            values = [value.strip() for value in request.query_params.getlist(name)]
            if "" in values and not isinstance(one, WordsFilter):
                wrong[name] = [_("This filter is empty. Give it a value, or leave it out.")]
            elif isinstance(one, django_filters.BooleanFilter) and not BOOLEANS.issuperset(
                value.lower() for value in values
            ):
                wrong[name] = [_("This filter is true or false.")]
        if wrong:
            raise InvalidRequest(wrong)
        rows: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return rows
