"""What backends report in their many dialects becomes disjoint tokens whose sum is the total."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contract import total_tokens
from gateway.proxy.delivered import Delivered
from gateway.proxy.evidence import count_delivered, count_tokens
from gateway.proxy.usage import LARGEST_COUNT, read_usage
from tests.gateway.reported_usage import ANSWER, bounds, counted, details, details_out, openai

DIALECTS = {
    "OpenAI": (
        openai(100, 50, 150, **details(cached_tokens=60, audio_tokens=10), **details_out(reasoning_tokens=30)),
        {"input": 30, "cache_read": 60, "audio": 10, "output": 20, "reasoning": 30},
    ),
    "OpenAI, cache writes": (
        openai(100, 5, 105, **details(cached_tokens=60, cache_write_tokens=30)),
        {"input": 10, "cache_read": 60, "cache_write": 30, "output": 5},
    ),
    "OpenAI Responses": (
        {"input_tokens": 40, "input_tokens_details": {"cached_tokens": 16}, "output_tokens": 20,
         "output_tokens_details": {"reasoning_tokens": 12}, "total_tokens": 60},
        {"input": 24, "cache_read": 16, "output": 8, "reasoning": 12},
    ),
    "Anthropic: the cache is beside the input": (
        {"input_tokens": 7, "cache_read_input_tokens": 50, "cache_creation_input_tokens": 20, "output_tokens": 9},
        {"input": 7, "cache_read": 50, "cache_write": 20, "output": 9},
    ),
    "Anthropic, writes by their lifetime": (
        {"input_tokens": 7, "cache_read_input_tokens": 0, "output_tokens": 9, "cache_creation_input_tokens": 30,
         "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}},
        {"input": 7, "cache_write": 10, "cache_write_1h": 20, "output": 9},
    ),
    "a proxy that puts Anthropic's cache inside of the prompt": (
        openai(77, 9, 86, cache_read_input_tokens=50, cache_creation_input_tokens=20),
        {"input": 7, "cache_read": 50, "cache_write": 20, "output": 9},
    ),
    "a proxy that leaves it outside, as its total says": (
        openai(80, 9, 159, cache_read_input_tokens=50, cache_creation_input_tokens=20),
        {"input": 80, "cache_read": 50, "cache_write": 20, "output": 9},
    ),
    "Bedrock": (
        {"inputTokens": 5, "outputTokens": 6, "totalTokens": 51, "cacheReadInputTokens": 40},
        {"input": 5, "cache_read": 40, "output": 6},
    ),
    "Gemini": (
        {"promptTokenCount": 50, "cachedContentTokenCount": 20, "candidatesTokenCount": 9, "thoughtsTokenCount": 70,
         "totalTokenCount": 129, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 40},
                                                         {"modality": "IMAGE", "tokenCount": 10}]},
        {"input": 20, "cache_read": 20, "image": 10, "output": 9, "reasoning": 70},
    ),
    "Gemini, tools beside the prompt": (
        {"promptTokenCount": 50, "toolUsePromptTokenCount": 5, "candidatesTokenCount": 9, "totalTokenCount": 64},
        {"input": 55, "output": 9},
    ),
    "xAI: reasoning beside the completion": (
        openai(30, 8, 138, **details_out(reasoning_tokens=100), **details(text_tokens=30, cached_tokens=10)),
        {"input": 20, "cache_read": 10, "output": 8, "reasoning": 100},
    ),
    "DeepSeek": (
        openai(99, 30, 129, prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=35, **details_out(reasoning_tokens=9)),
        {"input": 35, "cache_read": 64, "output": 21, "reasoning": 9},
    ),
    "Moonshot": (openai(40, 7, 47, cached_tokens=25), {"input": 15, "cache_read": 25, "output": 7}),
    "Mistral": (openai(40, 7, 47, num_cached_tokens=25), {"input": 15, "cache_read": 25, "output": 7}),
    "OpenRouter": (
        openai(40, 7, 47, cost=0.01, **details(cached_tokens=5, cache_write_tokens=3, video_tokens=4)),
        {"input": 28, "cache_read": 5, "cache_write": 3, "image": 4, "output": 7},
    ),
    "Qwen": (
        openai(60, 7, 67, **details(text_tokens=20, image_tokens=30, audio_tokens=10)),
        {"input": 20, "image": 30, "audio": 10, "output": 7},
    ),
    "audio, part of it cached": (
        openai(200, 3, 203, **details(cached_tokens=90, audio_tokens=110, cached_tokens_details={"audio_tokens": 70})),
        {"input": 70, "cache_read": 90, "audio": 40, "output": 3},
    ),
    "an image as the answer": (
        openai(9, 1100, 1109, **details_out(image_tokens=1000, reasoning_tokens=100)),
        {"input": 9, "image": 1000, "reasoning": 100},
    ),
    "Perplexity: reasoning at the top, beside everything": (
        openai(30, 8, 138, reasoning_tokens=100), {"input": 30, "output": 8, "reasoning": 100},
    ),
    "Cohere": (
        {"billed_units": {"input_tokens": 5, "output_tokens": 4}, "tokens": {"input_tokens": 40, "output_tokens": 4}},
        {"input": 40, "output": 4},
    ),
    "LangChain": (
        {"input_tokens": 40, "input_token_details": {"cache_read": 10}, "output_tokens": 9, "total_tokens": 49,
         "output_token_details": {"reasoning": 5}},
        {"input": 30, "cache_read": 10, "output": 4, "reasoning": 5},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_is_understood_exactly(name):
    usage, expected = DIALECTS[name]
    assert counted(usage) == (expected, True)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"x_groq": {"usage": openai(12, 6, 18)}}, (12, 6)),
        ({"choices": [{"usage": openai(12, 6, 18)}]}, (12, 6)),
        ({"choices": [{"message": {"usage": openai(12, 6, 18)}}]}, (12, 6)),
        ({"usage": None, "response": {"usage": openai(12, 6, 18)}}, (12, 6)),
        ({"usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 6}}, (12, 6)),
        ({"message": {"usage": {"input_tokens": 12, "output_tokens": 6}}}, (12, 6)),
        ({"prompt_eval_count": 12, "eval_count": 6}, (12, 6)),
        ({"timings": {"prompt_n": 10, "cache_n": 2, "predicted_n": 6, "predicted_ms": 3.5}}, (12, 6)),
    ],
)
def test_usage_is_found_wherever_servers_put_it(content, expected):
    reported = read_usage(content)
    assert (reported.prompt, reported.completion) == expected


@pytest.mark.parametrize(
    "usage",
    [
        {}, openai(0, 0, 0), openai(-1, -1), openai(True, True), openai(None, None), openai("many", []),
        openai(float("nan"), float("inf")), openai(1e300, 10**30, 2**63), openai("9" * 100, {}),
    ],
)  # fmt: skip
def test_what_is_no_usage_is_estimated_from_the_bytes_and_inexact(usage):
    counts, is_exact = counted(usage)
    assert counts == {"input": 16, "output": 5}  # three bytes a token
    assert not is_exact


def test_whole_floats_and_texts_of_digits_are_numbers_and_fractions_are_rounded_up():
    assert counted(openai(50.0, "70", 120), Delivered(bytes=200, pieces=1)) == (
        {"input": 50, "output": 70},
        True,
    )
    assert counted(openai(50.2, 6.5)) == ({"input": 51, "output": 7}, False)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 12, "total_tokens": 18}, (12, 6, True)),
        ({"completion_tokens": 6, "total_tokens": 18}, (12, 6, True)),
        (openai(0, 6, 18), (12, 6, False)),
        (openai(12, 0, 18), (12, 6, False)),
        ({"prompt_tokens": 12}, (12, 5, False)),
        ({"completion_tokens": 6}, (16, 6, False)),
        ({"total_tokens": 118}, (16, 102, False)),
        ({"total_tokens": 7}, (5, 2, False)),
        (openai(12, 6, 10), (12, 6, False)),
        (openai(12, 6, 0), (12, 6, False)),
    ],
)
def test_a_missing_number_follows_from_the_others_or_is_estimated(usage, expected):
    counts, is_exact = counted(usage)
    assert (counts.get("input", 0), counts.get("output", 0), is_exact) == expected


def test_a_part_larger_than_its_whole_stands_beside_it_and_is_inexact():
    counts, is_exact = counted(openai(5, 3, **details(cached_tokens=9), **details_out(reasoning_tokens=8)))
    assert counts == {"input": 5, "cache_read": 9, "output": 3, "reasoning": 8}
    assert not is_exact


IMPOSSIBLE = {
    "a cache larger than the prompt, and a total without it": (
        openai(12, 6, 18, **details(cached_tokens=5000)), {"input": 12, "output": 6}),
    "at the top": (openai(12, 6, 18, cached_tokens=5000), {"input": 12, "output": 6}),
    "hits and no misses": (openai(12, 6, 18, prompt_cache_hit_tokens=5000), {"input": 12, "output": 6}),
    "a total that has room for a part of it": (
        openai(12, 6, 100, **details(cached_tokens=5000)), {"input": 12, "output": 6, "reasoning": 82}),
    "no prompt beside it": (openai(0, 6, 18, **details(cached_tokens=5000)), {"input": 12, "output": 6}),
    "a write larger than the prompt": (
        openai(12, 6, 18, **details(cache_write_tokens=5000)), {"input": 12, "output": 6}),
    "both together larger": (
        openai(12, 6, 18, **details(cached_tokens=10, cache_write_tokens=8)),
        {"input": 4, "cache_write": 8, "output": 6}),
    "with cached sound": (
        openai(12, 6, 18, **details(cached_tokens=5000, audio_tokens=4, cached_tokens_details={"audio_tokens": 4})),
        {"input": 8, "audio": 4, "output": 6}),
    "no total, and more than the prompt has bytes": (
        openai(12, 6, **details(cached_tokens=5000)), {"input": 12, "output": 6}),
    "reasoning larger than the completion, and a total without it": (
        openai(12, 6, 18, **details_out(reasoning_tokens=5000)), {"input": 12, "output": 6}),
    "sound larger than the prompt": (openai(12, 6, 18, **details(audio_tokens=5000)), {"input": 12, "output": 6}),
    "images larger than the prompt": (
        openai(12, 6, 18, **details(image_tokens=5000)), {"input": 12, "output": 6}),
    "sound larger than the completion": (
        openai(12, 6, 18, **details_out(audio_tokens=5000)), {"input": 12, "output": 6}),
    "images larger than the completion": (
        openai(12, 6, 18, **details_out(image_tokens=5000)), {"input": 12, "output": 6}),
    "a total larger than any answer": (openai(12, 6, 9_999_999), {"input": 12, "output": 6}),
    "a total larger than thoughts without a name": (openai(12, 6, 200_000), {"input": 12, "output": 6}),
}  # fmt: skip


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_part_larger_than_its_whole_that_has_no_room_beside_it_was_not_told(name):
    usage, expected = IMPOSSIBLE[name]
    assert counted(usage) == (expected, False)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # A prompt of 4,000 bytes has more than three tokens: the cache is missing from it, and from the total.
        (openai(3, 6, 9, **details(cached_tokens=990)), {"input": 3, "cache_read": 990, "output": 6}),
        (openai(3, 6, **details(cached_tokens=990)), {"input": 3, "cache_read": 990, "output": 6}),
        ({"input_tokens": 3, "cache_read_input_tokens": 990, "output_tokens": 6, "total_tokens": 9},
         {"input": 3, "cache_read": 990, "output": 6}),
        (openai(900, 6, 906, reasoning_tokens=5000), {"input": 900, "output": 6, "reasoning": 5000}),  # Perplexity
    ],
)  # fmt: skip
def test_a_part_that_the_total_forgets_still_stands_beside_its_whole(usage, expected):
    assert counted(usage, of=bounds(1000)) == (expected, False)


def test_usage_told_before_the_end_is_only_a_part():
    long = Delivered(bytes=300, pieces=60)
    assert counted(openai(12, 20), long, is_partial=True) == ({"input": 12, "output": 100}, False)


def test_of_several_usages_the_larger_number_of_each_kind_holds():
    reported = read_usage({"usage": openai(12, 6, 18)})
    for placeholder in (openai(0, 0, 0), openai(-1, -1), openai(12, 1)):
        reported.merge(read_usage({"usage": placeholder}))
    assert count_tokens(reported, bounds(), ANSWER) == ({"input": 12, "output": 6}, True)
    first = read_usage({"usage": openai(-1, 0)})
    first.merge(read_usage({"usage": openai(12, 6, 18)}))
    assert count_tokens(first, bounds(), ANSWER) == ({"input": 12, "output": 6}, True)


def test_a_failed_call_costs_what_was_delivered_and_nothing_hidden():
    reported = read_usage({"usage": openai(12, 900, **details_out(reasoning_tokens=890))})
    assert count_delivered(reported, bounds(), Delivered()) == ({}, True)
    assert count_delivered(reported, bounds(), ANSWER) == ({"input": 12, "output": 5}, False)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 7, "total_tokens": 7}, (7, True)),
        ({"total_tokens": 7}, (7, True)),
        (openai(7, 0, 7), (7, True)),
        ({"prompt_tokens": 7, "total_tokens": 9}, (9, False)),
        ({}, (16, False)),
        (openai(7, 3, 10), (10, False)),
    ],
)
def test_an_embedding_has_only_a_prompt(usage, expected):
    counts, is_exact = counted(usage, Delivered(), bounds(is_embedding=True))
    assert counts == {"input": expected[0]}
    assert is_exact is expected[1]


numbers = st.one_of(
    st.integers(-5, 2 * LARGEST_COUNT),
    st.none(),
    st.text(max_size=3),
    st.booleans(),
    st.floats(),
    st.lists(st.none()),
)
parts = st.one_of(
    st.none(),
    st.lists(st.none()),
    st.dictionaries(
        st.sampled_from(
            ["cached_tokens", "audio_tokens", "reasoning_tokens", "image_tokens", "cache_write_tokens"]
        ),
        numbers,
    ),
)


# A busy machine is slow.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    prompt=numbers, completion=numbers, total=numbers, inside=parts, outside=parts, size=st.integers(0, 5000),
    top=st.dictionaries(st.sampled_from(["cache_read_input_tokens", "cached_tokens", "thoughtsTokenCount"]), numbers),
)  # fmt: skip
def test_no_usage_however_strange_makes_an_impossible_count(
    prompt, completion, total, inside, outside, size, top
):
    usage = openai(prompt, completion, total) | top
    usage |= {"prompt_tokens_details": inside, "completion_tokens_details": outside}
    counts, is_exact = counted(usage, Delivered(size, 1 if size else 0))
    kinds = list(counts.values())
    assert all(type(number) is int and 0 <= number <= 4 * LARGEST_COUNT for number in kinds)
    assert total_tokens(counts) >= 1 + -(-size // 32)
    assert counts.get("output", 0) <= max(size, 1) + 256
    if is_exact and total is not None:
        assert total_tokens(counts) == int(float(total))
