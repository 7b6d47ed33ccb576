"""Whether a call may bring more than its text is found with few searches, as by searching for each name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contract import RouteConfig
from gateway.proxy.delivered import Delivered
from gateway.proxy.dialects.anthropic_client.parsed import parse_messages
from gateway.proxy.evidence import count_tokens
from gateway.proxy.index import Route
from gateway.proxy.parsed_requests import brings_more, parse_request
from gateway.proxy.responses.parsed import parse_responses
from gateway.proxy.usage import Reported

NAMES = (
    b'image_url"', b'"image', b'input_audio"', b'audio_url"', b'"file', b"video", b'"web_search', b'"plugins"',
    b'"search_parameters"', b'"prediction"', b'"data_sources"', b'"mcp', b'"documents"', b'"previous_response_id"',
)  # fmt: skip
PARTS = st.sampled_from([
    *NAMES, *(name.strip(b'"') for name in NAMES), b'"', b"_url", b"_audio", b" ", b"x", b":", b"my_", b"s", b"Image",
])  # fmt: skip


class Outline:
    def __init__(self, outline):
        self.outline = outline


@given(st.lists(PARTS, max_size=5).map(b"".join))
def test_few_searches_find_what_one_for_each_name_finds(outline):
    assert brings_more(Outline(outline)) == any(name in outline for name in NAMES)


def test_each_name_is_found():
    for name in NAMES:
        assert brings_more(Outline(b'{"messages":[{"a' + name + b'b"}]}'))
    assert not brings_more(
        Outline(b'{"model":"m","messages":[{"role":"user","content":"an image in a file"}]}')
    )


READERS = {
    "chat": lambda raw: parse_request(raw, "chat"),
    "responses": parse_responses,
    "messages": parse_messages,
}


@pytest.mark.parametrize(
    ("reader", "field"),
    [
        ("responses", rb'"previous_response_i\u0064":"resp_x"'),
        ("responses", rb'"\u0070revious_response_id":"resp_x"'),
        ("chat", rb'"pr\u0065diction":{"type":"content","content":"x"}'),
        ("chat", rb'"metadata":{"a":"b"},"vid\u0065o":1'),
        ("messages", rb'"system":[{"type":"docum\u0065nt"}]'),
    ],
)
def test_no_name_is_hidden_by_escapes(reader, field):
    messages = b'"max_tokens":5,"input":"x","messages":[{"role":"user","content":"x"}]'
    assert READERS[reader](b'{"model":"m",' + messages + b"," + field + b"}").may_bring_more
    assert not READERS[reader](b'{"model":"m",' + messages + b"}").may_bring_more


def test_a_long_earlier_conversation_counts_however_its_field_is_spelled():
    route = Route(RouteConfig(model="m", modes=["responses"], targets=[]), ())
    for name in (b"previous_response_id", rb"previous_response_\u0069d"):
        parsed = parse_responses(b'{"model":"m","input":"hi","' + name + b'":"resp_x"}')
        counted = count_tokens(Reported(300_000, 10, 300_010), parsed.bounds(route, 1), Delivered(30, 1))
        assert counted == ({"input": 300_000, "output": 10}, True)
