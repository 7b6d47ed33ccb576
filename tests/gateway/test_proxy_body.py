"""The client's bytes reach the backend: only what must change is replaced, and what is read is unambiguous."""

import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.body import Body, with_member
from gateway.proxy.body_bounds import LARGEST_DEPTH, MOST_VALUES, without_escapes
from gateway.proxy.errors import Refusal
from gateway.proxy.parsed_requests import parse_request

STRANGE = (
    b'{ "z" : 123456789012345678901234567890,\n\t"model":"public" , "y":1e400, "x":1, "x":{"a":1,"a":[2]},'
    b'"w":"\\u65e5\\/\\ud83d\\ude00",  "messages" : [ {"role":"user", "content":"a\\"b", "k":0.10} ],"v":-0.0}'
)


def test_everything_but_the_replaced_value_is_the_clients_own_bytes():
    changed = Body(STRANGE).encode({"model": "own"})
    assert changed == STRANGE.replace(b'"model":"public"', b'"model":"own"')


def test_a_body_without_changes_is_the_same_bytes():
    assert Body(STRANGE).encode() is Body(STRANGE).raw or Body(STRANGE).encode() == STRANGE


def test_a_member_is_added_at_the_end_and_taken_away_in_any_case():
    body = Body(b'{"cache_salt":"x","a":1,"Cache_Salt":"y","b":2}')
    assert body.encode({"c": [3]}) == b'{"cache_salt":"x","a":1,"Cache_Salt":"y","b":2,"c":[3]}'
    assert body.encode({"cache_salt": "ours"}) == b'{"cache_salt":"ours","a":1,"b":2}'
    body.remove("cache_salt")
    assert body.encode() == b'{"a":1,"b":2}'
    assert Body(b"{}").encode({"a": 1}) == b'{"a":1}'
    assert Body(b'{"a":1}').encode({"a": None}) == b"{}"
    assert Body(b'{ "a":1 , "b":2 }\n').encode({"a": None, "c": 3}) == b'{ "b":2,"c":3 }\n'
    assert Body(b'{ "a":1 , "b":2 , "a":3 }').encode({"a": 4}) == b'{ "a":4 , "b":2 }'


def test_a_nested_object_keeps_its_bytes_beside_a_changed_member():
    assert with_member(b'{"big":99999999999999999999}', "u", True) == b'{"big":99999999999999999999,"u":true}'


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["a", "b", "A", 'q"', "é", "\\", ""])


@given(
    members=st.lists(st.tuples(names, values), max_size=6),
    name=names,
    value=values,
    is_ascii=st.booleans(),
    space=st.sampled_from(["", " ", "\n\t"]),
)
def test_splicing_is_what_parsing_and_writing_anew_would_be(members, name, value, is_ascii, space):
    written = f",{space}".join(
        f"{json.dumps(one, ensure_ascii=is_ascii)}{space}:{space}{json.dumps(what, ensure_ascii=is_ascii)}"
        for one, what in members
    )
    raw = f"{space}{{{space}{written}{space}}}{space}".encode()
    changed = json.loads(Body(raw).encode({name: value}))
    expected = {one: what for one, what in members if one.casefold() != name.casefold()}
    if value is not None:
        expected[name] = value
    assert changed == expected


@pytest.mark.parametrize("field", ["model", "messages", "max_tokens", "max_completion_tokens", "n", "stream"])
@pytest.mark.parametrize("spelling", ["{0}", "\\u{1:04x}{2}", "{3}"])
def test_a_field_that_the_gateway_reads_may_not_be_there_twice(field, spelling):
    """Engines differ in which of two they obey, and some ignore case."""
    again = spelling.format(field, ord(field[0]), field[1:], field.capitalize())
    body = (
        '{"model":"m","messages":[{"role":"user"}],"max_tokens":1,"n":1,"stream":false,'
        f'"max_completion_tokens":1,"{again}":3}}'
    )
    with pytest.raises(Refusal, match=f"`{field}`") as refused:
        parse_request(body.encode(), "chat")
    assert (refused.value.status, refused.value.param) == (400, field)


def test_another_spelling_of_a_field_that_the_gateway_reads_is_refused():
    with pytest.raises(Refusal, match="`Model` must be spelled `model`"):
        parse_request(b'{"Model":"m","messages":[{"role":"user"}]}', "chat")
    with pytest.raises(Refusal, match="must be spelled `max_tokens`"):
        parse_request('{"model":"m","messages":[{}],"max_to\u212aens":9}'.encode(), "chat")


def test_what_the_gateway_reads_inside_a_field_may_not_be_there_twice():
    options = b'{"include_usage":true,"include_usage":false}'
    with pytest.raises(Refusal, match="`stream_options`"):
        parse_request(
            b'{"model":"m","messages":[{}],"stream":true,"stream_options":' + options + b"}", "chat"
        )


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"m","messages":[{"content":"\xff"}]}',
        b'{"model":"m","messages":[{"content":"\\ud800"}]}',
        b'\xef\xbb\xbf{"model":"m"}',
        '{"model":"m"}'.encode("utf-16"),
        b'{"model":"m"} {}',
        b'{"model":"m",}',
        b'{"model":NaN}',
        b'["model"]',
        b"",
        b'{"model":"m","a":' + b"[" * (LARGEST_DEPTH + 1) + b"]" * (LARGEST_DEPTH + 1) + b"}",
        b'{"model":"m","a":' + b"[" * 100_000,
        b'{"model":"m",' + b",".join(b'"a":1' for _ in range(2000)) + b"}",
        b'{"model":"m","a":[' + b"{}," * MOST_VALUES + b"{}]}",
        b'{"model":"m","a":[' + b'"",' * MOST_VALUES + b'""]}',
    ],
)
def test_what_is_no_json_or_too_much_of_it_is_refused(raw):
    with pytest.raises(Refusal) as refused:
        parse_request(raw, "chat")
    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\ude00", rb"\ud83d\ud83d", rb"\ud83dx"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[{"role":"user","content":"HALF"}]}',
        b'{"model":"mHALF","messages":[{"role":"user","content":"x"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"xHALF":1}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"user":"HALF"}',
    ],
)
def test_half_a_surrogate_pair_is_refused_with_the_byte_and_what_to_do(body, half):
    begins = rf"byte {body.index(b'HALF')} begins half of a surrogate pair"
    with pytest.raises(Refusal, match=begins) as refused:
        parse_request(body.replace(b"HALF", half), "chat")
    assert (refused.value.status, refused.value.code) == (400, "invalid_json")
    assert parse_request(body.replace(b"HALF", rb"\ud83d\ude00"), "chat").mode == "chat"


def test_many_marks_inside_of_texts_are_no_many_values():
    text = '{[,]}\\"' * MOST_VALUES + "\\\\"
    parsed = parse_request(f'{{"messages":[{{"content":"{text}"}}],"model":"m"}}'.encode(), "chat")
    assert parsed.model == "m"


def test_nesting_up_to_the_bound_passes():
    deep = b"[" * (LARGEST_DEPTH - 1) + b'"]["' + b"]" * (LARGEST_DEPTH - 1)
    assert Body(b'{"a":' + deep + b"}").raw_of("a") == deep


def test_names_in_a_large_body_are_found_beside_its_long_texts_and_not_in_them():
    text = 'say "image_url": and \\ and \\" so on, ' * 5000
    large = {"messages": [{"role": "user", "content": text}], "tools": [], "k\\": "short"}
    body = Body(json.dumps(large).encode())
    assert b'"tools"' in body.outline
    assert b'"short"' in body.outline
    assert b"image_url" not in body.outline
    assert len(body.outline) < 500
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    with_part = {**large, "messages": [{"role": "user", "content": [part]}]}
    assert b'"image_url"' in Body(json.dumps(with_part).encode()).outline


def test_escapes_are_taken_out_the_same_wherever_a_large_body_is_cut():
    for lead, run, tail in product(range(65_526, 65_540), range(1, 6), ('"', 'n"', "x", 'n\\"', 'nn\\"', "")):
        raw = b"a" * lead + b"\\" * run + tail.encode() + b"b" * 100
        assert without_escapes(raw) == raw.replace(b"\\\\", b"").replace(b'\\"', b"")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1, "b": [1,2]}',
        b'{"a":1,"b":[1, 2]}',
        # As long as the first one.
        b'{"a":1 ,"b" : [1,2]}',
        b'{ "a":1, "b":[1,2] }',
        b'{"a": 1,"b": [1,2] }',
        b'{"a": 1, "b": [1,2]}\n',
    ],
)
def test_a_body_keeps_its_spaces_where_a_value_is_replaced(raw):
    assert Body(raw).encode({"a": 77}) == raw.replace(b"1", b"77", 1)
    assert Body(raw).encode({"b": None}).startswith(raw.partition(b"1")[0])
    assert json.loads(Body(raw).encode({"c": "d"})) == {"a": 1, "b": [1, 2], "c": "d"}
