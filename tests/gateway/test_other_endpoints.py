"""Rerank, moderations, transcripts, speech and pictures pass unchanged, and are counted in their own kinds."""

import json

import pytest

from tests.gateway.scripted_backend import OWN_NAME
from tests.gateway.served import (
    CALLS,
    DRAWN,
    IMAGE,
    JUDGED,
    MODERATION,
    MP3,
    PICTURE,
    RANKED,
    RERANK,
    SOUND,
    SPEECH,
)


@pytest.mark.parametrize("path", ["rerank", "moderations", "images/generations"])
def test_a_call_passes_with_only_the_name_of_the_model_changed(served, path):
    model = served(path)
    call, answer = CALLS[path]
    model.backend.says(answer | {"engine_host": "10.0.0.7"})
    came = model.call(**call, unknown_harmless=1)
    assert came.status_code == 200, came.text
    assert model.backend.asked[0][1] == {"model": OWN_NAME, **call, "unknown_harmless": 1}
    assert model.backend.paths == [f"/v1/{path}"]
    public = {"model": model.model} if "model" in answer else {}
    assert came.json() == answer | public
    event = model.event()
    assert (event.status, event.model, event.is_stream) == ("ok", model.model, False)


def test_a_form_passes_with_only_the_name_of_the_model_changed(served):
    model = served("audio/transcriptions")
    model.backend.says({"text": "hello", "usage": {"type": "duration", "seconds": 3}})
    came = model.call(form=SOUND, language="de", **{"timestamp_granularities[]": "word"})
    assert (came.status_code, came.json()["text"]) == (200, "hello")
    headers, raw = model.backend.asked[0]
    sent = came.request
    assert headers["content-type"] == sent.headers["content-type"]
    assert raw == sent.body.replace(model.model.encode(), OWN_NAME.encode())


FIELDS = {
    "rerank": {"return_documents": True, "max_chunks_per_doc": 3, "rank_fields": ["text"], "max_tokens_per_doc": 9},
    "moderations": {"user": "someone"},
    "audio/speech": {"instructions": "Speak slowly.", "response_format": "opus", "speed": 1.2},
    "images/generations": {
        "background": "transparent", "moderation": "low", "n": 1, "output_compression": 50, "output_format": "png",
        "partial_images": 0, "quality": "high", "response_format": "b64_json", "style": "vivid", "user": "someone",
        "safety_identifier": "someone",
    },
}  # fmt: skip


@pytest.mark.parametrize("path", list(FIELDS))
def test_every_field_of_the_api_passes_and_names_of_users_are_replaced(served, path):
    model = served(path)
    call, answer = CALLS[path]
    if answer:
        model.backend.says(answer)
    else:
        model.backend.says(events=[b"sound"], headers=MP3)
    came = model.call(**call, **FIELDS[path])
    assert came.status_code == 200, came.text
    got = model.backend.asked[0][1]
    users = {name for name, value in FIELDS[path].items() if value == "someone"}
    assert {name: got[name] for name in FIELDS[path].keys() - users} == {
        name: value for name, value in FIELDS[path].items() if name not in users
    }
    assert all(got[name] != "someone" for name in users)


def test_every_field_of_a_form_passes(served):
    model = served("audio/transcriptions")
    model.backend.says({"text": "hello"})
    fields = {
        "language": "de", "prompt": "Names: Köln", "response_format": "json", "temperature": "0",
        "chunking_strategy": "auto",
        "include[]": "logprobs", "timestamp_granularities[]": ["word", "segment"], "known_speaker_names[]": "a",
        "known_speaker_references[]": "data:audio/wav;base64,AAAA", "stream": "false",
    }  # fmt: skip
    came = model.call(form=SOUND, **fields)
    assert came.status_code == 200, came.text
    assert model.backend.asked[0][1].count(b"timestamp_granularities[]") == 2


# in which kinds a call is counted


@pytest.mark.parametrize(
    ("told", "usage", "is_exact"),
    [
        ({"meta": {"billed_units": {"search_units": 1}}}, {"search": 1}, True),
        ({"meta": {"billed_units": {"search_units": 2.0}}}, {"search": 2}, True),
        ({"usage": {"total_tokens": 17}}, {"input": 17}, True),
        ({"meta": {"billed_units": {"total_tokens": 17}, "tokens": {"input_tokens": 17}}}, {"input": 17}, True),
        ({"usage": {"prompt_tokens": 17, "total_tokens": 17}}, {"input": 17}, True),
        ({}, {"search": 1}, False),
        ({"meta": {"billed_units": {"search_units": 3}}}, {"search": 1}, False),  # more than documents
        ({"usage": {"total_tokens": 9_999_999}}, {"search": 1}, False),
        ({"usage": {"total_tokens": -4}}, {"search": 1}, False),
    ],
)  # fmt: skip
def test_reranking_is_counted_in_searches_or_tokens(served, told, usage, is_exact):
    model = served("rerank")
    model.backend.says(RANKED | told)
    assert model.call(**RERANK).status_code == 200
    assert (model.event().usage, model.event().is_exact) == (usage, is_exact)


@pytest.mark.parametrize(
    ("told", "usage", "is_exact"),
    [
        ({"usage": {"prompt_tokens": 6, "total_tokens": 6}}, {"input": 6}, True),
        ({}, {"input": 10}, False),
    ],
)
def test_moderation_is_counted_in_tokens(served, told, usage, is_exact):
    model = served("moderations")
    model.backend.says(JUDGED | told)
    assert model.call(**MODERATION).status_code == 200
    assert (model.event().usage, model.event().is_exact) == (usage, is_exact)


def test_a_text_that_looks_like_a_pictures_data_is_counted_beside_pictures(served):
    model = served("moderations")
    model.backend.says(JUDGED)
    data = "data:image/png;base64," + "A" * 10_000
    picture = {"type": "image_url", "image_url": {"url": data}}
    for text, least, most in (("be nice", 1000, 2100), (data, 3200, 8000)):
        key = model.rig.new_key(models=[model.model])
        assert model.call(key, input=[picture, {"type": "text", "text": text}]).status_code == 200
        assert least <= model.event(key).usage["input"] <= most


@pytest.mark.parametrize("words", ["{door closes} hello", "{", "{" * 5000])
def test_a_transcript_as_text_may_begin_with_a_bracket(served, words):
    model = served("audio/transcriptions")
    model.backend.says(words.encode(), headers={"content-type": "text/plain"})
    answer = model.call(form=SOUND, response_format="text")
    assert (answer.status_code, answer.text) == (200, words)


TOKENS = {
    "type": "tokens", "input_tokens": 34, "input_token_details": {"text_tokens": 4, "audio_tokens": 30},
    "output_tokens": 5, "total_tokens": 39,
}  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "fields", "usage", "is_exact"),
    [
        ({"usage": {"type": "duration", "seconds": 2.3}}, {}, {"audio_input_seconds": 2300}, True),
        ({"usage": TOKENS}, {}, {"input": 4, "audio": 30, "output": 5}, True),
        (
            {"usage": {"prompt_audio_seconds": 3, "prompt_tokens": 150, "completion_tokens": 42, "total_tokens": 192}},
            {}, {"audio_input_seconds": 3000}, True,
        ),
        ({"duration": 2.97}, {"response_format": "verbose_json"}, {"audio_input_seconds": 2970}, True),
        ({}, {}, {"audio_input_seconds": 3000}, True),
        ({"usage": {"type": "duration", "seconds": 10**6}}, {}, {"audio_input_seconds": 3000}, False),
        ({"usage": {"type": "duration", "seconds": "many"}}, {}, {"audio_input_seconds": 3000}, False),
        ({"usage": TOKENS | {"output_tokens": 2_000_000}}, {}, {"audio_input_seconds": 3000}, False),
    ],
)  # fmt: skip
def test_a_transcript_is_counted_in_seconds_or_tokens(served, answer, fields, usage, is_exact):
    model = served("audio/transcriptions")
    model.backend.says({"text": "hello there"} | answer)
    assert model.call(form=SOUND, **fields).status_code == 200
    assert (model.event().usage, model.event().is_exact) == (usage, is_exact)


def test_the_length_of_a_compressed_file_is_estimated(served):
    model = served("audio/transcriptions")
    model.backend.says(b"1\n00:00 --> 00:01\nhello\n", headers={"content-type": "text/plain"})
    came = model.call(form=b"ID3" + b"\x55" * 7997, response_format="srt")
    assert (came.headers["content-type"], came.text) == (
        "text/plain; charset=utf-8",
        "1\n00:00 --> 00:01\nhello\n",
    )
    assert (model.event().usage, model.event().is_exact) == ({"audio_input_seconds": 4000}, False)


def test_speech_is_passed_on_as_it_comes_and_counted_in_characters(served):
    model = served("audio/speech")
    model.backend.says(
        events=[b"\xff\xf3" + bytes(range(256)), 0.05, b"data: no event\n\n"],
        headers=MP3,
    )
    came = model.call(**SPEECH)
    assert (came.headers["content-type"], came.content) == (
        "audio/mpeg",
        b"\xff\xf3" + bytes(range(256)) + b"data: no event\n\n",
    )
    event = model.event()
    assert (event.usage, event.is_exact, event.is_stream) == ({"character": 14}, True, False)


def test_speech_as_events_is_counted_in_the_tokens_that_they_report(served):
    model = served("audio/speech")
    piece = {"type": "speech.audio.delta", "audio": PICTURE}
    done = {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 5, "output_tokens": 40, "total_tokens": 45},
    }
    model.backend.says(events=[piece, piece, done])
    came = model.call(**SPEECH, stream_format="sse")
    events = [json.loads(line[5:]) for line in came.text.splitlines() if line.startswith("data:")]
    assert events == [piece, piece, done]
    event = model.event()
    assert (event.usage, event.is_exact, event.is_stream) == ({"input": 5, "audio": 40}, True, True)


@pytest.mark.parametrize(
    ("answer", "fields", "usage", "is_exact"),
    [
        ({}, {}, {"image_output_1792x1024": 1}, True),
        ({"data": DRAWN["data"] * 3}, {"n": 3, "quality": "hd"}, {"image_output_1792x1024_hd": 3}, True),
        ({"size": "1536x1024"}, {"size": "auto"}, {"image_output_1536x1024": 1}, True),
        ({}, {"size": None}, {"image_output_1024x1024": 1}, False),
        ({}, {"size": "2048x2048"}, {"image_output": 1}, True),
        (
            {"usage": {"input_tokens": 9, "output_tokens": 272, "total_tokens": 281,
                       "input_tokens_details": {"text_tokens": 9, "image_tokens": 0}}},
            {}, {"input": 9, "image": 272}, True,
        ),
        (
            {"usage": {"input_tokens": 9, "output_tokens": 280, "total_tokens": 289,
                       "output_tokens_details": {"text_tokens": 8, "image_tokens": 272}}},
            {}, {"input": 9, "image": 272, "output": 8}, True,
        ),
        (
            {"usage": {"input_tokens": 9, "output_tokens": 272, "total_tokens": 4}},
            {}, {"input": 9, "image": 272}, False,
        ),
    ],
)  # fmt: skip
def test_pictures_are_counted_by_size_or_in_tokens(served, answer, fields, usage, is_exact):
    model = served("images/generations")
    model.backend.says(DRAWN | answer)
    assert model.call(**IMAGE | fields).status_code == 200
    assert (model.event().usage, model.event().is_exact) == (usage, is_exact)
