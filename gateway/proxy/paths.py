"""Refuse ambiguous paths, which two readers could read differently, before anything uses them."""

import re

from gateway.proxy.errors import Refusal

_UNCLEAR = re.compile(
    # An encoded slash, backslash, dot, semicolon, NUL, percent sign or line end.
    r"%(?:2f|5c|2e|3b|00|25|0a|0d)"
    r"|//|\\|;|/\.{1,2}(?:/|$)|[\x00-\x1f\x7f]",
    re.IGNORECASE,
)


def require_clear_path(raw_path: bytes, path: str) -> None:
    """Raises Refusal (404) for a path with `..`, `//`, `;`, a backslash, NUL, or one of them percent-encoded.

    `raw_path` is the path as it came, `path` without its percent-encoding.
    """
    if _UNCLEAR.search(raw_path.decode("latin-1")) or _UNCLEAR.search(path):
        raise Refusal(
            404,
            "unknown_url",
            "This path contains `..`, `//`, `;`, a backslash or an encoded separator. Use a plain path, "
            "such as /v1/chat/completions.",
        )
