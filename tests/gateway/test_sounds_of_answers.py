"""What an answer in sound is estimated at where its backend told nothing, or nothing that can be true."""

import json

import pytest

from gateway.proxy.delivered import RAW_SOUND, Delivered
from gateway.proxy.evidence import count_delivered, count_tokens
from gateway.proxy.usage import read_usage
from gateway.proxy.whole_answers import written
from tests.gateway.reported_usage import bounds, details_out, openai

# Characters of base64: pcm16 at 24 kHz.
SECOND = 48_000 * 4 // 3


@pytest.mark.parametrize(
    ("sound", "of", "least", "most"),
    [
        # Ten seconds at 48 kB/s.
        (10 * SECOND, {"characters_of_a_sound_token": RAW_SOUND}, 749, 751),
        # At 16 kB/s, 8 kHz.
        (10 * 16_000 * 4 // 3, {"characters_of_a_sound_token": RAW_SOUND}, 250, 251),
        (10 * 2000 * 4 // 3, {}, 249, 251),  # at 16 kbit/s
    ],
)
def test_a_sound_that_nobody_told_of_is_estimated_on_the_upper_side(sound, of, least, most):
    heard = Delivered(pieces=3, sound=sound)
    for usage in (None, openai(12, 0, 12), openai(12, 0)):
        reported = None if usage is None else read_usage({"usage": usage})
        counts, is_exact = count_tokens(reported, bounds(**of), heard)
        assert least <= counts.get("audio", 0) <= most
        assert (is_exact, counts.get("output", 0)) == (False, 3)
    counts, is_exact = count_delivered(None, bounds(**of), heard)
    assert least <= counts.get("audio", 0) <= most
    assert count_tokens(
        read_usage({"usage": openai(12, 210, 222, **details_out(audio_tokens=200))}), bounds(), heard
    ) == ({"input": 12, "output": 10, "audio": 200}, True)


@pytest.mark.parametrize(
    ("content", "sound", "size"),
    [
        ({"audio": {"id": "a", "data": "QUJD" * 100, "expires_at": 1, "transcript": "hi there"}}, 400, 8),
        ({"audio": {"id": "a{", "transcript": '} "data": "x"', "data": "QUJD"}}, 4, 17),
        ({"audio": {"data": "", "transcript": "hi"}}, 0, 2),
        ({"audio": "QUJD"}, 4, 0),
        ({"content": [{"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64,QUJD"}}]}, 4, 0),
        ({"content": 'the "audio": {"data": "QUJD"} of it'}, 0, 41),
        ({"content": "x", "reasoning_details": [{"type": "reasoning.encrypted", "data": "QUJD"}], "audio": None}, 0, 1),
    ],
)  # fmt: skip
def test_the_sound_of_an_answer_is_found_wherever_engines_put_it(content, sound, size):
    found = written(json.dumps({"choices": [{"message": content}], "usage": {"audio_tokens": 0}}).encode())
    assert (found.sound, found.bytes) == (sound, size)
    assert bool(found.pieces) is bool(sound or size)
