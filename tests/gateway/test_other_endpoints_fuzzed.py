"""Nothing that a client or a backend sends breaks a reader: a call is read or refused, an answer is read or failed."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contract import RouteConfig
from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.apis.events import TypedEvents
from gateway.proxy.dialects.common import Identity
from gateway.proxy.endpoints import ENDPOINTS
from gateway.proxy.errors import Refusal
from gateway.proxy.index import Backend, Price, Route
from gateway.proxy.names import Names
from gateway.proxy.whole_answers import BrokenAnswer
from tests.gateway.served import CALLS, MODES, SOUND
from tests.gateway.targets import target

PATHS = [f"/v1/{path}" for path in MODES]
BACKEND = Backend(
    target(id="b", url="http://127.0.0.1:9/v1", upstream_model="own-name"), "http://127.0.0.1:9/v1"
)
ROUTE = Route(RouteConfig(model="m", modes=["rerank"]), ())
PRICE = Price({"input": 3, "search": 7}, "USD")
IDENTITY = Identity("id", "m", 1)
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b1"}

_NAMES = """model query documents top_n input prompt n size quality stream voice stream_format svg file url text usage
results data meta billed_units search_units seconds type duration total_tokens input_tokens output_tokens error b64_json
input_tokens_details text_tokens image_tokens delta audio choices finish_reason"""
_FIELDS = st.sampled_from(_NAMES.split())
_TYPES = [
    "transcript.text.done",
    "speech.audio.done",
    "image_generation.completed",
    "duration",
    "tokens",
    "error",
]
_texts = st.text(max_size=20) | st.sampled_from(_TYPES)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_FIELDS, inner, max_size=4),
    max_leaves=12,
)
_objects = st.dictionaries(_FIELDS, _values, max_size=6)


@st.composite
def broken(draw, values):
    """JSON, most of the time with a byte or two that do not belong there."""
    content = json.dumps(draw(values)).encode()
    at = draw(st.integers(0, len(content)))
    odd = draw(
        st.sampled_from([b"", b"", b"\xff", b"\x00", b"{", b"}", b"NaN", b"\\ud83d", b"[" * 2000, b'"'])
    )
    return content[:at] + odd + content[at:]


def form_of(fields):
    parts = [b'--b1\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + SOUND + b"\r\n"]
    parts += [
        b'--b1\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), str(value).encode())
        for name, value in fields.items()
    ]  # fmt: skip
    return b"".join([*parts, b"--b1--\r\n"])


def usual_call(path):
    """A call that can be read."""
    endpoint = ENDPOINTS[path]
    if "transcriptions" in path:
        return endpoint.read(form_of({"model": "m"}), FORM)
    return endpoint.read(orjson.dumps({"model": "m", **CALLS[path.removeprefix("/v1/")][0]}), JSON)


@pytest.mark.parametrize("path", PATHS)
@given(given=_objects, raw=st.binary(max_size=60), is_raw=st.booleans())
def test_a_call_is_read_or_refused(path, given, raw, is_raw):
    endpoint = ENDPOINTS[path]
    body = raw if is_raw else json.dumps({"model": "m", **given}).encode()
    headers = JSON
    if "transcriptions" in path:
        headers, body = (
            FORM,
            raw if is_raw else form_of({"model": "m", **given} if "file" not in given else given),
        )
    try:
        parsed = endpoint.read(body, headers)
    except Refusal as refused:
        problem, parsed = refused, None
    if parsed is None:
        assert 400 <= problem.status < 500
        return
    estimate = parsed.estimate(ROUTE, PRICE, 1000)
    assert min(estimate.input_tokens, estimate.input_nano) >= 0
    usage, _ = endpoint.count(parsed, ROUTE, None)
    assert usage
    assert all(type(count) is int and count > 0 for count in usage.values())


@pytest.mark.parametrize("path", PATHS)
@given(content=st.binary(max_size=60) | broken(_objects | _values))
def test_an_answer_is_read_or_failed(path, content):
    endpoint, parsed, names = ENDPOINTS[path], usual_call(path), Names(BACKEND, "m")
    try:
        plain = endpoint.read_answer(parsed, names, content, IDENTITY)
        endpoint.write_answer(parsed, BACKEND, content, plain, names, IDENTITY)
    except (FailedAnswer, BrokenAnswer):
        return
    usage, _ = endpoint.count(parsed, ROUTE, plain)
    assert usage
    assert all(type(count) is int and count > 0 for count in usage.values())
    assert parsed.cost(PRICE, usage) >= 0


_lines = st.one_of(
    broken(_objects).map(lambda one: b"data: " + one + b"\n\n"),
    st.sampled_from(
        [b": alive\n\n", b"data: [DONE]\n\n", b"event: error\ndata: {}\n\n", b"data:\n\n", b"data: {\n\n"]
    ),
    st.binary(max_size=20),
)


@given(st.lists(_lines, max_size=6).map(b"".join), st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_a_stream_is_the_same_wherever_its_reads_were_cut(events, cuts):
    def read(pieces):
        stream = TypedEvents(
            usual_call("/v1/images/generations"),
            Names(BACKEND, "m"),
            ends=frozenset(("image_generation.completed",)),
            output="image",
        )
        passed = b"".join(stream.feed(piece) for piece in pieces) + stream.end()
        failed = None if stream.error is None else (stream.error.status, stream.error.said)
        counts = [stream.counted(stream._parsed, ROUTE, is_failed=one) for one in (False, True)]
        return passed, failed, counts, stream.is_finished, stream.delivered

    pieces, rest = [], events
    for size in cuts * (len(events) // sum(cuts) + 1):
        pieces.append(rest[:size])
        rest = rest[size:]
    assert read([*pieces, rest]) == read([events])
