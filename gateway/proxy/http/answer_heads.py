"""What has come of the message that answers a call, and what its head says."""

import re
from collections.abc import Iterable, Mapping

import msgspec

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
# Bytes of a head that is told by its bytes.
_MOST_KNOWN = 4096


class Message(msgspec.Struct):
    """What has come of one answer."""

    # Bytes that came before the end of the head.
    head_read: int = 0
    # Fields of interim heads, and these heads.
    interim: int = 0
    fields: list[tuple[bytes, bytes]] = []
    # Fields of the trailers, and the bytes of their names and values.
    trailers: int = 0
    trailers_size: int = 0
    has_begun: bool = False
    has_head: bool = False
    # Its head is that of the last answer on its connection, but for the length.
    is_alike: bool = False
    is_interim: bool = False
    is_ended: bool = False
    # The server keeps the connection.
    is_kept: bool = False
    # The end of the connection is the end of the body.
    is_until_close: bool = False
    # Nobody reads the rest any longer; so many bytes of it came.
    is_lingering: bool = False
    discarded: int = 0
    problem: str = ""


class AnswerHeaders:
    """What follows from the headers of an answer alone, without its Content-Length."""

    __slots__ = ("headers", "may_end_late", "problem")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        # By name; the values of a repeated one are joined by commas.
        self.headers: dict[str, str] = {}
        for name, value in fields:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text
        encoding = self.headers.get("transfer-encoding")
        is_chunked = encoding is None or encoding.lower() == "chunked"
        self.problem = "" if is_chunked else "a Transfer-Encoding other than chunked"
        # Without a length, the end of the connection is the end of the body.
        self.may_end_late = encoding is None and "content-length" not in self.headers


class KnownAnswer:
    """A whole answer of which others differ only in their bodies: what the parser says of such bytes is known.

    `headers` are those of all of them; their status is 200, and their connection is kept.
    """

    __slots__ = ("_after", "_before", "_size", "headers")

    def __init__(self, headers: Mapping[str, str], before: bytes, after: bytes) -> None:
        """`before` and `after` are the bytes of the head on both sides of the length of the body."""
        self.headers = headers
        self._before = before
        self._after = after
        self._size = len(before) + len(after)

    def body_in(self, data: bytes) -> bytes | None:
        """The body, if `data` is one such answer from its first byte to its last; else None.

        None says nothing: a length of nines, for example, is not recognized.
        """
        length = len(data) - self._size
        length -= len(str(length))
        if length < 1:
            return None
        # The number in it is that of all bytes that follow it.
        head = b"%b%d%b" % (self._before, length, self._after)
        size = len(head)
        return data[size:] if size + length == len(data) and data.startswith(head) else None


def known_answer(data: bytes, body: bytes, headers: Mapping[str, str]) -> KnownAnswer | None:
    """How to tell further answers like this one; None if it is not written in the one plain way.

    `data` is all that came of it, of which the parser took `body` for its body, and `headers` for its headers without
    the length.
    """
    size = len(data) - len(body)
    head = data[:size]
    lengths = list(_LENGTH.finditer(head))
    if size > _MOST_KNOWN or len(lengths) != 1 or "transfer-encoding" in headers:
        return None
    if not head.startswith(b"HTTP/1.1 200 ") or head.find(b"\r\n\r\n") != size - 4:
        return None
    start, end = lengths[0].span(1)
    found = KnownAnswer(headers, head[:start], head[end:])
    return found if found.body_in(data) == body else None
