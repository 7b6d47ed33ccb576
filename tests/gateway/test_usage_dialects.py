"""What backends report in their many dialects becomes disjoint tokens whose sum is the total."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contract import total_tokens
from gateway.proxy.delivered import Delivered
from gateway.proxy.evidence import count_delivered, count_tokens
from gateway.proxy.usage import LARGEST_COUNT, read_usage
from gateway.proxy.usage_bounds import bounds_of

ANSWER = Delivered(bytes=15, pieces=1)


def bounds(estimate=12, **changes):
    fields = {
        "named_output": 0, "longest_output": None, "choices": 1, "is_embedding": False, "may_bring_more": False,
    }  # fmt: skip
    return bounds_of(estimate, estimate * 4 // 3, **{**fields, **changes})


def counted(usage, delivered=ANSWER, of=None, **options):
    reported = read_usage(usage if "usage" in usage else {"usage": usage})
    return count_tokens(reported, of or bounds(), delivered, **options)


def details(**numbers):
    return {"prompt_tokens_details": numbers}


def details_out(**numbers):
    return {"completion_tokens_details": numbers}


def openai(prompt, completion, total=None, **more):
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return usage | ({} if total is None else {"total_tokens": total}) | more


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


@pytest.mark.parametrize(
    ("estimate", "prompt", "is_believed"),
    [
        (250_000, 5, False),
        (250_000, 200_000, True),
        (12, 100_000, False),
        (12, 5000, True),
        (12, 8240, True),
        (12, 10**9, False),
    ],
)
def test_a_prompt_has_as_many_tokens_as_its_bytes_allow(estimate, prompt, is_believed):
    counts, is_exact = counted(openai(prompt, 5, prompt + 5), of=bounds(estimate))
    assert is_exact is is_believed
    assert counts.get("input", 0) == (prompt if is_believed else estimate * 4 // 3)


def test_a_prompt_far_beyond_its_bytes_is_kept_and_inexact():
    """A backend may put its own system prompt in front of it, but nobody can tell."""
    assert counted(openai(60_000, 5, 60_005)) == ({"input": 60_000, "output": 5}, False)


def test_a_backend_that_reads_files_or_the_web_may_have_a_longer_prompt():
    of = bounds(may_bring_more=True)
    assert counted(openai(400_000, 5, 400_005), of=of) == ({"input": 400_000, "output": 5}, True)


@pytest.mark.parametrize(
    ("delivered", "completion", "named", "is_believed"),
    [
        (500, 0, 0, False),
        (500, 2, 0, False),
        (500, 120, 0, True),
        (15, 9000, 8, False),
        (15, 8, 8, True),
        (15, 2_000_000, 0, False),
        # A backend that does not obey the maximum, and delivers what it counts.
        (40_000, 9000, 8, True),
    ],
)
def test_an_answer_has_as_many_tokens_as_its_bytes_and_the_maximum_allow(
    delivered, completion, named, is_believed
):
    text = Delivered(bytes=delivered, pieces=1)
    counts, is_exact = counted(openai(12, completion), text, bounds(named_output=named))
    assert is_exact is is_believed
    assert counts.get("output", 0) == (completion if is_believed else max(-(-delivered // 3), 1))


@pytest.mark.parametrize(
    ("usage", "named", "expected", "is_believed"),
    [
        # Gemini behind OpenAI's names: its thoughts are in the total only.
        (openai(20, 4, 90), 0, {"input": 20, "output": 4, "reasoning": 66}, False),
        (openai(20, 4, 90), 16, {"input": 20, "output": 4, "reasoning": 12}, False),
        (openai(10, 1, 262_144), 16, {"input": 10, "output": 1, "reasoning": 15}, False),
        (openai(10, 30, 262_144), 16, {"input": 10, "output": 30}, False),
        ({"prompt_tokens": 10, "total_tokens": 9010}, 0, {"input": 10, "output": 1, "reasoning": 8999}, False),
        ({"prompt_tokens": 10, "total_tokens": 9010}, 16, {"input": 10, "output": 1, "reasoning": 15}, False),
        # What has neither bytes nor a name was not used.
        (openai(10, 262_144), 0, {"input": 10, "output": 1}, False),
        (openai(10, 262_144, 262_154), 0, {"input": 10, "output": 1}, False),
        ({"total_tokens": 262_144}, 0, {"input": 16, "output": 1}, False),
        (openai(10, 259, 269), 0, {"input": 10, "output": 1}, False),
        # A few tokens are marks around the text; more than those are billed and doubted.
        (openai(10, 258, 268), 0, {"input": 10, "output": 258}, False),
        (openai(10, 19, 29), 0, {"input": 10, "output": 19}, False),
        (openai(10, 18, 28), 0, {"input": 10, "output": 18}, True),
        ({"prompt_tokens": 10, "total_tokens": 110}, 0, {"input": 10, "output": 100}, False),
        (openai(10, 100, 110, **details_out(audio_tokens=98)), 0, {"input": 10, "output": 2, "audio": 98}, False),
        (openai(10, 1000, 1010, **details_out(image_tokens=1000)), 0, {"input": 10, "image": 1000}, False),
        (openai(10, 262_144), 16, {"input": 10, "output": 1}, False),
        (openai(10, 8000), 9000, {"input": 10, "output": 1}, False),
        (openai(10, 8000, 8010, **details_out(audio_tokens=8000)), 0, {"input": 10, "output": 1}, False),
        (openai(10, 90_000, 90_010, **details_out(image_tokens=90_000)), 0, {"input": 10, "output": 1}, False),
        (openai(10, 262_144, 262_154, **details_out(reasoning_tokens=100)), 0,
         {"input": 10, "reasoning": 100}, False),
        (openai(10, 9000, 9010, **details_out(reasoning_tokens=8990)), 0,
         {"input": 10, "output": 10, "reasoning": 8990}, True),
    ],
)  # fmt: skip
def test_no_number_without_bytes_or_a_name_for_it_is_exact(usage, named, expected, is_believed):
    of = bounds(named_output=named)
    assert counted(usage, Delivered(bytes=2, pieces=1), of) == (expected, is_believed)


def test_an_image_in_an_answer_has_tokens_without_bytes():
    told = openai(10, 1290, 1300)
    assert counted(told, Delivered(pieces=1, images=1)) == ({"input": 10, "output": 1290}, True)


@pytest.mark.parametrize(
    ("reasoning", "maxima", "expected", "is_believed"),
    [
        (200_000, {}, 200_000, True),
        (262_143, {}, 262_143, True),
        (300_000, {}, None, False),
        (600_000, {"longest_output": 600_000}, 600_000, True),
        (200_000, {"longest_output": 64_000}, 64_000, False),
        (500_000, {"choices": 2}, 500_000, True),
        (200_000, {"named_output": 16_000}, 16_000, False),
        (15_000, {"named_output": 16_000}, 15_000, True),
        (600_000, {"named_output": 600_000, "longest_output": 700_000}, 600_000, True),
    ],
)
def test_hidden_reasoning_is_not_more_than_a_maximum(reasoning, maxima, expected, is_believed):
    usage = openai(12, reasoning + 6, reasoning + 18, **details_out(reasoning_tokens=reasoning))
    counts, is_exact = counted(usage, of=bounds(**maxima))
    assert is_exact is is_believed
    if expected is None:
        # More than any answer: not told.
        assert (counts.get("output", 0), counts.get("reasoning", 0)) == (5, 0)
    else:
        # An answer has room for some tokens that nobody sees, of which reasoning may be.
        assert (
            expected <= counts.get("reasoning", 0) <= expected + 256 * maxima.get("choices", 1) + ANSWER.bytes
        )
        assert counts.get("output", 0) == 6


def test_reasoning_that_was_delivered_is_not_bounded_by_the_maximum_for_the_answer():
    """DeepSeek's first reasoner counted its maximum without the thoughts, which it delivers."""
    usage = openai(12, 508, 520, **details_out(reasoning_tokens=500))
    thought = Delivered(bytes=2000, pieces=2)
    expected = {"input": 12, "output": 8, "reasoning": 500}
    assert counted(usage, thought, bounds(named_output=8)) == (expected, True)


@pytest.mark.parametrize(
    ("completion", "named", "output"),
    [(5000, 0, 5000), (5000, 8000, 5000), (5000, 16, 5), (262_144, 0, 262_144), (400_000, 0, 5)],
)
def test_a_call_that_asks_for_reasoning_may_get_it_without_a_name(completion, named, output):
    """Anthropic's endpoint with OpenAI's names counts the thoughts in, and neither shows nor names them."""
    counts, is_exact = counted(openai(12, completion), of=bounds(named_output=named, may_think=True))
    assert (counts.get("output", 0), is_exact) == (output, False)


ROOMY = {
    "calls of tools that a model writes as XML": Delivered(bytes=36, pieces=4, tools=18),
    "choices": Delivered(bytes=30, pieces=1, chunks=880),
    "JSON of a tool that is not in texts": Delivered(bytes=16, pieces=1, other=4000),
    "tokens without a text in a stream": Delivered(bytes=16, pieces=1, chunks=900),
}


@pytest.mark.parametrize("name", ROOMY)
def test_what_came_in_other_forms_than_text_has_room_for_tokens(name):
    assert counted(openai(12, 900, 912), ROOMY[name]) == ({"input": 12, "output": 900}, True)


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
