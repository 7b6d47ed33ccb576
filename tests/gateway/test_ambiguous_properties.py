"""Whatever a backend tells, however often and strangely, is counted within bounds, and exactly only if it is clear."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.proxy.delivered import Delivered
from gateway.proxy.evidence import count_delivered, count_dropped, count_tokens
from gateway.proxy.members import parse_all
from gateway.proxy.usage import LARGEST_COUNT, read_usage
from tests.gateway.reported_usage import bounds

NAMES = st.sampled_from([
    "usage", "usageMetadata", "x_groq", "choices", "message", "timings", "prompt_n", "predicted_n", "tokens",
    "billed_units", "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens",
    "completion_tokens_details", "promptTokensDetails", "modality", "tokenCount", "cached_tokens", "reasoning_tokens",
    "cache_creation", "ephemeral_5m_input_tokens", "eval_count", "thoughtsTokenCount", "\\u0075sage",
])  # fmt: skip
NUMBERS = st.sampled_from(
    ["0", "1", "7", "500", "-1", "1.5", "1e3", "NaN", "null", "true", '"7"', '"x"', "1" + "0" * 30]
)


def as_object(members):
    return "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}"


VALUES = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.lists(st.tuples(NAMES, inner), max_size=5).map(as_object),
        st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]"),
    ),
    max_leaves=12,
)
ANSWERS = st.lists(st.tuples(NAMES, VALUES), max_size=5).map(as_object)
# A busy machine is slow.
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUIET
@given(answer=ANSWERS, size=st.integers(0, 2000))
def test_whatever_is_told_is_counted_within_bounds(answer, size):
    reported = read_usage(parse_all(answer.encode()))
    text = Delivered(size, 1 if size else 0)
    for counts in (
        count_tokens(reported, bounds(), text)[0],
        count_tokens(reported, bounds(is_embedding=True), Delivered())[0],
        count_delivered(reported, bounds(), text)[0],
        count_dropped(reported, bounds(), size),
    ):
        assert all(0 < count <= 4 * LARGEST_COUNT for count in counts.values())


@QUIET
@given(
    numbers=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    names=st.sampled_from([("usage", "usage"), ("completion_tokens", "completion_tokens")]),
)
def test_numbers_that_differ_are_never_exact_and_the_largest_is_billed(numbers, names):
    if names[0] == "usage":
        told = ",".join(
            f'"usage":{json.dumps({"prompt_tokens": 12, "completion_tokens": one})}' for one in numbers
        )
    else:
        told = '"usage":{"prompt_tokens":12,%s}' % ",".join(f'"completion_tokens":{one}' for one in numbers)  # noqa: UP031
    reported = read_usage(parse_all(f"{{{told}}}".encode()))
    counted = count_tokens(reported, bounds(), Delivered(bytes=90, pieces=1))
    is_alike, is_enough = len(set(numbers)) == 1, max(numbers) >= 3
    if is_enough:
        assert counted == ({"input": 12, "output": max(numbers)}, is_alike)
