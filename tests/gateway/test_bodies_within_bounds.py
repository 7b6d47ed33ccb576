"""A body just inside of all bounds, whatever its shape, holds up nobody while it is looked at."""

import asyncio
import contextlib
import json
import sys
import time
import tracemalloc

import pytest

from gateway.proxy.body import Body, parse
from gateway.proxy.body_bounds import MOST_VALUES
from gateway.proxy.controls import NAMES_OF_USERS, put_apart
from gateway.proxy.endpoint import checked
from gateway.proxy.errors import Refusal
from gateway.proxy.parsed_requests import parse_request
from gateway.proxy.separation import Separation

LONGEST_SECONDS = 0.2
SOME = MOST_VALUES - 20_000


def in_content(content):
    return b'{"model":"m","messages":[{"role":"user","content":%s}]}' % content


PICTURE = b'[{"type":"image_url","image_url":"data:image/png;base64,AA"},%s]'
OPTIONS = (
    "stream_options", "chat_template_kwargs", "audio", "structured_outputs", "provider_options", "data_sources",
    "metadata",
)  # fmt: skip


def listed(item, number=SOME):
    return in_content(b"[" + b",".join([item] * number) + b"]")


def members(number=SOME):
    return b"{" + b",".join(b'"k_%06d":0.1' % at for at in range(number)) + b"}"


SHAPES = {
    "names with underscores": lambda: listed(b'"a_a_a_a_a_a_a"'),
    "names of letters": lambda: listed(b'"aaaaaaaaaaaaa"'),
    "words of media in no name": lambda: listed(b'"filefilefil!"'),
    "many members": lambda: in_content(b"[%s]" % members()),
    "many objects": lambda: listed(b'{"type":"x"}', SOME // 2),
    "deep nesting": lambda: listed(b"[" * 100 + b"]" * 100, SOME // 100),
    "escaped quotation marks": lambda: in_content(b'"%s"' % (rb"\"\\" * 1_900_000)),
    "escaped letters": lambda: in_content(b'"%s"' % (rb"\u0080" * 1_300_000)),
    "one long name": lambda: in_content(b'"%s!"' % (b"imag_" * 1_500_000)),
    "many members beside a picture": lambda: in_content(PICTURE % members(95_000)),
    "many objects beside a picture": lambda: in_content(PICTURE % b",".join([b'{"type":"x"}'] * 48_000)),
    "many texts beside a picture": lambda: in_content(PICTURE % b",".join([b'"aaaaaaaaaaaaa"'] * 95_000)),
    "many names in a model": lambda: b'{"messages":[{}],"model":%s}' % members(),
    "many names in a number": lambda: b'{"model":"m","messages":[{}],"n":%s}' % members(),
}


class Nowhere:
    media_hosts = separating_fields = ()


def look_at(body):
    with contextlib.suppress(Refusal):
        checked(parse_request(body, "chat").body, Nowhere(), Nowhere())


async def longest_gap(body):
    """How long an event loop stands still, seconds, while a thread looks at a body as `App` has it done."""
    loop = asyncio.get_running_loop()
    looking = loop.run_in_executor(None, look_at, body)
    longest, last, is_last = 0.0, time.perf_counter(), False
    while not is_last:
        is_last = looking.done()
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await looking
    return longest


@pytest.mark.parametrize("shape", SHAPES)
def test_a_body_within_its_bounds_stops_nobody(shape):
    body = SHAPES[shape]()
    assert len(body) < 8 * 1024 * 1024
    before = sys.getswitchinterval()
    # As the gateway has it.
    sys.setswitchinterval(0.001)
    # A busy machine holds up one of them; the body would hold up each.
    try:
        gaps = [0.0]
        for _ in range(12):
            gaps.append(asyncio.run(longest_gap(body)))
            if gaps[-1] < LONGEST_SECONDS:
                break
    finally:
        sys.setswitchinterval(before)
    assert gaps[-1] < LONGEST_SECONDS, gaps


@pytest.mark.parametrize("name", NAMES_OF_USERS)
def test_the_name_of_a_user_is_a_short_text_and_nothing_else_is_built(name):
    separation = Separation("a key")
    body = Body(b'{"model":"m","%s":%s}' % (name.encode(), members()))
    took = []
    for _ in range(3):
        began = time.thread_time()
        with pytest.raises(Refusal, match=f"`{name}` must be a text"):
            put_apart(body, separation, "t")
        took.append(time.thread_time() - began)
    assert min(took) < 0.02, took
    with pytest.raises(Refusal, match="at most 1,024 bytes") as refused:
        put_apart(Body(b'{"%s":"%s"}' % (name.encode(), b"x" * 1023)), separation, "t")
    assert refused.value.param == name
    for kept in (b'"%s"' % (b"x" * 1022), b"null", b'""'):
        put_apart(Body(b'{"%s":%s}' % (name.encode(), kept)), separation, "t")


@pytest.mark.parametrize("name", [*OPTIONS, "response_format"])
@pytest.mark.parametrize(
    "value", [b'{"_":1,"backend":%s}' % members(30_000), b"[%s]" % b",".join([b'"_"'] * 90_000)]
)
def test_an_option_is_bounded_before_anything_is_built_of_it(name, value):
    body = b'{"model":"m","messages":[{}],"stream":true,"%s":%s}' % (name.encode(), value)
    with pytest.raises(Refusal) as refused:
        checked(parse_request(body, "chat").body, Nowhere(), Nowhere())
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "field_too_large", name)


def test_a_long_schema_that_hides_nothing_is_not_built_and_passes():
    schema = b'{"type":"json_schema","json_schema":{"name":"x","schema":{"enum":["%s"]}}}' % (b"x" * 400_000)
    body = b'{"model":"m","messages":[{}],"response_format":%s}' % schema
    assert checked(parse_request(body, "chat").body, Nowhere(), Nowhere()) == {}


def test_a_call_with_media_has_a_hundred_thousand_values_at_most():
    for number, is_refused in ((90_000, False), (110_000, True)):
        body = parse_request(in_content(PICTURE % members(number)), "chat").body
        with pytest.raises(Refusal, match="100,000 values") if is_refused else contextlib.nullcontext():
            checked(body, Nowhere(), Nowhere())


@pytest.mark.parametrize(
    "argument", [b"", b'"%s",' % (b"x" * 70_000), b"1," * 70_000, b'{"a":"%s"},' % (b"x" * 70_000)]
)
def test_what_is_built_in_pieces_is_what_would_be_built_at_once(argument):
    raw = b'{"a":[%s{"b":[1,2,{"c":null}]}, [ ] ,"\\u00e4"],"d":{},"e":"%s"}' % (
        argument,
        argument.replace(b'"', b""),
    )
    assert parse(raw, "x") == json.loads(raw)
    twice = b'{"a":[%s{"b":1,"b":2}],"e":"%s"}' % (argument, b"x" * 70_000)
    with pytest.raises(Refusal, match="two members of one name"):
        parse(twice, "x")
    with pytest.raises(Refusal, match="two members of one name"):
        parse(b'{"a":"%s","a":1}' % (b"x" * 70_000), "x")


@pytest.mark.parametrize("at", range(64 * 1024 - 40, 64 * 1024 + 10, 7))
def test_bounds_are_counted_the_same_wherever_a_body_is_cut(at):
    pad = b"x" * at
    deep = b"[" * 130 + b"]" * 130
    inside = b'{"a":"%s","b":["%s"],"c":"[[[[{{,,,\\""}' % (pad, b"[" * 200)
    assert b'"b"' in Body(inside).outline
    assert Body(inside).outline.count(b"[") == 201 + 4
    for one in (b'{"a":"%s","b":%s}' % (pad, deep), b'{"b":%s,"a":"%s"}' % (deep, pad)):
        with pytest.raises(Refusal, match="nested more than"):
            Body(one)


def test_long_names_are_not_remembered():
    def look(number, where):
        name = b"x" * 200_000 + b"%d" % number
        body = b'{"model":"m","messages":[{"role":"user","content":[%s]}],%s"metadata":{"a":1%s}}' % (
            b'{"image_url":"data:,","%s":1}' % name if where == "messages" else b"",
            b'"%s":1,' % name if where == "the top" else b"",
            b',"%s":1' % name if where == "metadata" else b"",
        )
        look_at(body)

    for where in ("the top", "messages", "metadata"):
        look(0, where)
        tracemalloc.start()
        for number in range(1, 21):
            look(number, where)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 1_000_000, (where, held)


def test_a_name_that_no_field_has_is_refused():
    Body(b'{"%s":1}' % (b"x" * 128))
    with pytest.raises(Refusal, match="more than 128 characters") as refused:
        Body(b'{"%s":1}' % (b"x" * 129))
    assert len(str(refused.value)) < 200
