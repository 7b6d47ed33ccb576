"""Pages are sent compressed (docs/decisions/0053-pages-are-sent-compressed.md)."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware


class CompressPagesMiddleware(GZipMiddleware):
    """Compresses pages for browsers that accept gzip, except those that may show a secret.

    The size of a compressed answer tells who can watch it whether a text that they slipped into it also occurs
    elsewhere in it (BREACH, CVE-2013-3587). Django therefore adds up to a hundred random bytes to every compressed
    answer and masks the form token. A page that shows a secret answers a POST, or its view says so (`shows_secret`);
    both stay as they are, and so do files and the API.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        is_page = response.headers.get("Content-Type", "").startswith("text/html") and not response.streaming
        if not is_page or getattr(response, "shows_secret", False) or request.method not in ("GET", "HEAD"):
            return response
        return super().process_response(request, response)
