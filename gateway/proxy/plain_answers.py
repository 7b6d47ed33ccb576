"""Read plain answers within bounds: of bytes, for each and for all together.

A backend has generated an answer by the time it arrives, so an answer that cannot be kept is still billed: by the
token report at its end, which is read without keeping the rest. Without a report, only the prompt is billed, because
bytes that nobody received prove no tokens.
"""

import asyncio
import contextlib
import re

import structlog

from gateway.proxy.errors import Refusal, unavailable
from gateway.proxy.http.answer import Answer
from gateway.proxy.http.errors import TransportError
from gateway.proxy.index import Backend
from gateway.proxy.intake import SMALL, Share
from gateway.proxy.members import parse_all
from gateway.proxy.state import State
from gateway.proxy.usage import Reported, read_usage
from gateway.proxy.whole_answers import end_of_object

_log = structlog.get_logger()
_USAGE = re.compile(rb'"usage(?:Metadata|_metadata)?"\s*:\s*(?=\{)')
# The last bytes of an answer that is not kept, in which its usage is searched for.
_END = 16 * 1024
_MOST_DRAINED = 2  # times the largest answer
_DRAIN_SECONDS = 10.0


class DroppedAnswer(Exception):
    """An answer that came but was not kept. `size` bytes of it were read; `reported` is the token report at its end."""

    def __init__(self, reason: str, refusal: Refusal, size: int, reported: Reported | None) -> None:
        super().__init__(reason)
        self.reason = reason  # `too_large` or `no_room`
        self.refusal = refusal
        self.size = size
        self.reported = reported

    def note(self, state: State, call_id: str, backend: Backend) -> None:
        """Count it and log it. One that is too large and has no token report at its end may not be a real answer."""
        state.metrics.answers_dropped.labels(self.reason).inc()
        _log.warning("answer_dropped", call=call_id, backend=backend.id, reason=self.reason, bytes=self.size)
        if self.reason == "too_large" and self.reported is None:
            state.router.doubted(backend, "answer_too_large")
        else:
            state.router.answered(backend)


async def read_plain(answer: Answer, share: Share, largest: int) -> bytes:
    """Read an answer of at most `largest` bytes. Above 64 KiB it waits for room and is counted in `share`.

    Raises DroppedAnswer for a larger one, and if there is no room; TransportError or TimeoutError as `Answer.read`.
    """
    # It may hold bytes of another backend's answer to the same call.
    share.release()
    if (whole := answer.take_whole(min(SMALL, largest))) is not None:
        return whole
    announced = answer.content_length
    parts: list[bytes] = []
    size = 0
    try:
        if announced > largest:
            raise _too_large(largest)
        if announced > SMALL:
            await share.take(announced)
        while data := await answer.read():
            parts.append(data)
            size += len(data)
            if size > largest:
                raise _too_large(largest)
            if size > SMALL and size > share.size:
                await share.take(min(max(size - share.size, share.size, SMALL), largest - share.size))
        return b"".join(parts)
    except Refusal as refusal:
        end = b"".join(parts)[-_END:]
        parts.clear()
        share.release()
        size, end = await _drain(answer, size, end, _MOST_DRAINED * largest)
        reported = _reported_at(end)
        if refusal.code == _TOO_LARGE:
            raise DroppedAnswer("too_large", refusal, size, reported) from None
        raise DroppedAnswer("no_room", _no_room(), size, reported) from None


async def _drain(answer: Answer, size: int, end: bytes, most: int) -> tuple[int, bytes]:
    """Read on, keeping only the end. Returns the number of bytes read in all, and the last of them."""
    until = asyncio.get_running_loop().time() + _DRAIN_SECONDS
    with contextlib.suppress(TransportError, TimeoutError):
        while size < most and (data := await answer.read(until)):
            size += len(data)
            end = (end + data)[-_END:]
    return size, end


def _reported_at(end: bytes) -> Reported | None:
    places = [found.end() for found in _USAGE.finditer(end)]
    if not places:
        return None
    with contextlib.suppress(ValueError):
        return read_usage({"usage": parse_all(end[places[-1] : end_of_object(end, places[-1])])})
    return None


_TOO_LARGE = "answer_too_large"


def _too_large(largest: int) -> Refusal:
    return Refusal(
        502,
        _TOO_LARGE,
        f"The model's answer has more than {largest // 1024**2} MiB, the most that this gateway passes on in one "
        "piece. Ask for less at once, for example fewer inputs or choices, or stream it. The tokens that the model "
        "reports for it are billed, otherwise only the prompt.",
        kind="server_error",
        headers={"x-should-retry": "false"},
    )


def _no_room() -> Refusal:
    refusal = unavailable(
        "The model answered, but the gateway is busy with large answers and could not keep this one. The tokens that "
        "the model reports for it are billed, otherwise only the prompt. Send fewer large calls at the same time.",
        "overloaded",
        2.0,
    )
    # Otherwise clients would automatically repeat the call.
    refusal.headers["x-should-retry"] = "false"
    return refusal
