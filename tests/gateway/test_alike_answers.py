"""Answers like earlier ones of their target are read and written with less effort, and exactly as with all care."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.proxy.alike_answers import AlikeAnswers
from gateway.proxy.names import Names
from gateway.proxy.whole_answers import read_answer
from tests.gateway.targets import address

USAGE = {"prompt_tokens": 9, "completion_tokens": 20, "total_tokens": 29}
HEAD = {"id": "c-1", "object": "chat.completion", "created": 1700000000, "model": "org/up-7b"}


def whole(message=None, choice=None, usage=USAGE, separators=(",", ":"), indent=None, head=HEAD, **more):
    message = {"role": "assistant", "content": "Hello there.", **(message or {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **(choice or {})}
    answer = {**head, "choices": [choice], "usage": usage, **more}
    return json.dumps(answer, separators=separators, indent=indent).encode()


PLAIN = whole()
# As vLLM and OpenAI answer.
ENGINE = whole(
    {"refusal": None, "annotations": None, "audio": None, "tool_calls": [], "reasoning_content": None},
    {"logprobs": None, "stop_reason": None, "token_ids": None},
    {**USAGE, "prompt_tokens_details": None},
    service_tier=None,
    system_fingerprint=None,
    kv_transfer_params=None,
)
PROVIDER = whole(
    {"refusal": None, "annotations": []},
    {"logprobs": None},
    {**USAGE, "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}},
    separators=(",", ": "),
    indent=2,
    service_tier="default",
    system_fingerprint="fp_1",
)  # fmt: skip
COMPLETION = PLAIN.replace(
    b'"message":{"role":"assistant","content":"Hello there."}', b'"text":"Hello there."'
)
KNOWN = (PLAIN, ENGINE, PROVIDER, COMPLETION)
FRAGMENTS = st.sampled_from([
    b'"', b"\\", b'\\"', b'\\\\"', b"\\u0041", b"\\ud800", b"\\q", b"\n", b"\x00", b"\xff", b"\xc3\xa9", b"NaN",
    b"null", b"data:audio/x,AAAA", b"}", b"{", b",", b":", b" ", b"0", b"-1", b"1.5", b'"id":"x",', b'"content":"y",',
    b'"error":{"code":500},', b'"model":"up-7b",', b'"usage":{"prompt_tokens":1},', b'"total_tokens":29,',
    b'"created":5,', b"gpu-node-7", b"up-7b", b"\xef\xbb\xbf",
])  # fmt: skip
TEXTS = st.lists(st.one_of(st.just(b"word "), FRAGMENTS, st.binary(max_size=3)), max_size=8).map(b"".join)
IDS = st.sampled_from(
    [b"c-2", b"chatcmpl-" + b"0af" * 10, b"gpu-node-7", b"up-7b-1", b"", b"a b", b"x" * 129, b"a/b"]
)
COUNTS = st.one_of(st.integers(0, 400), st.sampled_from([9_999_999, 10_000_000, 10**15, 10**20]))


def names(public="aurora", url="http://gpu-node-7:8000/v1"):
    return Names(address(url=url, id="t", upstream_model="org/up-7b"), public)


def carefully(content, of):
    """The answer as it is read and written without what is known of others."""
    answer = read_answer(content, "chat")
    shown = Names(of.backend, of._public_name).in_answer(answer.content)
    return replace(answer, members=None, shown=shown)


def quickly(content, of):
    return of._target.answers.read(content)


def learned(content, public):
    of = names(public)
    of.in_whole(of.read(content, "chat", 1))
    return of


@pytest.mark.parametrize("content", KNOWN)
def test_the_second_answer_of_a_kind_is_known_by_its_bytes(content):
    of = learned(content, f"aurora-{KNOWN.index(content)}")
    later = (
        content.replace(b"c-1", b"c-2")
        .replace(b"Hello there.", b'She said: \\"No.\\"\\n')
        .replace(b"20", b"12")
    )
    later = later.replace(b"29", b"21").replace(b"17000", b"18000")
    answer = quickly(later, of)
    assert answer is not None
    assert answer == carefully(later, of)
    assert b"up-7b" not in answer.shown


@pytest.mark.parametrize(
    "content",
    [
        whole({"content": ""}),
        whole({"content": "ab", "reasoning_content": "thought"}),
        whole({"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}),
        whole(choice={"stop_reason": "a caller's word"}),
        whole(usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 5}}),
        whole(usage={**USAGE, "total_tokens": 30}),
        whole(usage=None),
        whole(note="in the caller's words"),
        whole(id="on-gpu-node-7"),
        whole({"annotations": [{"url": "https://a.example"}]}),
        whole(**{"x" * 60: None}),
        whole(**{f"x_{number}": None for number in range(200)}),
        PLAIN.replace(b'"created"', b'"id":"c-1","created"'),
        PLAIN.replace(b'"total_tokens"', b'"total_tokens":29,"total_tokens"'),
    ],
)
def test_of_odd_answers_nothing_is_remembered(content):
    of = learned(content, "aurora-odd")
    assert quickly(content, of) is None
    assert not of._target.answers._shapes


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Hello there.", b""),
        (b"Hello there.", b"data:audio/x,AAAA"),
        (b"Hello there.", b"\xff"),
        (b"Hello there.", b"\\q"),
        (b"Hello there.", b"\n"),
        (b"Hello there.", b"C:\\\\"),
        (b"Hello there.", b'C:\\\\"},'),
        (b"Hello there.", b'\\\\"},"finish_reason":"error"},{"message":{"content":"x'),
        (b"c-1", b"gpu-node-7"),
        (b"c-1", b"my-up-7b"),
        (b"29", b"30"),
        (b"29", b"029"),
        (
            b'9,"completion_tokens":20,"total_tokens":29',
            b'9999980,"completion_tokens":20,"total_tokens":10000000',
        ),
    ],
)
def test_an_answer_that_may_read_otherwise_gets_a_closer_look(old, new):
    assert old in PLAIN
    assert quickly(PLAIN.replace(old, new), learned(PLAIN, "aurora-0")) is None


@given(
    content=st.sampled_from(KNOWN),
    own_id=IDS,
    text=TEXTS,
    counts=st.tuples(COUNTS, COUNTS),
    beside=st.sampled_from([0] * 6 + [1]),
    fragment=FRAGMENTS,
    place=st.none() | st.integers(0, 900),
    drop=st.integers(0, 3),
)
def test_an_answer_that_is_known_reads_as_with_all_care(
    content, own_id, text, counts, beside, fragment, place, drop
):
    of = learned(content, f"aurora-{KNOWN.index(content)}")
    prompt, completion = counts
    content = content.replace(b"c-1", own_id).replace(b"Hello there.", text)
    content = content.replace(b"29", b"%d" % (prompt + completion + beside)).replace(
        b"20,", b"%d," % completion
    )
    content = content.replace(b" 9,", b" %d," % prompt).replace(b":9,", b":%d," % prompt)
    if place is not None:
        content = content[:place] + fragment + content[place + drop :]
    answer = quickly(content, of)
    if answer is not None:
        assert answer == carefully(content, of)


def test_targets_and_public_names_share_nothing():
    learned(PLAIN, "aurora-alone")
    assert quickly(PLAIN, names("aurora-alone")).shown.count(b"aurora-alone") == 1
    assert quickly(PLAIN, names("aurora-other")) is None
    assert quickly(PLAIN, names("aurora-alone", "http://gpu-node-8:8000/v1")) is None


def test_one_callers_odd_answers_neither_fill_the_memory_nor_push_out_the_others():
    of = learned(PLAIN, "aurora-full")
    shapes = of._target.answers._shapes
    for number in range(150):
        content = whole(choice={"index": number})
        of.in_whole(of.read(content, "chat", 1))
        assert len(shapes) <= 4
    kept = quickly(PLAIN, of)
    assert kept is None or len(shapes) == 4
    # A few calls later at the latest, it is known again.
    for _ in range(64):
        of.in_whole(of.read(PLAIN, "chat", 1))
    assert quickly(PLAIN, of) is not None


def test_an_unknown_shape_costs_a_closer_look_only_now_and_then():
    asked = []
    answers = AlikeAnswers(lambda _: True)
    answer = replace(carefully(PLAIN, names()), shown=PLAIN)
    for _ in range(1000):
        answers.learn(answer, lambda content: asked.append(content) or answer)
    assert len(asked) == 16 + (1000 - 16) // 64
