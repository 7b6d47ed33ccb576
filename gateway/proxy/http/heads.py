"""The heads of requests and answers, read once for all messages of a connection that have the same."""

from typing import Any
from urllib.parse import unquote

import httptools

_LENGTH = b"content-length"
# Bytes of a head that is remembered; longer ones are read each time.
_MOST_REMEMBERED = 4096


class Head:
    """The headers of a message, except for a Content-Length.

    `fields` has names in lower case. `known` is for whoever reads them: what follows from these headers alone, kept as
    long as the connection has further messages with them.
    """

    __slots__ = ("expects_continue", "fields", "known")

    def __init__(self, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        self.fields = fields
        self.expects_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in fields
        )
        self.known: Any = None


class Target:
    """The path and query of a request: `raw_path` as it came, `path` percent-decoded."""

    __slots__ = ("path", "query", "raw_path")

    def __init__(self, url: bytes) -> None:
        """Read the target of a request line. Raises UnicodeDecodeError if it is not ASCII."""
        self.query = b""
        if url.startswith(b"/"):
            self.raw_path, _, self.query = url.partition(b"?")
        else:
            try:
                whole = httptools.parse_url(url)
            except httptools.HttpParserError:
                self.raw_path = url
            else:
                self.raw_path, self.query = whole.path or b"/", whole.query or b""
        path = self.raw_path.decode("ascii")
        self.path = unquote(path) if "%" in path else path


NO_HEAD = Head(())
NO_TARGET = Target(b"")
NO_TARGET.path = ""


class Heads:
    """The last head of one connection. Clients and servers repeat theirs, but for the length of the body."""

    __slots__ = ("_head", "_length_at", "_raw", "_target", "_url")

    def __init__(self) -> None:
        # None before the first.
        self._raw: list[tuple[bytes, bytes]] | None = None
        self._head = NO_HEAD
        # The place of Content-Length; -1: there is none.
        self._length_at = -1
        self._url = b""
        self._target = NO_TARGET

    def read(self, raw: list[tuple[bytes, bytes]], size: int) -> tuple[Head, bytes | None]:
        """The head, and the value of its Content-Length, None without one. Nobody may change `raw` afterwards.

        `size` is that of all names and values, in bytes.
        """
        at = self._length_at
        if size <= _MOST_REMEMBERED and (raw == self._raw or self._is_repeated(raw, at)):
            return self._head, raw[at][1].strip() if at >= 0 else None
        fields = [(name.lower(), value.strip()) for name, value in raw]
        places = [place for place, (name, _) in enumerate(fields) if name == _LENGTH]
        length = None
        # The parser refuses a second one. If it did not, `gateway.proxy.head` would.
        at = places[0] if len(places) == 1 else -1
        if at >= 0:
            _, length = fields.pop(at)
        head = Head(tuple(fields))
        if size <= _MOST_REMEMBERED:
            self._raw, self._head, self._length_at = raw, head, at
        return head, length

    def read_any(self, raw: list[tuple[bytes, bytes]]) -> tuple[Head, bytes | None]:
        """As `read`, for headers of which nobody has added up the bytes."""
        at = self._length_at
        if raw == self._raw or self._is_repeated(raw, at):
            return self._head, raw[at][1].strip() if at >= 0 else None
        return self.read(raw, sum(len(name) + len(value) for name, value in raw))

    def _is_repeated(self, raw: list[tuple[bytes, bytes]], at: int) -> bool:
        """Whether headers are the last ones with another length at the place `at`."""
        last = self._raw
        return (
            last is not None
            and at >= 0
            and len(raw) == len(last)
            and raw[at][0] == last[at][0]
            and raw[:at] == last[:at]
            and raw[at + 1 :] == last[at + 1 :]
        )

    def last(self) -> tuple[list[tuple[bytes, bytes]], int]:
        """The fields of the last head as they came, and the place of Content-Length among them; -1: there is none."""
        return self._raw or [], self._length_at

    def target(self, url: bytes) -> Target:
        """The path and query of a request line. Raises UnicodeDecodeError if it is not ASCII."""
        if url != self._url:
            target = Target(url)
            if len(url) > _MOST_REMEMBERED:
                return target
            self._url, self._target = url, target
        return self._target
