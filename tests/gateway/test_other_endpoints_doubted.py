"""Reports of rerank, transcripts, speech and pictures that the bytes of the call and of its answer cannot have."""

import pytest

from tests.gateway.served import CALLS, DRAWN, IMAGE, JUDGED, PICTURE, RANKED, SOUND, SPEECH

BY_SIZE = {"image_output_1792x1024": 1}
LENGTH = {"audio_input_seconds": 3000}
PIECE = {"type": "speech.audio.delta", "audio": PICTURE}
WORDS = {"type": "transcript.text.delta", "delta": "hel"}
PAGE = b" <!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>"


def tokens(prompt, completion):
    return {
        "usage": {
            "input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion,
        }
    }  # fmt: skip


def drawn(**more):
    return {"type": "image_generation.completed", "b64_json": PICTURE, **more}


@pytest.mark.parametrize("told", [tokens(5, 0), tokens(0, 500), tokens(-1, 0), tokens(5, 9_000_000)])
@pytest.mark.parametrize("is_stream", [False, True])
def test_pictures_are_never_counted_in_tokens_that_they_cannot_have(served, told, is_stream):
    model = served("images/generations")
    if is_stream:
        model.backend.says(events=[drawn(**told)])
    else:
        model.backend.says(DRAWN | told)
    assert model.call(**IMAGE, stream=is_stream).status_code == 200
    assert (model.event().usage, model.event().is_exact) == (BY_SIZE, False)


@pytest.mark.parametrize(
    "told", [tokens(0, 0), {"usage": {"total_tokens": 0}}, {"usage": {}}, {"usage": None}]
)
def test_a_report_of_zeros_only_tells_nothing(served, told):
    model = served("images/generations")
    model.backend.says(DRAWN | told)
    assert model.call(**IMAGE).status_code == 200
    assert (model.event().usage, model.event().is_exact) == (BY_SIZE, True)


@pytest.mark.parametrize(
    ("events", "fields", "usage", "is_exact"),
    [
        ([drawn(size="1536x1024")], {"size": "auto"}, {"image_output_1536x1024": 1}, True),
        ([drawn()], {"size": "auto"}, {"image_output": 1}, False),
        ([drawn()], {"n": 3}, BY_SIZE, True),
        # Each picture tells its own tokens; both may count the prompt.
        ([drawn(**tokens(9, 272)), drawn(**tokens(9, 300))], {"n": 2}, {"input": 18, "image": 572}, False),
        # Or the last event tells those of all, and has no picture itself.
        (
            [
                {"type": "image_generation.partial_succeeded", "url": "https://x.example/1.png"},
                {"type": "image_generation.partial_succeeded", "url": "https://x.example/2.png"},
                {"type": "image_generation.completed"},
            ],
            {"n": 2}, {"image_output_1792x1024": 2}, True,
        ),
        (
            [
                {"type": "image_generation.partial_succeeded", "url": "https://x.example/1.png"},
                {"type": "image_generation.completed", **tokens(9, 272)},
            ],
            {}, {"input": 9, "image": 272}, True,
        ),
    ],
)  # fmt: skip
def test_streamed_pictures_are_counted_as_they_came(served, events, fields, usage, is_exact):
    model = served("images/generations")
    model.backend.says(events=events)
    assert model.call(**IMAGE | fields, stream=True).status_code == 200
    assert (model.event().usage, model.event().is_exact) == (usage, is_exact)


def test_a_stream_that_fails_after_a_whole_picture_costs_that_picture(served):
    model = served("images/generations")
    model.backend.says(events=[drawn(size="512x512"), 0.3, None])
    assert '"error"' in model.call(**IMAGE, n=2, stream=True).text
    event = model.event()
    assert (event.status, event.usage, event.is_exact) == ("error", {"image_output_512x512": 1}, False)


@pytest.mark.parametrize("told", [tokens(5, 0), tokens(0, 40), tokens(5, 9_000_000)])
def test_speech_is_never_counted_in_tokens_that_it_cannot_have(served, told):
    model = served("audio/speech")
    model.backend.says(events=[PIECE, {"type": "speech.audio.done", **told}])
    assert model.call(**SPEECH, stream_format="sse").status_code == 200
    assert (model.event().usage, model.event().is_exact) == ({"character": 14}, False)


@pytest.mark.parametrize("told", [tokens(0, 3), tokens(30, 0)])
def test_a_transcript_is_never_counted_without_its_sound_or_its_words(served, told):
    model = served("audio/transcriptions")
    model.backend.says({"text": "hello"} | told)
    assert model.call(form=SOUND).status_code == 200
    assert (model.event().usage, model.event().is_exact) == (LENGTH, False)


def test_a_silent_sound_has_a_transcript_without_tokens(served):
    model = served("audio/transcriptions")
    model.backend.says({"text": ""} | tokens(30, 0))
    assert model.call(form=SOUND).status_code == 200
    assert (model.event().usage, model.event().is_exact) == ({"input": 30}, True)


@pytest.mark.parametrize(("seconds", "is_exact"), [(0.299, False), (0.3, True)])
def test_the_length_of_a_plain_file_is_no_tenth_of_what_it_is(served, seconds, is_exact):
    model = served("audio/transcriptions")
    model.backend.says({"text": "hello", "usage": {"type": "duration", "seconds": seconds}})
    assert model.call(form=SOUND).status_code == 200
    usage = {"audio_input_seconds": 300} if is_exact else LENGTH
    assert (model.event().usage, model.event().is_exact) == (usage, is_exact)


@pytest.mark.parametrize(
    "told",
    [
        b'{"text":"hello","usage":{"type":"duration","seconds":9},"usage":{"type":"duration","seconds":3}}',
        b'{"text":"hello","usage":{"type":"duration","seconds":9,"seconds":3,"seconds":9}}',
    ],
)
def test_seconds_that_are_told_twice_and_not_alike_are_inexact(served, told):
    model = served("audio/transcriptions")
    model.backend.says(told)
    assert model.call(form=SOUND).status_code == 200
    assert (model.event().usage, model.event().is_exact) == ({"audio_input_seconds": 9000}, False)


@pytest.mark.parametrize(
    ("path", "events"),
    [("audio/speech", [{"type": "speech.audio.done", **tokens(5, 40)}]),
     ("images/generations", [{"type": "image_generation.completed", **tokens(5, 272)}])],
)  # fmt: skip
def test_a_stream_without_a_sound_or_a_picture_is_no_answer(served, path, events):
    model = served(path)
    model.backend.says(events=events)
    wish = {"stream_format": "sse"} if path == "audio/speech" else {"stream": True}
    assert model.call(**CALLS[path][0], **wish).status_code == 502
    assert (model.event().status, model.event().usage) == ("error", {})


@pytest.mark.parametrize("content_type", ["text/html", "Text/HTML; charset=utf-8"])
def test_a_web_page_is_no_sound(served, content_type):
    model = served("audio/speech")
    model.backend.says(PAGE, headers={"content-type": content_type})
    assert model.call(**SPEECH).status_code == 502
    assert (model.event().status, model.event().usage) == ("error", {})


@pytest.mark.parametrize("page", [PAGE, b"<html\n lang=en>no</html>"])
def test_a_web_page_is_no_transcript(served, page):
    model = served("audio/transcriptions")
    model.backend.says(page, headers={"content-type": "text/plain"})
    assert model.call(form=SOUND, response_format="text").status_code == 502
    assert (model.event().status, model.event().usage) == ("error", {})


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("rerank", RANKED), ("moderations", JUDGED), ("images/generations", DRAWN),
        ("audio/transcriptions", {"text": "hello"}),
    ],
)  # fmt: skip
def test_the_tier_that_an_answer_names_is_kept(served, path, answer):
    model = served(path)
    model.backend.says(answer | {"service_tier": "flex"})
    came = model.call(form=SOUND) if path == "audio/transcriptions" else model.call(**CALLS[path][0])
    assert came.status_code == 200
    assert model.event().service_tier == "flex"


def test_so_is_that_of_a_stream(served):
    model = served("audio/transcriptions")
    last = {"type": "transcript.text.done", "text": "hello", "service_tier": "flex"}
    model.backend.says(events=[WORDS, last])
    assert model.call(form=SOUND, stream="true").status_code == 200
    assert (model.event().service_tier, model.event().usage) == ("flex", LENGTH)
