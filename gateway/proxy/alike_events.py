"""Events of one stream that differ in the model's text only, as nearly all do.

What the gateway found out about one of them holds for the others, so nothing but their text is looked at.
"""

import re

from gateway.proxy.delivered import Delivered

# A piece that is only text.
PIECE = re.compile(
    rb'"delta"\s*:\s*\{(?:\s*"\w+"\s*:\s*(?:null|"assistant")\s*,)*\s*"(?:content|reasoning_content|reasoning)"\s*:\s*'
    rb'"([^"\\]*(?:\\.[^"\\]*)*)"\s*(?:,\s*"\w+"\s*:\s*null\s*)*\}',
    re.DOTALL,
)
# What may stand between the quotation marks of a JSON text; and of several, one in each line.
_text_in = re.compile(rb'[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+').fullmatch
_texts_in = re.compile(rb'[^"\\]*+(?:\\[^\n][^"\\]*+)*+').fullmatch


# Of events at the beginning of some data: what the client gets of them, and where they end.
Texts = tuple[bytes, int]


class AlikeEvents:
    """What an event has before and after its text, and what the client gets in place of what is before it."""

    __slots__ = ("_after", "_before", "_between", "_rest_size", "_shown", "_start", "says_no_end")

    def __init__(self, before: bytes, after: bytes, shown: bytes) -> None:
        self._before = before
        self._after = after
        self._shown = shown
        # Where the text begins.
        self._start = len(before)
        # Between two texts.
        self._between = after + before
        # All bytes of an event but those of its text.
        self._rest_size = len(self._between)
        # Their choice says that it has no end.
        self.says_no_end = before.find(b'"finish_reason"') >= 0 or after.find(b'"finish_reason"') >= 0

    @classmethod
    def like(cls, event: bytes, passed: bytes) -> "AlikeEvents | None":
        """Events like `event`, one with only a piece of text, of which the client got `passed`.

        None if they cannot be known by their bytes: if there are further lines, or something changed after the text.
        """
        found = PIECE.search(event)
        if found is None or not event.startswith(b"data:"):
            return None
        start, end = found.span(1)
        before, after = event[:start], event[end:]
        if before.find(b"\n") >= 0 or not after.endswith(b"\n\n") or after.count(b"\n") != 2:
            return None
        if not passed.endswith(event[start:]):
            return None
        return cls(before, after, passed[: len(passed) - len(event) + start])

    def read(self, data: bytes, delivered: Delivered, *, are_all: bool = False) -> Texts | None:
        """Add the events like these at the beginning of `data` to what was delivered.

        None if the first is another one, or if any other follows although they `are_all`; then nothing is added.
        """
        start, end = self._start, len(data)
        size = end - self._rest_size
        if not data.startswith(self._before):
            return None
        # One event, as most reads bring.
        if data.endswith(self._after) and _text_in(data, start, start + size) is not None:
            delivered.bytes += size
            delivered.chunks += 1
            delivered.pieces += size > 0
            return self._shown + data[start:], end
        last = data.rfind(self._after)
        end = last + len(self._after)
        if last < start or (are_all and end != len(data)):
            return None
        inside = data[start:last]
        # One text in each line.
        texts = inside.replace(self._between, b"\n")
        further = texts.count(b"\n")
        if len(inside) - len(texts) != further * (len(self._between) - 1) or _texts_in(texts) is None:
            return None
        delivered.bytes += len(texts) - further
        delivered.chunks += further + 1
        delivered.pieces += sum(map(bool, texts.split(b"\n")))
        return data[:end].replace(self._before, self._shown), end
