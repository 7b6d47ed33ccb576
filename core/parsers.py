"""The parser for JSON that clients send to the HTTP API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class StorableJSONParser(JSONParser):
    """Parses JSON that Python can nest and write out again, even if only in an error message.

    REST framework's own parser fails on nesting that exhausts the stack, and accepts half a surrogate pair,
    which UTF-8 cannot encode.
    """

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            read = super().parse(stream, media_type, parser_context)
            json.dumps(read, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ParseError("This JSON is nested too deeply.") from error
        except UnicodeEncodeError as error:
            raise ParseError("This JSON contains half a surrogate pair.") from error
        return read
