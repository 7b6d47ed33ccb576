"""Events of one stream that differ in the model's text only, as nearly all do.

What the gateway found out about one of them holds for the others, so nothing but their text is looked at.
"""

import re

# A piece that is only text.
PIECE = re.compile(
    rb'"delta"\s*:\s*\{(?:\s*"\w+"\s*:\s*(?:null|"assistant")\s*,)*\s*"(?:content|reasoning_content|reasoning)"\s*:\s*'
    rb'"([^"\\]*(?:\\.[^"\\]*)*)"\s*(?:,\s*"\w+"\s*:\s*null\s*)*\}',
    re.DOTALL,
)
# What may stand between the quotation marks of a JSON text.
_INSIDE_A_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


# Of events at the beginning of some data: what the client gets of them, where they end, how many they are, how many of
# them have a text, and the bytes of all texts.
Texts = tuple[bytes, int, int, int, int]


class AlikeEvents:
    """What an event has before and after its text, and what the client gets in place of what is before it."""

    __slots__ = ("_after", "_before", "_shown", "says_no_end")

    def __init__(self, before: bytes, after: bytes, shown: bytes) -> None:
        self._before = before
        self._after = after
        self._shown = shown
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

    def read(self, data: bytes) -> Texts | None:
        """The events like these at the beginning of `data`; None if the first is another one."""
        before, after = self._before, self._after
        last = data.rfind(after)
        if last < 0 or not data.startswith(before):
            return None
        end = last + len(after)
        events = data if end == len(data) else data[:end]
        texts = events.split(before)
        count = len(texts) - 1
        # Nothing but the ends of events ends a line.
        if events.count(b"\n") != 2 * count:
            return None
        size = pieces = 0
        for text in texts[1:]:
            own = len(text) - len(after)
            if not text.endswith(after) or _INSIDE_A_TEXT.fullmatch(text, 0, own) is None:
                return None
            size += own
            pieces += own > 0
        return events.replace(before, self._shown), end, count, pieces, size
