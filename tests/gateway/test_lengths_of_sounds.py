"""A plain WAV file says how long it plays; what its header claims counts only as far as the samples are there."""

import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.apis.counting import milliseconds
from gateway.proxy.apis.sounds import length_of


def wav(frames, rate=16_000, channels=1, width=2):
    written = io.BytesIO()
    with wave.open(written, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(b"\0" * frames * channels * width)
    return written.getvalue()


@given(
    st.integers(1, 50_000),
    st.sampled_from([8000, 16_000, 44_100]),
    st.integers(1, 2),
    st.sampled_from([1, 2, 3]),
)
def test_a_wav_file_says_how_long_it_plays(frames, rate, channels, width):
    assert length_of(wav(frames, rate, channels, width)) == (-(-frames * 1000 // rate), True)


def test_what_a_header_claims_beyond_its_samples_does_not_count():
    sound = bytearray(wav(16_000))
    sound[40:44] = struct.pack("<I", 16_000 * 2 * 3600)
    assert length_of(bytes(sound)) == (1000, True)
    sound[40:44] = struct.pack("<I", 0xFFFFFFFF)  # streamed: length not known when it was written
    assert length_of(bytes(sound)) == (1000, True)


def test_other_chunks_before_the_samples_are_skipped():
    sound = wav(16_000)
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert length_of(sound[:12] + odd + sound[12:]) == (1000, True)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (20, struct.pack("<H", 85)),  # compressed
        (22, struct.pack("<H", 0)),  # no channels
        (24, struct.pack("<I", 1)),  # one sample in a second
        (28, struct.pack("<I", 2_000_000_000)),  # a rate of bytes that does not follow from the others
        (32, struct.pack("<H", 9)),
        (34, struct.pack("<H", 7)),
        (36, b"none"),
        (40, struct.pack("<I", 0)),
    ],
)
def test_a_header_that_does_not_agree_with_itself_is_not_believed(place, value):
    sound = bytearray(wav(16_000))
    sound[place : place + len(value)] = value
    length, is_exact = length_of(bytes(sound))
    if place == 40:
        assert (length, is_exact) == (1000, True)
    else:
        assert (length, is_exact) == (-(-len(sound) * 1000 // 2000), False)


def test_a_second_format_or_second_samples_are_not_believed():
    sound = wav(16_000)
    rich = wav(1, rate=768_000, channels=16, width=4)
    for doubtful in (
        sound[:36] + rich[12:36] + sound[36:],
        sound[:20] + struct.pack("<H", 85) + sound[22:36] + rich[12:36] + sound[36:],
        wav(1) + sound[36:],
        wav(1) + b"LIST" + struct.pack("<I", 2) + b"ab" + sound[36:],
    ):
        assert length_of(doubtful) == (-(-len(doubtful) * 1000 // 2000), False)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: b"RIFF1234WAVE" + rest))
def test_no_sound_is_too_strange_to_count(sound):
    length, is_exact = length_of(sound)
    assert length >= 1
    assert not (is_exact and length > 60_000)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (1, 1000), (1.1, 1100), (2.3, 2300), (6.4001, 6401), ("7.5", 7500), (0, 0), (0.0001, 1), (-1, None),
        (True, None),
        ("NaN", None), (float("inf"), None), (1e30, None), (None, None), ("1e3", 1_000_000), (10**8, None), ({}, None),
    ],
)  # fmt: skip
def test_seconds_become_whole_milliseconds_exactly(told, expected):
    assert milliseconds(told) == expected
