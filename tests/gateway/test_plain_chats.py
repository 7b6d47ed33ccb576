"""A chat of plain texts is not searched for what it cannot contain; any other is."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract import RouteConfig
from gateway.proxy.body import Body
from gateway.proxy.endpoint import fit
from gateway.proxy.errors import Refusal
from gateway.proxy.index import Route
from gateway.proxy.media import check_media
from gateway.proxy.parsed_requests import _any_chat, brings_more, parse_request
from gateway.proxy.tokens import estimate_prompt

PICTURE = b'[{"type":"image_url","image_url":{"url":"http://inside.example/"}}]'
TEXT = b'{"role":"user","content":"Hello"}'


class Index:
    media_hosts = frozenset()


def chat(messages, fields=b""):
    return parse_request(b'{"model":"m","messages":[%s]%s}' % (messages, fields), "chat")


def fit_anywhere(parsed):
    return fit(parsed, {}, Index, Route(RouteConfig(model="m", modes=["chat"], targets=[]), ()))


@pytest.mark.parametrize(
    "message",
    [
        b'{"role":"user","content":%s}' % PICTURE,
        b'{"role":"user","content":%s,"content":"Hello"}' % PICTURE,
        b'{"role":"user","content":"Hello","content":%s}' % PICTURE,
        b'{"role":"user","content":"Hello","\\u0063ontent":%s}' % PICTURE,
        b'{"role":"user","content":"Hello","Content":%s}' % PICTURE,
        b'{"role":"user","content":"Hello","more":%s}' % PICTURE,
        b'{"role":"user","content":"Hello","name":%s}' % PICTURE,
        b'{"role":"user","content":[{"type":"text","text":"Hello","text":%s}]}' % PICTURE,
        b'{"role":"user","content":[{"type":"text","text":"Hello","more":%s}]}' % PICTURE,
        b'{"role":"user","content":[{"type":"text","text":"Hello"},%s]}' % PICTURE[1:-1],
        b'{"role":"user","content":[{"type":"text","text":"Hello","type":"image","url":"/etc/passwd"}]}',
    ],
)
@pytest.mark.parametrize("messages", [b"%s", b'{"role":"system","content":"Be brief."},%s', b"%s,{}"])
def test_a_picture_is_found_wherever_it_hides(messages, message):
    parsed = chat(messages % message)
    assert not parsed.is_ordinary
    with pytest.raises(Refusal):
        fit_anywhere(parsed)


@pytest.mark.parametrize(
    "field",
    [
        b'"image_url":"http://inside.example/"',
        b'"tools":[{"image_url":"http://inside.example/"}]',
        b'"prediction":{"type":"content","content":%s}' % PICTURE,
        b'"previous_response_id":"resp_1"',
        b'"cache_salt":"x"',
        b'"response_format":{"guided_decoding_backend":"x"}',
        b'"stream_options":{"cache_salt":"x"}',
        b'"MESSAGES":[{"content":%s}]' % PICTURE,
        b'"messages":[{"content":%s}]' % PICTURE,
        b'"\\u006dessages":[{"content":%s}]' % PICTURE,
    ],
)
def test_a_field_that_may_be_refused_is_looked_at(field):
    with pytest.raises(Refusal):
        fit_anywhere(chat(TEXT, b"," + field))


def test_a_chat_of_plain_texts_is_ordinary():
    assert chat(TEXT, b',"max_tokens":5,"stream":true,"temperature":0.5').is_ordinary
    parts = b'{"role":"user","content":[{"type":"text","text":"Hello"}],"name":"me"}'
    assert chat(b'{"role":"assistant","content":null},' + parts).is_ordinary
    # Neither is anything but words.
    assert not chat(b'{"role":"user","content":"\\"image_url\\": a video"}').may_bring_more


texts = st.text(max_size=40)
members = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "system"]), "content": texts},
    optional={"name": texts},
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(1, 99),
        "max_completion_tokens": st.integers(1, 99),
        "n": st.integers(1, 9),
        "stream": st.booleans(),
        "stream_options": st.just({"include_usage": True}),
        "response_format": st.just({"type": "text"}),
        "presence_penalty": st.floats(-1, 1),
        "stop": st.lists(texts, max_size=3),
    },
)


@given(
    messages=st.lists(members, min_size=1, max_size=4),
    fields=fields,
    separators=st.sampled_from([",:", ", : "]),
)
def test_a_chat_that_is_not_searched_is_read_as_one_that_is(messages, fields, separators):
    comma, colon = separators[:-1].replace(":", "") or ",", separators.replace(",", "").lstrip()
    raw = json.dumps({"model": "m", "messages": messages, **fields}, separators=(comma, colon)).encode()
    parsed = parse_request(raw, "chat")
    # A reader looks closely at a call whose messages have members that it does not know.
    closely = parse_request(raw.replace(b'"role"', b'"r_le"'), "chat")
    assert closely.input_estimate == parsed.input_estimate == estimate_prompt(Body(raw), "chat")
    assert (parsed.named_output, parsed.choices) == (closely.named_output, closely.choices)
    assert (parsed.named_output, parsed.choices) == (
        max(fields.get("max_tokens", 0), fields.get("max_completion_tokens", 0)),
        fields.get("n", 1),
    )
    assert (parsed.is_stream, parsed.wants_usage) == (closely.is_stream, closely.wants_usage)
    assert parsed.body.encode({"model": "o"}) == closely.body.encode({"model": "o"}).replace(
        b'"r_le"', b'"role"'
    )
    assert not closely.is_ordinary
    # It has no medium, whatever its words are.
    if not brings_more(Body(raw)):
        check_media(Body(raw), frozenset())


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("n", [b"0", b"-1", b"1.0", b'"1"', b"true", b"10000001", b"1e400", b"99999999999999999999999"]),
        ("max_tokens", [b"0", b"2.5", b"[]", b"10000001"]),
        ("max_completion_tokens", [b"0", b"{}", b"false"]),
        ("stream", [b"1", b'"true"', b"[]"]),
        ("model", [b'""', b"1", b"null", b"[]"]),
        ("messages", [b"[]", b"null", b'"Hello"', b'["Hello"]', b"[1]"]),
    ],
)
def test_values_of_other_kinds_are_refused_by_the_name_of_their_field(field, values):
    whole = {"model": b'"m"', "messages": b"[%s]" % TEXT}
    for value in values:
        members = b",".join(
            b'"%s":%s' % (name.encode(), one) for name, one in {**whole, field: value}.items()
        )
        with pytest.raises(Refusal) as refused:
            parse_request(b"{%s}" % members, "chat")
        assert (refused.value.status, refused.value.param) == (400, field)


def test_usage_is_asked_for_in_every_stream_and_nothing_else_is_changed():
    for options, sent in (
        (b"", b',"stream_options":{"include_usage":true}'),
        (b',"stream_options":null', b',"stream_options":{"include_usage":true}'),
        (b',"stream_options":{"include_usage": true}', b',"stream_options":{"include_usage": true}'),
        (b',"stream_options":{"include_usage":1,"a": 2}', b',"stream_options":{"include_usage":true,"a": 2}'),
        (b',"stream_options":{ "a":2}', b',"stream_options":{ "a":2,"include_usage":true}'),
    ):
        parsed = chat(TEXT, b',"stream":true' + options)
        assert parsed.body.encode() == b'{"model":"m","messages":[%s],"stream":true%s}' % (TEXT, sent)
        assert parsed.wants_usage is (b"usage" in options)


BODIES = (
    b'{"model":"m","messages":[%s]}' % TEXT,
    b'{"model": "m", "messages": [{"role": "user", "content": "H\\u00e9 \\ud83d\\ude00"}], "n": 2, "stream": true}',
    b'{"model":"m","messages":[{"role":"x","content":[{"type":"text","text":"a"}],"name":"b"},{"role":"y"}],'
    b'"max_tokens":7,"stop":["a"],"seed":1,"response_format":{"type":"json_schema"}}',
)
DAMAGE = st.sampled_from([
    b'"n":2,', b'"N":2,', b'"n":1e0,', b'"\\u006e":3,', b'"stream":false,', b'"\\u0073tream":true,',
    b'"stream_options":[],', b'"stream_options":{"a":1},', b'"max_tokens":null,', b'"model":"o",',
    b'"messages":[],', b'"content":"y",', b'"type":"image_url",', b'"image_url":{"url":"http://inside.example/"},',
    b'"text":1,', b'"tools":[],', b'"user":"u",', b'"cache_salt":"x",', b'"seed":{"cache_salt":1},', b'"audio":{},',
    b"\xef\xbb\xbf", b"\\ud800", b"\xed\xa0\x80", b"\xff", b"\x00", b"\t", b"\x0c", b"\xc2\xa0", b"NaN", b"1e400",
    b"99999999999999999999", b"-0", b"1.0", b"null", b",", b":", b"{", b"}", b"[", b"]", b'"', b"\\", b"//", b" x",
])  # fmt: skip


def said_of(read, raw):
    """What is read from a body, and whether such a call may go on; or why it is refused."""
    try:
        parsed = read(raw)
    except Refusal as refusal:
        return refusal.status, refusal.code, refusal.param, str(refusal)
    try:
        fit_anywhere(parsed)
        refused = ""
    except Refusal as refusal:
        refused = refusal.code
    return (
        parsed.model, parsed.is_stream, parsed.wants_usage, parsed.input_estimate, parsed.may_think,
        parsed.named_output, parsed.choices, parsed.body.encode(), refused,
    )  # fmt: skip


@settings(max_examples=500)
@given(
    raw=st.sampled_from(BODIES),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 5), DAMAGE), max_size=3),
)
def test_a_damaged_body_is_read_or_refused_as_if_it_were_looked_at_closely(raw, changes):
    openings = [place + 1 for place, byte in enumerate(raw) if byte in b"{"]
    for place, gone, damage in changes:
        # Most members are damage only where an object begins.
        at = openings[place % len(openings)] if damage.endswith(b",") else place % (len(raw) + 1)
        raw = raw[:at] + damage + raw[at if damage.endswith(b",") else at + gone :]
        openings = [one + 1 for one, byte in enumerate(raw) if byte in b"{"] or [0]
    assert said_of(lambda body: parse_request(body, "chat"), raw) == said_of(
        lambda body: _any_chat(Body(body)), raw
    )
