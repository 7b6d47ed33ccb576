"""A field of any name with a value of any kind is passed or refused by name, and never a fault of ours."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy import controls
from gateway.proxy.errors import Refusal
from gateway.proxy.media import check_media
from gateway.proxy.parsed_requests import parse_request
from gateway.proxy.separation import Separation

NAMES = sorted(
    {
        *controls.PLAIN, *controls.CONTAINERS, *controls.NAMES_OF_USERS, "image_url", "images", "video", "input_audio",
        "file", "image_data", "audio", "documents", "prompt", "service_tier", "store", "background", "frobnicate",
        "priority",
    }
)  # fmt: skip
ODD = [
    None,
    True,
    0,
    -1,
    1.5,
    1e300,
    10**30,
    "",
    "x",
    "\x00",
    [],
    [1],
    [None],
    [[["x"]]],
    {},
    {"url": 1},
    {"a": {"b": 1}},
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "url", "data", "id", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def read(mode="chat", **fields):
    messages = [{"role": "user", "content": "hello"}]
    body = {"model": "m", "messages": messages, "input": "hello"} | fields
    refusal = None
    try:
        parsed = parse_request(json.dumps(body).encode(), mode)
        check_media(parsed.body, ())
        controls.controls_in(parsed.body)
        controls.put_apart(parsed.body, Separation("a key"), "tenant")
    except Refusal as refused:
        refusal = refused
    assert refusal is None or (refusal.status == 400 and refusal.param)


@pytest.mark.parametrize("name", NAMES)
def test_no_odd_value_is_our_fault(name):
    for value in ODD:
        for mode in ("chat", "embedding"):
            read(mode, **{name: value})


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(NAMES), value=VALUES)
def test_nor_is_a_random_one(name, value):
    read(**{name: value})
