"""The short ways of reading an ordinary answer come to what the long ways come to."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.delivered import COMPRESSED_SOUND, RAW_SOUND, Delivered
from gateway.proxy.evidence import _count
from gateway.proxy.members import parse_all
from gateway.proxy.ordinary_usage import as_usage, estimated_usage, ordinary_usage
from gateway.proxy.usage import Reported, read_usage
from gateway.proxy.whole_answers import read_answer
from tests.gateway.reported_usage import bounds

SMALL = st.integers(0, 40)
# Around every bound: the least and the most of a prompt and of an answer.
NUMBERS = st.one_of(
    SMALL, st.integers(8180, 8300), st.integers(65_500, 65_700), st.integers(262_000, 262_500)
)
# Zero much more often than not, as in reports.
RARE = st.sampled_from([0] * 12 + [1, 5])
SELDOM = st.sampled_from([False] * 12 + [True])
PARTS = [name for name in Reported.__struct_fields__[3:] if not name.startswith("is_")]
FLAGS = [name for name in Reported.__struct_fields__ if name.startswith("is_") and name != "is_clean"]


@settings(deadline=None, max_examples=2000)
@given(
    sides=st.tuples(NUMBERS, NUMBERS),
    beside_total=st.sampled_from([0] * 6 + [1, -1]),
    parts=st.fixed_dictionaries(dict.fromkeys(PARTS, RARE)),
    flags=st.fixed_dictionaries(dict.fromkeys(FLAGS, SELDOM)),
    is_clean=st.sampled_from([True] * 6 + [False]),
    delivered=st.builds(
        Delivered, bytes=NUMBERS, pieces=SMALL, images=RARE, sound=RARE, other=RARE, chunks=SMALL, tools=RARE
    ),
    estimate=st.sampled_from([1, 12, 400, 5000]),
    options=st.fixed_dictionaries({
        "named_output": st.sampled_from([0, 20]),
        "longest_output": st.sampled_from([None, 300_000]),
        "choices": st.integers(1, 3),
        "is_embedding": SELDOM,
        "may_bring_more": st.booleans(),
        "may_think": st.booleans(),
    }),
)  # fmt: skip
def test_an_ordinary_report_counts_as_by_all_the_rules(
    sides, beside_total, parts, flags, is_clean, delivered, estimate, options
):
    told = Reported(*sides, sum(sides) + beside_total, **parts, **flags, is_clean=is_clean)
    of = bounds(estimate, **options)
    usage = ordinary_usage(told, of, delivered)
    if usage is not None:
        counts, is_exact = _count(told, of, delivered, False)
        assert (usage, True) == (as_usage(counts, told), is_exact)


@given(
    delivered=st.builds(Delivered, bytes=NUMBERS, pieces=SMALL, images=RARE, sound=NUMBERS, chunks=SMALL),
    estimate=st.sampled_from([0, 1, 12, 5000]),
    options=st.fixed_dictionaries({
        "choices": st.integers(1, 3),
        "is_embedding": st.booleans(),
        "may_think": st.booleans(),
        "characters_of_a_sound_token": st.sampled_from([COMPRESSED_SOUND, RAW_SOUND]),
    }),
)  # fmt: skip
def test_an_answer_without_a_report_is_estimated_as_by_all_the_rules(delivered, estimate, options):
    of = bounds(estimate, **options)
    counts, is_exact = _count(None, of, delivered, False)
    assert (estimated_usage(of, delivered), False) == (as_usage(counts, None), is_exact)


def test_an_ordinary_report_is_found():
    told, text = Reported(12, 5, 17), Delivered(bytes=15, pieces=1)
    assert ordinary_usage(told, bounds(), text) == {"input": 12, "output": 5}


@pytest.mark.parametrize(
    "usage",
    [
        '{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17}',
        '{"total_tokens":17,"prompt_tokens":12,"completion_tokens":5,"prompt_tokens_details":null}',
        '{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens":13}',
        '{"prompt_tokens":12,"prompt_tokens":13,"total_tokens":17}',
        '{"prompt_tokens":12,"prompt_tokens":13,"completion_tokens":5,"total_tokens":17}',
        '{"prompt_tokens":12.0,"completion_tokens":5,"total_tokens":17}',
        '{"prompt_tokens":12.5,"completion_tokens":5,"total_tokens":17}',
        '{"prompt_tokens":"12","completion_tokens":5,"total_tokens":17}',
        '{"prompt_tokens":-12,"completion_tokens":5,"total_tokens":17}',
        '{"prompt_tokens":true,"completion_tokens":5,"total_tokens":17}',
        '{"prompt_tokens":0,"completion_tokens":5,"total_tokens":17}',
        '{"prompt_tokens":120000000,"completion_tokens":5,"total_tokens":17}',
        '{"prompt_tokens":1' + "0" * 30 + ',"completion_tokens":5,"total_tokens":17}',
        '{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4}}',
        '{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"cached_tokens":4}',
        '{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"cost":1}',
        '{"prompt_tokens":12,"completion_tokens":5,"\\u0074otal_tokens":17}',
        '{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"completion_tokens_details":null,'
        '"completion_tokens_details":{"reasoning_tokens":2}}',
    ],
)
def test_a_report_of_three_counts_is_read_as_any_other(usage):
    message = {"role": "assistant", "content": "fifteen letters"}
    choice = json.dumps({"index": 0, "message": message, "finish_reason": "stop"})
    answer = f'{{"id":"c","choices":[{choice}],"usage":{usage}}}'.encode()
    assert read_answer(answer, "chat").reported == read_usage(parse_all(answer))


@pytest.mark.parametrize("annotations", ["null", "[]", "[ ]"])
def test_an_answer_that_cites_nothing_counts_as_one_that_cannot_cite(annotations):
    of_both = (
        f'{{"choices":[{{"message":{{"content":"\\u00e9 \\"annotations\\": 1","{name}":{annotations}}},"index":0}}]}}'
        for name in ("annotations", "refusal")
    )
    cites, cannot = (read_answer(answer.encode(), "chat").delivered for answer in of_both)
    assert cites == cannot
