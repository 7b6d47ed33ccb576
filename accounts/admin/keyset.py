"""Lists of the admin with the same cost at any length: keyset pages, and search by the beginning of a text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, SEARCH_VAR
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model, Q, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.views import ChangeList

from accounts.permissions import signed_in
from accounts.sight import hidden_from_staff
from core.keyset import requested_page
from core.prefix import begins_with

# The most rows of another table, such as tenants, people or models, that a search follows.
FOUND = 100


class KeysetPages:
    """The paginator for the template: it has links to the rows before and after, but no numbers."""

    template_name = "admin/keyset_pages.html"

    def __init__(self, newer_url: str, older_url: str) -> None:
        self.newer_url, self.older_url = newer_url, older_url

    def get_elided_page_range(self, number: int) -> list[int]:
        """Return no numbers; the template tag calls this before it renders ours."""
        return []


class KeysetChangeList(ChangeList):  # type: ignore[misc]
    """Pages by the last row's values. For an order by other tables or by nullable values it uses Django's pages."""

    def get_filters_params(self, params: Any = None) -> Any:
        asked = {
            name: values for name, values in super().get_filters_params(params).items() if name not in PLACES
        }
        if any("\0" in value for values in asked.values() for value in values):
            raise IncorrectLookupParameters("PostgreSQL cannot store this character.")
        return asked

    @cached_property
    def narrowed_by(self) -> list[dict[str, Any]]:
        """What narrows the list, in words, each with the address of the list without it: search, filters, lookups."""
        found = []
        if self.query:
            words = _("Search: “%(term)s”") % {"term": self.query}
            found.append({"words": words, "url": self.get_query_string(remove=[SEARCH_VAR])})
        rest = self.get_filters_params(self.filter_params)
        for spec in self.filter_specs:
            names = [name for name in spec.expected_parameters() if name in self.params]
            for name in spec.expected_parameters():
                rest.pop(name, None)
            if names:
                url = self.get_query_string(remove=names)
                found.append({"words": self._words_of(spec), "url": url})
        for name in rest:
            words = capfirst(str(_named(self.model, name.split(LOOKUP_SEP)[0])))
            found.append({"words": words, "url": self.get_query_string(remove=[name])})
        return found

    def _words_of(self, spec: Any) -> str:
        """A filter of the address with its choice, in words."""
        name = capfirst(str(spec.title))
        chosen = next((str(one["display"]) for one in spec.choices(self) if one["selected"]), None)
        if chosen is not None:
            return _("%(filter)s: %(value)s") % {"filter": name, "value": chosen}
        said = [self.params[one] for one in spec.expected_parameters() if self.params.get(one)]
        if said:
            return _("%(filter)s: there is no choice “%(value)s”") % {"filter": name, "value": said[0][:60]}
        return _("%(filter)s: the address names no choice") % {"filter": name}

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """The rows. None if the address names a choice that a filter does not have: it must not show more."""
        rows: QuerySet[Any] = super().get_queryset(request, *args, **kwargs)
        is_unknown = any(
            not any(choice["selected"] for choice in spec.choices(self)) for spec in self.filter_specs
        )
        return rows.none() if is_unknown else rows

    def get_results(self, request: HttpRequest) -> None:
        self.hidden = hidden_from_staff(signed_in(request), self.model)
        self.empty_words = self.model_admin.empty_words(request)
        order = self.get_ordering(request, self.queryset)
        if not all(isinstance(name, str) and _is_own(self.queryset, name.lstrip("-")) for name in order):
            super().get_results(request)
            return
        page = requested_page(
            request,
            self.queryset,
            order,
            size=self.list_per_page,
        )
        self.result_list = page.rows
        self.result_count = self.full_result_count = len(page.rows)
        self.show_full_result_count, self.show_admin_actions, self.can_show_all = False, True, False
        self.multi_page = bool(page.before or page.after)
        self.paginator = KeysetPages(
            self.get_query_string({"before": page.before}, remove=["after"]) if page.before else "",
            self.get_query_string({"after": page.after}, remove=["before"]) if page.after else "",
        )


class KeysetListMixin:
    """Gives a ModelAdmin a list in one order, by keyset, without counts, and with search by beginnings."""

    model: Any
    search_fields: Any
    sortable_by: Any = ()
    search_help_text: Any = gettext_lazy("Begins with …")

    empty_title: Any = None
    empty_text: Any = ""

    def empty_words(self, request: HttpRequest) -> dict[str, Any] | None:
        """The title and the text of an empty list that nothing narrows; None: the usual ones."""
        return {"title": self.empty_title, "text": self.empty_text} if self.empty_title else None

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list. For an address that cannot be read, Django leaves out all of its filters, which is said."""
        if ERROR_FLAG in request.GET:
            messages.warning(
                request,
                _("The address held something that is no filter of this list, so nothing narrows the list."),
            )
        answer: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        return answer

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if search_term := search_term.strip():
            queryset = queryset.filter(found_by(self.model, self.search_fields, search_term))
        return queryset, False


PLACES = frozenset({"before", "after"})


def _is_own(rows: QuerySet[Any], name: str) -> bool:
    """Whether rows can be compared by this name: a column of their own that is never null, or an annotation.

    A list that sorts by an annotation must make sure that it is never null.
    """
    if name == "pk" or name in rows.query.annotations:
        return True
    try:
        field = rows.model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return field.concrete and not field.is_relation and not field.null


def _named(model: type[Model], name: str) -> Any:
    """What people call a column of the model; its own name if it is none."""
    try:
        return getattr(model._meta.get_field(name), "verbose_name", name)
    except FieldDoesNotExist:
        return name


def found_by(model: type[Model], names: Iterable[str], term: str) -> Q:
    """The rows in which one of `names` begins with `term`.

    For names behind a relation, it first searches the other table by its own index; the ids narrow the list.
    """
    by_relation: dict[str, list[str]] = defaultdict(list)
    for name in names:
        relation, _, column = name.rpartition(LOOKUP_SEP)
        by_relation[relation].append(column)
    condition = begins_with(term, by_relation.pop("", []))
    for relation, columns in by_relation.items():
        other = model
        for step in relation.split(LOOKUP_SEP):
            other = other._meta.get_field(step).related_model  # type: ignore[assignment]
        found = other._base_manager.filter(begins_with(term, columns)).values_list("pk", flat=True)[:FOUND]
        condition |= Q(**{f"{relation}__in": list(found)})
    return condition
