"""The heads of a client's requests: read once for all that repeat the last one, which most clients do.

httptools reads every request, except for one that is the last one byte for byte, apart from its body and the number
that says how long that is (`Repeated`): what httptools says of such bytes is known.
"""

from typing import Any, Final

from gateway.proxy.http.heads import NO_HEAD, NO_TARGET, Head, Heads, Target


class RequestHead:
    """What a request says before its body, except for the length of that.

    `known` is for whoever reads requests: what follows from this head and its connection alone, kept as long as the
    connection has further requests with it.
    """

    __slots__ = (
        "count",
        "fields",
        "headers",
        "is_last",
        "is_tried",
        "known",
        "method",
        "size",
        "target",
        "url",
        "version",
    )

    def __init__(
        self,
        headers: Head,
        target: Target,
        *,
        method: bytes,
        url: bytes,
        version: str,
        size: int,
        count: int,
        is_last: bool,
    ) -> None:
        """A head as it was read.

        Args:
            headers: its fields.
            target: what it asks for.
            method: as it came.
            url: as it came.
            version: of HTTP, such as 1.1.
            size: all bytes of its names and values, also those beyond the bounds, which are not kept.
            count: all of its fields, also those.
            is_last: no further request follows on the connection.
        """
        self.headers = headers
        self.fields = headers.fields
        self.target = target
        self.method = method.decode("ascii")
        self.url = url
        self.version = version
        self.size = size
        self.count = count
        self.is_last = is_last
        # Whether further requests may be told by its bytes was asked.
        self.is_tried = False
        self.known: Any = None


# Of a request that cannot be read. Nothing is known from it.
NO_REQUEST_HEAD: Final = RequestHead(
    NO_HEAD, NO_TARGET, method=b"", url=b"", version="1.1", size=0, count=0, is_last=True
)


class Repeated:
    """A request of which others differ in their bodies alone. `head` is that of all of them."""

    __slots__ = ("_after", "_before", "_size", "head")

    def __init__(self, head: RequestHead, before: bytes, after: bytes) -> None:
        """`before` and `after` are the bytes of the head on both sides of the length of its body."""
        self.head = head
        self._before = before
        self._after = after
        self._size = len(before) + len(after)

    def body_in(self, data: bytes) -> bytes | None:
        """The body of `data`, if that is one such request from its first byte to its last, and nothing else; else None.

        None says nothing: a length of nines, for example, is not recognized.
        """
        length = len(data) - self._size
        length -= len(str(length))
        if length < 1:
            return None
        head = b"%b%d%b" % (self._before, length, self._after)
        # The number in it is that of all bytes that follow it.
        if len(head) + length != len(data) or not data.startswith(head):
            return None
        return data[len(head) :]


class RequestHeads:
    """The last head of one connection."""

    __slots__ = ("_heads", "_last", "is_repeated_anew")

    def __init__(self) -> None:
        self._heads = Heads()
        self._last: RequestHead | None = None
        # The head that was read last is that of the request before it, and nobody has asked for `repeated`.
        self.is_repeated_anew = False

    def read(
        self,
        method: bytes,
        url: bytes,
        version: str,
        raw: list[tuple[bytes, bytes]],
        *,
        size: int,
        count: int,
        is_last: bool,
    ) -> tuple[RequestHead, bytes | None]:
        """The head, and the value of its Content-Length, None without one.

        Raises ValueError for another version than 1.1 or 1.0, and for a target that is not ASCII.

        Args:
            method: as it came.
            url: as it came.
            version: of HTTP, such as 1.1.
            raw: the fields as they came; nobody may change them afterwards.
            size: all bytes of names and values, also those beyond the bounds, which are not kept.
            count: all fields, also those.
            is_last: no further request follows on the connection.
        """
        if version not in ("1.1", "1.0"):
            raise ValueError("another version of HTTP")
        headers, length = self._heads.read(raw, size)
        target = self._heads.target(url)
        last = self._last
        if (
            last is not None
            and headers is last.headers
            and target is last.target
            and count == last.count
            and is_last is last.is_last
            and version == last.version
            and method.decode("ascii") == last.method
        ):
            self.is_repeated_anew = not last.is_tried
            return last, length
        self._last = RequestHead(
            headers,
            target,
            method=method,
            url=url,
            version=version,
            size=size,
            count=count,
            is_last=is_last,
        )
        return self._last, length

    def repeated(self, data: bytes, body: bytes) -> Repeated | None:
        """How to tell further requests like the last one; None if it is not written in the one plain way.

        `data` is all that came of it, `body` what httptools took for its body.
        """
        head, (raw, at) = self._last, self._heads.last()
        self.is_repeated_anew = False
        if head is None:
            return None
        head.is_tried = True
        if at < 0 or head.is_last:
            return None
        lines = [b"%b: %b\r\n" % field for field in raw]
        start = b"%b %b HTTP/1.1\r\n" % (head.method.encode("ascii"), head.url)
        before = b"%b%b%b: " % (start, b"".join(lines[:at]), raw[at][0])
        found = Repeated(head, before, b"\r\n%b\r\n" % b"".join(lines[at + 1 :]))
        return found if found.body_in(data) == body else None
