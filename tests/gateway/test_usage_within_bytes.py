"""Numbers that a backend reports are compared with the bytes of prompt and answer; none beyond them is exact."""

import pytest

from gateway.proxy.delivered import Delivered
from tests.gateway.reported_usage import ANSWER, bounds, counted, details_out, openai


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
