"""The trace that a call belongs to, and the routing strategy that its headers request."""

import hashlib
import os
import re
from collections.abc import Mapping

import msgspec

from gateway.proxy.errors import Refusal
from gateway.proxy.ids import trace_id

_OWN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_HEXADECIMAL = re.compile(r"[0-9a-f]{32}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\w.-]{1,64})?")
_LONGEST_STATE = 512
# What tells a trace.
TRACE_HEADERS = frozenset(("traceparent", "tracestate", "x-trace-id"))


class Trace(msgspec.Struct, frozen=True):
    """The trace of a call: `id` goes into the usage event and the log; `headers` go to the backend."""

    id: str | None = None
    headers: dict[str, str] = {}


_NO_TRACE = Trace()


def read_trace(headers: Mapping[str, str]) -> Trace:
    """The trace of a call: from a valid `traceparent`, else from `X-Trace-ID`, which becomes a `traceparent`.

    An invalid `traceparent` is dropped, as its specification requires. Raises Refusal (400) for an `X-Trace-ID` with
    characters other than letters, digits, `.`, `_`, `:` and `-`, or with more than 64.
    """
    if TRACE_HEADERS.isdisjoint(headers):
        return _NO_TRACE
    own = headers.get("x-trace-id", "").strip()
    if own and _OWN_ID.fullmatch(own) is None:
        raise Refusal(
            400,
            "invalid_trace_id",
            "X-Trace-ID must be 1 to 64 letters, digits, dots, underscores, colons or hyphens, and begin with a letter "
            "or digit.",
        )
    parent = headers.get("traceparent", "").strip().lower()
    found = trace_id(parent) if _TRACEPARENT.fullmatch(parent) else None
    if found is not None:
        passed = {"traceparent": parent}
        state = headers.get("tracestate", "").strip()
        if state and len(state) <= _LONGEST_STATE and state.isprintable():
            passed["tracestate"] = state
        return Trace(found, passed | ({"x-trace-id": found} if own else {}))
    if not own:
        return _NO_TRACE
    folded = own.replace("-", "").lower()
    is_one = _HEXADECIMAL.fullmatch(folded) is not None and set(folded) != {"0"}
    made = folded if is_one else hashlib.sha256(own.encode()).hexdigest()[:32]
    return Trace(made if is_one else own, {"traceparent": f"00-{made}-{_new_span()}-01", "x-trace-id": own})


def _new_span() -> str:
    """A span id that is not all zeros."""
    return f"{int.from_bytes(os.urandom(8)) | 1:016x}"
