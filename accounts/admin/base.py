"""The base of all operators' pages: they show rows, and change them only through actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.db.models import ForeignKey, Model, QuerySet
from django.forms import BaseForm, Media, Select
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES, UnfoldAdminSelectWidget

from accounts.admin.keyset import KeysetListMixin
from accounts.declared import Action
from accounts.permissions import signed_in
from accounts.sight import hidden_page

SECRET_FIELDS = frozenset(
    {"password", "digest", "session_key", "session_digest", "refresh_token", "ciphertext"}
)
Function = TypeVar("Function", bound=Callable[..., Any])
WHOLE_KEY = frozenset({"id", "pk", "exact", "in", "isnull"})


class ReadOnly:
    """No page adds, edits or deletes rows; only actions change state. None loads the scripts of Django's admin."""

    @property
    def media(self) -> Media:
        return Media()

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, KeysetListMixin, ModelAdmin):  # type: ignore[misc]
    """A read-only admin that shows only rows its reader may see: 25 per page, by keyset, in one order.

    No list has a filter by tenant, because there are thousands. A search finds rows where a column of their own, or of
    a row they refer to (`search_fields` such as "tenant__name"), begins with the term.
    """

    list_per_page = 25
    show_full_result_count = False
    list_disable_select_all = True
    actions = None
    # Expressions by name, which `get_ordering` sorts by besides the row's own columns.
    sort_columns: Mapping[str, Any] = {}
    # The column, a `display` with labels, that stands beside the row's name on its page: its state.
    page_badge = ""

    # What opens the list, if not Django's permission to view the model.
    view_permission = ""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Forbid URL filters on columns that no page shows: they would reveal a digest one character at a time.

        Django allows one step through a relation, in either direction, such as from a person to their sessions' keys.
        Here a filter can compare a relation only with a whole key.
        """
        first, *rest = lookup.split("__")
        if not SECRET_FIELDS.isdisjoint([first, *rest]):
            return False
        names = [one[0] if isinstance(one, tuple) else one for one in self.list_filter]
        names = [_whole(self.model, name) for name in names if isinstance(name, str)]
        # Django refuses the addresses of its own filter by a relation that refers to another column than the key.
        if any(
            lookup == name or lookup.removeprefix(f"{name}__") in WHOLE_KEY for name in names if "__" in name
        ):
            return True
        if not (_is_plain(self.model, first) or {*rest} <= WHOLE_KEY):
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list. Raises PermissionDenied, saying which roles see it, for everybody else."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied(str(hidden_page(self.model, self.view_permission)))
        answer: HttpResponse = super().changelist_view(request, extra_context)
        return answer

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = self.model._default_manager.all()
        if hasattr(self.model, "queryset_class") or hasattr(rows, "visible_to"):
            rows = self.model.objects.visible_to(request.user)
        rows = rows.annotate(**self.sort_columns)
        ordering = self.get_ordering(request)
        visible: QuerySet[Any] = rows.order_by(*ordering) if ordering else rows
        return visible

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """The buttons of a row's page, without those whose declared action is not possible for the row now."""
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
        row: Model | None = None,
        status: int = 422,
    ) -> HttpResponse:
        """A page with one form, in the frame of the admin; an invalid form comes back with `status`.

        `hint` is the text above the form, and `button` the label of its button.

        Args:
            request: the request of the page.
            title: the heading of the page.
            row: whose page "Cancel" leads to; None for the list.
            status: of the page if the form was sent.
        """
        context = self.frame_of_page(request, row) | {
            "title": title,
            "form": form,
            "button": button,
            "hint": hint,
        }
        return render(request, "admin/accounts/form.html", context, status=status if form.is_bound else 200)

    def frame_of_page(self, request: HttpRequest, row: Model | None) -> dict[str, Any]:
        """What the shell around a page of ours shows: the menu, the trail, and where "Cancel" leads (`back`)."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        back = reverse(f"{name}_change", args=[row.pk]) if row else reverse(f"{name}_changelist")
        frame: dict[str, Any] = self.admin_site.each_context(request)
        return frame | {"opts": self.opts, "original": row, "back": back}


class Colors(dict[Any, str]):
    """Colors of badges by value, for `label` of `display`, whose method returns (value, words).

    Never by the words, which depend on the language. Other values get the color of the usual state, which is none.
    """

    def __missing__(self, value: Any) -> str:
        return ""


def more(*names: str) -> dict[str, Any]:
    """A menu in the head of a page, for `actions_detail`: what is not done every day. An empty one is not shown."""
    return {"title": _("More"), "items": list(names)}


def offers(action: Action[Any, ..., Any]) -> Callable[[Function], Function]:
    """Declare which action a button or page of the admin leads to; `Dialog` does so by itself."""

    def say(function: Function) -> Function:
        function.offers = action  # type: ignore[attr-defined]
        return function

    return say


def _is_possible(request: HttpRequest, method: Any, row: Model | None) -> bool:
    action: Action[Any, ..., Any] | None = getattr(method, "offers", None)
    if action is None or not isinstance(row, action.subject):
        return True
    return action.is_possible(signed_in(request), row)


def _whole(model: type[Model], name: str) -> str:
    """The name of a filter; for a relation, with the column that it refers to, as Django's own filter has it."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return name
    return f"{name}__{field.target_field.name}" if isinstance(field, ForeignKey) else name


def _is_plain(model: type[Model], name: str) -> bool:
    """Whether `name` is a column of the model itself, not a relation to another table."""
    try:
        return not model._meta.get_field(name).is_relation
    except FieldDoesNotExist:
        return False


def style(form: BaseForm, *names: str) -> None:
    """Give all fields of a form of ours, or the named ones, the look of the admin."""
    for field in [form.fields[name] for name in names or form.fields]:
        is_select = isinstance(field.widget, Select)
        if is_select:
            # With the arrow that tells it from a line of text.
            field.widget.template_name = UnfoldAdminSelectWidget.template_name
        field.widget.attrs["class"] = " ".join(SELECT_CLASSES if is_select else INPUT_CLASSES)


def link(name: str, *args: object, text: object, query: str = "") -> str:
    """A link to a page of the admin.

    Args:
        name: of the page, without "admin:".
        args: of its URL.
        text: what people read.
        query: such as "?q=eu-1", with quoted values.
    """
    address = reverse(f"admin:{name}", args=args) + query
    return format_html('<a class="text-link underline" href="{}">{}</a>', address, text)
