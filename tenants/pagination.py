"""Cursor pages: no counts, no page numbers, flat cost however long the list."""

from rest_framework.pagination import CursorPagination


class CursorPages(CursorPagination):
    """Newest first by UUIDv7, which sorts by time of creation."""

    ordering = "-pk"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
