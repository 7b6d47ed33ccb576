"""Texts of a stream go from the backend's connection to the client's as they arrive, without waking their call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.proxy.streaming import EventStream

if TYPE_CHECKING:
    from gateway.proxy.http.answer import Answer
    from gateway.proxy.request import Request


class Passing:
    """Reads one backend's stream, and passes on by itself what needs no closer look."""

    __slots__ = ("_answer", "_is_stuck", "_is_untranslated", "_request", "_stream")

    def __init__(self, stream: EventStream, answer: Answer, request: Request) -> None:
        self._stream = stream
        self._answer = answer
        self._request = request
        # More than a few bytes wait for the client.
        self._is_stuck = False
        # Only then `feed_texts` is all that such a stream does with texts.
        self._is_untranslated = type(stream).feed is EventStream.feed

    async def read(self, until: float, seconds: float) -> bytes:
        """Return the next that has come and was not passed on; empty at the end. Raises as `Answer.read`.

        What was returned before must be on its way to the client. The wait ends at `until`, a time of the loop's
        clock, or `seconds` after the last that was passed on.
        """
        self._is_stuck = False
        if not self._is_untranslated:
            return await self._answer.read(until)
        return await self._answer.read_past(self._pass_on, until, seconds)

    def _pass_on(self, data: bytes) -> bool:
        """Send `data` to the client if it is only texts. Returns whether it was sent."""
        # The call waits for the client.
        if self._is_stuck:
            return False
        events = self._stream.feed_texts(data)
        if events is None:
            return False
        self._is_stuck = self._request.send_piece(events)
        return True
