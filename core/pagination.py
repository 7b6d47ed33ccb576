"""Cursor pages: no counts, no page numbers, constant cost at any length of the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from core.keyset import is_place, keyset_page, page_of_parts, requested_place


class CursorPages(CursorPagination):
    """Newest first by UUIDv7, which sorts by time of creation."""

    ordering = "-pk"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500

    def decode_cursor(self, request: Request) -> Any:
        """The cursor of the request; 404 for a position where no row can be, as for any invalid cursor."""
        cursor = super().decode_cursor(request)
        if cursor is not None and "\0" in str(cursor.position):
            raise NotFound(self.invalid_cursor_message)
        return cursor


class KeysetPages(CursorPages):
    """The same for a list in any order, whose fields together are unique and never null (`get_ordering`).

    The library compares only the first field and counts rows that share it, up to a thousand, so a longer run of equal
    values would never end.
    """

    _address, _before, _after = "", "", ""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """The rows of the page that `cursor` names. Raises NotFound for a cursor of another list."""
        self.request, self._address = request, request.build_absolute_uri()
        order = self.get_ordering(request, queryset, view)
        direction, _, place = request.query_params.get(self.cursor_query_param, "").partition(".")
        if (direction or place) and (direction not in ("before", "after") or not is_place(place, order)):
            raise NotFound(self.invalid_cursor_message)
        here = {direction: place} if direction else {}
        page = keyset_page(queryset, order, size=self.get_page_size(request) or self.page_size, **here)
        self._before, self._after = page.before, page.after
        return page.rows

    def get_next_link(self) -> str | None:
        return self._link("after", self._after)

    def get_previous_link(self) -> str | None:
        return self._link("before", self._before)

    def _link(self, direction: str, place: str) -> str | None:
        if not place:
            return None
        return str(replace_query_param(self._address, self.cursor_query_param, f"{direction}.{place}"))


class _PlainPages(CursorPages):
    page_size = CursorPages.max_page_size


PLAIN_PAGE = _PlainPages.page_size
LINK = OpenApiParameter(
    "Link",
    location=OpenApiParameter.HEADER,
    response=[200],
    description='The pages before and after, as rel="prev" and rel="next" (RFC 8288); absent where there are none.',
)
CURSOR = OpenApiParameter(
    "cursor", description="A place in the list; `next` and `previous` have the complete addresses."
)
PAGE_SIZE = OpenApiParameter("page_size", int, description=f"At most {PLAIN_PAGE}, which is the default.")
PLAIN_PAGE_PARAMETERS = [
    PAGE_SIZE,
    OpenApiParameter("before", description="A place in the list; `Link` has the complete addresses."),
    OpenApiParameter("after", description="A place in the list; `Link` has the complete addresses."),
    LINK,
]


def plain_page(
    request: Request, parts: Sequence[tuple[QuerySet[Any], Sequence[str]]], serializer: Any
) -> Response:
    """A page of consecutive lists (`page_of_parts`) as a plain list; the `Link` header leads to the others.

    For lists that belong to one row, such as a project's limits. Requests other than GET get the first page.

    Raises ValidationError if the address names a place before the page and one after it.
    """
    here = requested_place(request.query_params) if request.method == "GET" else {}
    page = page_of_parts(parts, size=_PlainPages().get_page_size(request) or PLAIN_PAGE, **here)
    links = []
    for rel, name, cursor in (("prev", "before", page.before), ("next", "after", page.after)):
        if cursor:
            query = request.query_params.copy()
            for place in ("before", "after"):
                query.pop(place, None)
            query[name] = cursor
            address = request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
            links.append(f'<{address}>; rel="{rel}"')
    headers = {"Link": ", ".join(links)} if links else {}
    return Response(serializer(page.rows, many=True).data, headers=headers)
