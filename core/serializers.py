"""The base of all serializers of the HTTP API: a field that nobody reads is an error, not silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from django.db.models import Model
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

Row = TypeVar("Row", bound=Model)
UNKNOWN: Final = _("There is no such field here.")
READ_ONLY: Final = _("This field cannot be set here.")
# An answer repeats at most so many names, and so many characters of each.
MOST_NAMED: Final = 20
LONGEST_NAMED: Final = 80

if TYPE_CHECKING:
    _Reads = serializers.Serializer[Any]
else:
    _Reads = object


class RefusesUnknownFields(_Reads):
    # Without a docstring: the OpenAPI document would show it at each serializer that has none.

    # False for what reads only a part of a body or query, before somebody else reads all of it.
    reads_everything: ClassVar[bool] = True

    def to_internal_value(self, data: Any) -> Any:
        """Validate. Raises ValidationError that names each wrong field, and each that this serializer does not read."""
        surplus = self._surplus(data) if self.reads_everything and isinstance(data, Mapping) else {}
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as wrong:
            if isinstance(wrong.detail, dict):
                raise serializers.ValidationError({**wrong.detail, **surplus}) from wrong
            raise
        if surplus:
            raise serializers.ValidationError(surplus)
        return values

    def _surplus(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        fields = self.fields
        ignored = [name for name in data if name not in fields or fields[name].read_only]
        return {
            name[:LONGEST_NAMED]: [READ_ONLY if name in fields else UNKNOWN] for name in ignored[:MOST_NAMED]
        }


class StrictSerializer(RefusesUnknownFields, serializers.Serializer[Any]):
    pass


class StrictModelSerializer(RefusesUnknownFields, serializers.ModelSerializer[Row]):
    pass


def require_no_fields(data: Any) -> None:
    """Raise ValidationError if the body of an action that takes no answers has any. An empty body is fine."""
    if data:
        StrictSerializer(data=data).is_valid(raise_exception=True)
