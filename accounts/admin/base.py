"""What all operators' pages share: they look; actions go through actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model, QuerySet
from django.forms import BaseForm, Select
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from unfold.admin import ModelAdmin
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES

from accounts.admin.keyset import KeysetListMixin
from accounts.declared import Action
from accounts.permissions import signed_in

SECRET_FIELDS = frozenset({"password", "digest", "session_key", "session_digest", "refresh_token"})
Function = TypeVar("Function", bound=Callable[..., Any])
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
    # By name, what `get_ordering` sorts by beside the row's own columns.
    sort_columns: Mapping[str, Any] = {}

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

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """The buttons of a row's page, without those whose action, as it declares, is not possible for it now."""
        row = self.get_object(request, object_id)
        buttons = super().get_actions_detail(request, object_id)
        return [button for button in buttons if _is_possible(request, button.method, row)]

    def form_page(
        self,
        request: HttpRequest,
        form: BaseForm,
        *,
        title: str | Promise,
        button: str | Promise,
        hint: str | Promise,
    ) -> HttpResponse:
        """A page with one form, in the frame of the admin; a form that was refused comes back as 422.

        `hint` stands above the form, and `button` is what its button says.

        Args:
            request: the request of the page.
            title: the heading of the page.
        """
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": title,
            "form": form,
            "button": button,
            "hint": hint,
            "back": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"),
        }
        return render(request, "admin/accounts/form.html", context, status=422 if form.is_bound else 200)


def offers(action: Action[Any, ..., Any]) -> Callable[[Function], Function]:
    """Say which action a button or page of the admin leads to; `Dialog` says it by itself."""

    def say(function: Function) -> Function:
        function.offers = action  # type: ignore[attr-defined]
        return function

    return say


def _is_possible(request: HttpRequest, method: Any, row: Model | None) -> bool:
    action: Action[Any, ..., Any] | None = getattr(method, "offers", None)
    if action is None or not isinstance(row, action.subject):
        return True
    return action.is_possible(signed_in(request), row)


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


def go_to(name: str, *args: object, status: int = 200) -> HttpResponse:
    """The answer of a dialog that has tried its action: htmx goes to another page, whatever the status."""
    return HttpResponse(status=status, headers={"HX-Redirect": reverse(name, args=args)})
