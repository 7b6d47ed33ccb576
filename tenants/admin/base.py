"""What all operators' pages share: they look; deeds go through actions."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.admin import ModelAdmin

SECRET_FIELDS = frozenset({"password", "digest"})


class LookOnly:
    """No page adds, edits or deletes rows; state changes through actions only."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LookAdmin(LookOnly, ModelAdmin):  # type: ignore[misc]
    """A read-only admin that shows what its reader may see: 25 rows a page, and no count of everything."""

    list_per_page = 25
    show_full_result_count = False
    list_disable_select_all = True
    actions = None

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """No filter in the address on what no page shows: a digest can be guessed a character at a time."""
        if not SECRET_FIELDS.isdisjoint(lookup.split("__")):
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = self.model._default_manager.all()
        if hasattr(self.model, "queryset_class") or hasattr(rows, "visible_to"):
            rows = self.model.objects.visible_to(request.user)
        ordering = self.get_ordering(request)
        visible: QuerySet[Any] = rows.order_by(*ordering) if ordering else rows
        return visible


def go_to(name: str, *args: object) -> HttpResponse:
    """The answer of a dialog that has done its deed: htmx goes to another page."""
    return HttpResponse(headers={"HX-Redirect": reverse(name, args=args)})
