"""Backends that fail, break off or answer in part, at the endpoints that are no chats; and clients that leave."""

import pytest
import requests

from tests.gateway.scripted_backend import OWN_NAME
from tests.gateway.served import CALLS, FLAGGED, IMAGE, MP3, PICTURE, SOUND, SPEECH


@pytest.mark.parametrize("path", list(CALLS))
def test_another_backend_answers_if_the_first_fails(served, path):
    model = served(path)
    other = model.second()
    # What makes pictures or speech is sent again only after a refusal (gateway/proxy/retries.py).
    model.backend.says({"error": {"message": "overloaded"}}, status=429)
    call, answer = CALLS[path]
    if answer:
        other.says(answer)
    else:
        other.says(events=[b"sound"], headers=MP3)
    assert model.call(**call).status_code == 200
    assert (len(model.backend.asked), len(other.asked)) == (1, 1)
    assert model.event().target_id == other.id


def test_a_form_is_sent_to_the_next_backend_too(served):
    model = served("audio/transcriptions")
    other = model.second()
    model.backend.says({"error": {"message": "overloaded"}}, status=503)
    other.says({"text": "hello"})
    assert model.call(form=SOUND).json()["text"] == "hello"
    assert model.backend.asked[0][1] == other.asked[0][1]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("rerank", {"results": []}), ("rerank", {"error": {"message": "no"}}), ("rerank", b"<html>"), ("rerank", [1]),
        ("moderations", {"results": [FLAGGED]}), ("images/generations", {"data": []}),
        ("images/generations", {"data": [{"revised_prompt": "x"}]}), ("audio/speech", {"text": "no sound"}),
        ("audio/speech", {"error": {"message": "no"}}),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_whole_is_an_error_and_costs_nothing(served, path, answer):
    model = served(path)
    model.backend.says(answer)
    came = model.call(**CALLS[path][0])
    assert came.status_code == 502, came.text
    assert (model.event().status, model.event().usage) == ("error", {})


@pytest.mark.parametrize("path", list(CALLS))
def test_what_a_backend_says_of_the_clients_fault_reaches_the_client(served, path):
    model = served(path)
    model.backend.says(
        {"error": {"message": "Your input is too long.", "type": "invalid_request_error"}}, status=400
    )
    came = model.call(**CALLS[path][0])
    assert (came.status_code, came.json()["error"]["message"]) == (400, "Your input is too long.")


def test_a_sound_that_breaks_off_is_not_a_whole_answer(served):
    model = served("audio/speech")
    model.backend.says(events=[b"x" * 1000, 0.3, None], headers=MP3)
    with pytest.raises(requests.exceptions.RequestException):
        model.call(**SPEECH)
    event = model.event()
    assert (event.status, event.usage, event.is_exact) == ("error", {"character": 14}, False)


def test_a_transcript_that_breaks_off_ends_with_an_error(served):
    model = served("audio/transcriptions")
    model.backend.says(events=[{"type": "transcript.text.delta", "delta": "hel"}, 0.3, None])
    came = model.call(form=SOUND, stream="true")
    assert '"error"' in came.text
    assert (model.event().status, model.event().usage) == ("error", {"audio_input_seconds": 3000})


def test_pictures_that_fail_after_a_part_cost_nothing(served):
    model = served("images/generations")
    part = {"type": "image_generation.partial_image", "b64_json": PICTURE, "partial_image_index": 0}
    failed = {"type": "error", "error": {"message": "no", "code": "server_error"}}
    model.backend.says(events=[part, 0.3, failed])
    assert '"error"' in model.call(**IMAGE, stream=True).text
    assert (model.event().status, model.event().usage) == ("error", {})


def test_whisper_ignores_the_wish_for_a_stream(served):
    model = served("audio/transcriptions")
    model.backend.says({"text": "hello"})
    assert model.call(form=SOUND, stream="true").json() == {"text": "hello"}
    assert model.event().status == "ok"


def test_a_transcript_in_mistrals_events_is_whole_after_the_last_of_them(served):
    model = served("audio/transcriptions")
    usage = {"prompt_audio_seconds": 3, "prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12}
    done = {
        "type": "transcription.done",
        "model": OWN_NAME,
        "text": "hello",
        "language": "en",
        "usage": usage,
    }
    model.backend.says(events=[{"type": "transcription.text.delta", "text": "hello"}, done])
    text = model.call(form=SOUND, stream="true").text
    assert OWN_NAME not in text
    assert (model.event().status, model.event().usage) == ("ok", {"audio_input_seconds": 3000})


def test_a_transcript_as_a_chats_chunks_is_passed_on_under_the_public_name(served):
    model = served("audio/transcriptions")
    chunks = [
        {
            "id": "t",
            "model": OWN_NAME,
            "choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": None}],
        },
        {"id": "t", "model": OWN_NAME, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {
            "id": "t",
            "model": OWN_NAME,
            "choices": [],
            "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
        },
    ]
    model.backend.says(events=[*chunks, b"data: [DONE]\n\n"])
    text = model.call(form=SOUND, stream="true").text
    assert OWN_NAME not in text
    assert text.count(model.model) == 3
    assert text.endswith("data: [DONE]\n\n")
    assert model.event().usage == {"input": 9, "output": 2}


def test_a_client_that_hangs_up_pays_for_what_its_backend_does(served):
    model = served("audio/speech")
    model.backend.says(events=[b"x" * 1000, *([0.1, b"x" * 1000] * 100)], headers=MP3)
    headers = {"authorization": f"Bearer {model.key}"}
    url = f"{model.rig.gateway.url}/v1/audio/speech"
    with requests.post(
        url, json={"model": model.model, **SPEECH}, headers=headers, stream=True, timeout=60
    ) as came:
        next(came.iter_content(100))
    event = model.event()
    assert (event.status, event.usage) == ("cancelled", {"character": 14})


def test_a_client_that_leaves_while_a_backend_listens_pays_for_its_sound(served):
    model = served("audio/transcriptions")
    model.backend.says(events=[5.0, b"{}"], headers={"content-type": "application/json"})
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(
            f"{model.rig.gateway.url}/v1/audio/transcriptions",
            data={"model": model.model},
            files={"file": ("a.wav", SOUND)},
            headers={"authorization": f"Bearer {model.key}"},
            timeout=1,
        )
    event = model.event()
    assert (event.status, event.usage, event.is_exact) == ("cancelled", {"audio_input_seconds": 3000}, True)
