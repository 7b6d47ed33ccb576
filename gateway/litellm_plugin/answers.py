"""Read LiteLLM's answers as our own gateway reads those of backends: the same counting, with the same doubts."""

from __future__ import annotations

from typing import Any

from gateway.contract import Usage
from gateway.litellm_plugin.calls import Call
from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.delivered import Delivered
from gateway.proxy.evidence import count_tokens
from gateway.proxy.names import Names
from gateway.proxy.streaming import EventStream
from gateway.proxy.usage import read_usage
from gateway.proxy.whole_answers import read_answer


class _Unread(Names):
    """LiteLLM sends the answer itself; here it is only counted."""

    def __init__(self) -> None:
        """Nothing to replace."""

    def in_events(self, events: bytes) -> bytes:
        return b""


def usage_of(call: Call, answer: Any) -> tuple[Usage, bool]:
    """The usage of a whole answer, an object of LiteLLM's, and whether it is exact."""
    parsed = call.parsed
    if parsed.mode == "embedding":
        reported = read_usage({"usage": _dumped(getattr(answer, "usage", None))})
        return count_tokens(reported, parsed.bounds(call.route, 1), Delivered())
    try:
        plain = read_answer(answer.model_dump_json(exclude_none=True).encode(), parsed.mode)
    except FailedAnswer:
        return count_tokens(None, parsed.bounds(call.route, 1), Delivered())
    bounds = parsed.bounds(call.route, plain.delivered.choices)
    usage, is_exact = count_tokens(plain.reported, bounds, parsed.written(plain.delivered))
    return usage, is_exact and plain.is_certain


class CountedStream:
    """Counts the pieces of a stream as they pass."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._stream = EventStream(_Unread(), hides_usage=False, choices=call.parsed.choices)

    def take(self, piece: Any) -> None:
        """Count one piece, an object of LiteLLM's."""
        self._stream.feed(b"data: " + piece.model_dump_json(exclude_none=True).encode() + b"\n\n")

    @property
    def has_begun(self) -> bool:
        """Whether part of the answer has come."""
        return self._stream.has_begun

    @property
    def is_finished(self) -> bool:
        """Whether every choice has ended."""
        return self._stream.is_finished

    def usage(self) -> tuple[Usage, bool]:
        """The usage so far, and whether it is exact."""
        stream = self._stream
        bounds = self._call.parsed.bounds(self._call.route, stream.delivered.choices)
        is_partial = stream.is_partial or not stream.is_finished
        usage, is_exact = count_tokens(stream.reported, bounds, stream.delivered, is_partial=is_partial)
        return usage, is_exact and stream.is_certain


def is_only_usage(piece: Any) -> bool:
    """Whether a piece reports usage and nothing else."""
    return getattr(piece, "usage", None) is not None and not any(
        _has_content(choice) for choice in getattr(piece, "choices", None) or ()
    )


def _has_content(choice: Any) -> bool:
    if getattr(choice, "finish_reason", None):
        return True
    return any(value for name, value in _dumped(getattr(choice, "delta", None)).items() if name != "role")


def _dumped(value: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = value.model_dump(exclude_none=True) if value is not None else {}
    return dumped
