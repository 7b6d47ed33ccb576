"""The official `openai` client at the endpoints that are no chats: whole and streamed, and errors as its exceptions."""

import base64

import openai
import pytest

from billing.kinds import DECLARED
from gateway.proxy.apis.images import HD_SIZES, SIZES, kind_of
from tests.gateway.scripted_backend import OWN_NAME
from tests.gateway.served import BEST, CALLS, DRAWN, JUDGED, MP3, PICTURE, RANKED, RERANK, SOUND, SPEECH

USAGE = {"input_tokens": 5, "output_tokens": 40, "total_tokens": 45}
DELTAS = [{"type": "transcript.text.delta", "delta": word} for word in ("Hel", "lo ", "you")]
DONE = {
    "type": "transcript.text.done",
    "text": "Hello you",
    "usage": {"type": "tokens", **USAGE, "input_token_details": {"audio_tokens": 5, "text_tokens": 0}},
}


def client_of(model):
    return model.rig.client(model.key)


def test_moderations(served):
    model = served("moderations")
    model.backend.says(JUDGED)
    came = client_of(model).moderations.create(model=model.model, input=["be nice", "be harmful"])
    assert (came.model, [one.flagged for one in came.results]) == (model.model, [False, False])


def test_a_transcript(served):
    model = served("audio/transcriptions")
    model.backend.says({"text": "Hello you", "usage": {"type": "duration", "seconds": 3}})
    came = client_of(model).audio.transcriptions.create(model=model.model, file=("a.wav", SOUND))
    assert (came.text, came.usage.seconds) == ("Hello you", 3)


@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
def test_a_transcript_that_is_a_text(served, form):
    model = served("audio/transcriptions")
    model.backend.says("Grüße\n".encode(), headers={"content-type": "text/plain; charset=utf-8"})
    client = client_of(model)
    came = client.audio.transcriptions.create(
        model=model.model, file=("a.wav", SOUND), response_format=form, timestamp_granularities=["word"]
    )
    assert came == "Grüße\n"
    assert (model.event().usage, model.event().is_exact) == ({"audio_input_seconds": 3000}, True)


def test_a_transcript_with_every_segment(served):
    model = served("audio/transcriptions")
    segment = {
        "id": 0, "start": 0.0, "end": 3.0, "text": "at http://127.0.0.1:9/ see", "seek": 0, "tokens": [1],
        "temperature": 0, "avg_logprob": 0, "compression_ratio": 1, "no_speech_prob": 0,
    }  # fmt: skip
    whole = {
        "task": "transcribe",
        "language": "en",
        "duration": 3.0,
        "text": segment["text"],
        "segments": [segment],
    }
    model.backend.says(whole)
    came = client_of(model).audio.transcriptions.create(
        model=model.model, file=("a.wav", SOUND), response_format="verbose_json"
    )
    # What a model hears is never changed, even if it names a place.
    assert came.segments[0].text == came.text == segment["text"]


def test_a_streamed_transcript(served):
    model = served("audio/transcriptions")
    model.backend.says(events=[*DELTAS, DONE])
    with client_of(model).audio.transcriptions.create(
        model=model.model, file=("a.wav", SOUND), stream=True
    ) as stream:
        events = list(stream)
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == "Hello you"
    event = model.event()
    assert (event.usage, event.is_exact, event.is_stream) == ({"audio": 5, "output": 40}, True, True)
    assert event.first_token_ms is not None


def test_speech(served):
    model = served("audio/speech")
    model.backend.says(events=[b"\xff\xf3sound", 0.05, b"and more"], headers=MP3)
    client = client_of(model)
    assert client.audio.speech.create(model=model.model, **SPEECH).content == b"\xff\xf3soundand more"
    with client.audio.speech.with_streaming_response.create(model=model.model, **SPEECH) as came:
        assert b"".join(came.iter_bytes()) == b"\xff\xf3soundand more"


def test_pictures(served):
    model = served("images/generations")
    model.backend.says(DRAWN)
    came = client_of(model).images.generate(model=model.model, prompt="a cat", n=1, size="1024x1024")
    assert base64.b64decode(came.data[0].b64_json) == base64.b64decode(PICTURE)


def test_the_address_of_a_picture_reaches_the_client(served):
    model = served("images/generations")
    picture = {"url": "https://pictures.example/a.png?sig=1", "revised_prompt": "a cat by http://127.0.0.1/"}
    model.backend.says({"created": 1, "data": [picture]})
    came = client_of(model).images.generate(model=model.model, prompt="a cat")
    assert came.data[0].model_dump(exclude_none=True) == picture


def test_streamed_pictures(served):
    model = served("images/generations")
    common = {
        "created_at": 1,
        "size": "1024x1024",
        "quality": "low",
        "background": "auto",
        "output_format": "png",
    }
    part = {"type": "image_generation.partial_image", "b64_json": PICTURE, "partial_image_index": 0, **common}
    usage = {**USAGE, "input_tokens_details": {"text_tokens": 5, "image_tokens": 0}}
    done = {"type": "image_generation.completed", "b64_json": PICTURE, "usage": usage, **common}
    model.backend.says(events=[part, part | {"partial_image_index": 1}, done])
    with client_of(model).images.generate(
        model=model.model, prompt="a cat", stream=True, partial_images=2
    ) as stream:
        events = list(stream)
    assert [event.type.rsplit(".", 1)[1] for event in events] == [
        "partial_image",
        "partial_image",
        "completed",
    ]
    assert events[-1].usage.output_tokens == 40
    event = model.event()
    assert (event.usage, event.is_exact, event.is_stream) == ({"input": 5, "image": 40}, True, True)


def test_reranking_through_the_client_for_any_path(served):
    """OpenAI has no such endpoint; its client can still call it."""
    model = served("rerank")
    model.backend.says(RANKED)
    came = client_of(model).post("/rerank", body={"model": model.model, **RERANK}, cast_to=object)
    assert came == {"id": "r", "model": model.model, "results": [BEST]}


def call_with_client(model):
    client, name = client_of(model), model.model
    match model.path:
        case "moderations":
            return client.moderations.create(model=name, input=["a", "b"])
        case "audio/transcriptions":
            return client.audio.transcriptions.create(model=name, file=("a.wav", SOUND))
        case "audio/speech":
            return client.audio.speech.create(model=name, **SPEECH).content
        case "images/generations":
            return client.images.generate(model=name, prompt="a cat")
    return client.post("/rerank", body={"model": name, **RERANK}, cast_to=object)


@pytest.mark.parametrize("path", [*CALLS, "audio/transcriptions"])
@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, openai.BadRequestError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (401, openai.InternalServerError),  # our account's fault, not the caller's
    ],
)
def test_errors_are_the_clients_exceptions(served, path, status, raised):
    model = served(path)
    model.backend.says({"error": {"message": "no, sorry", "type": "x"}}, status=status)
    with pytest.raises(raised) as caught:
        call_with_client(model)
    assert caught.value.status_code == (502 if status in (401, 500) else status)
    assert OWN_NAME not in str(caught.value)


def test_a_streamed_error_is_the_clients_exception(served):
    model = served("audio/transcriptions")
    model.backend.says(events=[DELTAS[0], 0.3, {"type": "error", "error": {"message": "no", "code": "x"}}])
    stream = client_of(model).audio.transcriptions.create(
        model=model.model, file=("a.wav", SOUND), stream=True
    )
    with pytest.raises(openai.APIError):
        list(stream)


def test_the_kinds_of_pictures_are_kinds_of_the_ledger():
    known = {str(one.kind) for one in DECLARED}
    assert {kind_of(size) for size in (*SIZES, "auto", "9x9", "99999x1")} <= known
    assert {kind_of(size, "hd") for size in HD_SIZES} <= known
    assert kind_of("1024x1536") == kind_of("1536x1024") == "image_output_1536x1024"
