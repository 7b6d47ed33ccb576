"""Filters of admin lists that offer only a few of possibly thousands of values, and read no more than those."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AllValuesFieldListFilter, FieldListFilter, RelatedFieldListFilter
from django.db.models import Field
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core.choices import MOST
from core.ids import is_uuid

# The number of newest rows whose values are offered.
LOOKED_AT = 1000


class FewRelatedFilter(RelatedFieldListFilter):
    """Offers the first rows of another table and the chosen one; a search finds rows that refer to the others."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        rows = field.related_model._default_manager.all()
        ordering = self.field_admin_ordering(field, request, model_admin)
        found = list(rows.order_by(*ordering or ["pk"])[:MOST])
        chosen = [value for value in self.lookup_val or [] if is_uuid(value)]
        found += [row for row in rows.filter(pk__in=chosen) if row not in found]
        return [(str(row.pk), str(row)) for row in found]


class FewValuesFilter(FieldListFilter):
    """Offers the values of a column in the newest rows; the URL accepts any other value."""

    def __init__(
        self,
        field: Field[Any, Any],
        request: HttpRequest,
        params: Any,
        model: Any,
        model_admin: Any,
        field_path: str,
    ) -> None:
        self.lookup_kwarg = field_path
        self.chosen: str | None = params[field_path][-1] if field_path in params else None
        super().__init__(field, request, params, model, model_admin, field_path)
        newest = model_admin.get_queryset(request).order_by("-pk").values("pk")[:LOOKED_AT]
        found = model._default_manager.filter(pk__in=newest).order_by(field_path)
        self.values = [str(value) for value in found.values_list(field_path, flat=True).distinct()[:MOST]]

    def expected_parameters(self) -> list[str | None]:
        return [self.lookup_kwarg]

    def has_output(self) -> bool:
        return bool(self.values)

    def choices(self, changelist: Any) -> Any:
        everything = changelist.get_query_string(remove=[self.lookup_kwarg])
        yield {"selected": self.chosen is None, "query_string": everything, "display": _("All")}
        for value in dict.fromkeys([*self.values, *([self.chosen] if self.chosen else [])]):
            yield {
                "selected": value == self.chosen,
                "query_string": changelist.get_query_string({self.lookup_kwarg: value}),
                "display": value,
            }


class WordsFilter(AllValuesFieldListFilter):
    """Offers the values that rows have, few by nature, in words: `words` names one."""

    words: Callable[[str], str]

    def choices(self, changelist: Any) -> Any:
        everything, *others = super().choices(changelist)
        yield everything
        known = {str(value): self.words(value) for value in self.lookup_choices if value is not None}
        for one in others:
            said = str(one["display"])
            yield one | {"display": known.get(said, said)}
