"""What all operators' pages share: they look; actions go through actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model, QuerySet
from django.forms import BaseForm, Select
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES

from accounts.admin.keyset import KeysetListMixin
from accounts.permissions import signed_in
from core.errors import Conflict

SECRET_FIELDS = frozenset({"password", "digest", "session_key", "session_digest", "refresh_token"})
WHOLE_KEY = frozenset({"id", "pk", "exact", "in", "isnull"})


class ReadOnly:
    """No page adds, edits or deletes rows; state changes through actions only."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, KeysetListMixin, ModelAdmin):  # type: ignore[misc]
    """A read-only admin that shows what its reader may see: 25 rows a page, by keyset, in one order.

    No list offers tenants to choose from: there are thousands. A search finds what begins with the term: in the row's
    own columns, and in those of what it refers to (`search_fields` such as "tenant__name").
    """

    list_per_page = 25
    show_full_result_count = False
    list_disable_select_all = True
    actions = None
    sort_columns: Mapping[str, Any] = {}  # by name, what `get_ordering` sorts by beside the row's own columns

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """No filter in the address on what no page shows: a digest can be guessed a character at a time.

        Django lets one step through a relation pass, in either direction: from a person to their sessions' keys.
        Here a relation is compared with a whole key and nothing behind it.
        """
        first, *rest = lookup.split("__")
        if not SECRET_FIELDS.isdisjoint([first, *rest]):
            return False
        offered = [f"{name}__" for name in self.list_filter if isinstance(name, str) and "__" in name]
        if not (
            _is_plain(self.model, first) or {*rest} <= WHOLE_KEY or f"{lookup}__".startswith((*offered,))
        ):
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = self.model._default_manager.all()
        if hasattr(self.model, "queryset_class") or hasattr(rows, "visible_to"):
            rows = self.model.objects.visible_to(request.user)
        rows = rows.annotate(**self.sort_columns)
        ordering = self.get_ordering(request)
        visible: QuerySet[Any] = rows.order_by(*ordering) if ordering else rows
        return visible

    def carry_out(
        self, request: HttpRequest, object_id: str, action: Callable[..., Model], done: Any, **said: Any
    ) -> HttpResponse:
        """Do what a dialog asks of a row, say that it is done or why not, and go back to the row's page.

        `done` tells of the row as %(it)s, and of what was `said` in the dialog.
        """
        try:
            it = action(object_id, by=signed_in(request), **said)
        except Conflict as conflict:
            messages.error(request, conflict.message)
        else:
            messages.success(request, done % {"it": it, **said})
        return go_to(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", object_id)


def _is_plain(model: type[Model], name: str) -> bool:
    """Whether `name` is a column of the model itself, and leads to no other table."""
    try:
        return not model._meta.get_field(name).is_relation
    except FieldDoesNotExist:
        return False


def style(form: BaseForm, *names: str) -> None:
    """Give the fields of a form of ours, or those that are named, the looks of the admin."""
    for field in [form.fields[name] for name in names or form.fields]:
        classes = SELECT_CLASSES if isinstance(field.widget, Select) else INPUT_CLASSES
        field.widget.attrs["class"] = " ".join(classes)


def go_to(name: str, *args: object) -> HttpResponse:
    """The answer of a dialog that has done its action: htmx goes to another page."""
    return HttpResponse(headers={"HX-Redirect": reverse(name, args=args)})
