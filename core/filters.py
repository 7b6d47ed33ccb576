"""Filters of lists of the HTTP API."""

from __future__ import annotations

from datetime import UTC, datetime

import django_filters
from django.core.exceptions import ValidationError
from django_filters.fields import IsoDateTimeField
from drf_spectacular.utils import extend_schema_field


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
