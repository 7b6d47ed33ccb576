"""What has come of the message that answers a call, and what its head says."""

from collections.abc import Iterable

import msgspec


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
