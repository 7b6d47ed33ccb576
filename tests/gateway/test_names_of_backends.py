"""What a backend calls itself, its model, its host and its files never reaches a client."""

import json

import pytest
import requests

from tests.gateway.scripted_backend import OWN_NAME, USAGE, ScriptedBackend, add_route, chunk, plain

MODEL = "aurora-shown"
PATH = "/srv/models/secret-box/llama.gguf"


@pytest.fixture(scope="module")
def scripted(shared_road):
    backend = ScriptedBackend()
    backend.key = add_route(shared_road, MODEL, backend.backend())
    yield backend
    shared_road.routes = [route for route in shared_road.routes if route.model != MODEL]
    shared_road.publish()
    backend.close()


def call(road, key, path="chat/completions", **fields):
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], **fields}
    return requests.post(
        f"{road.gateway.url}/v1/{path}", json=body, headers={"authorization": f"Bearer {key}"}, timeout=20
    )


def chunks(answer):
    lines = [line[5:].strip() for line in answer.text.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize("told", [OWN_NAME, f"{OWN_NAME}-2024-08-06", PATH, "org/other:free", "", None])
def test_the_model_of_an_answer_is_the_public_name_whatever_the_backend_says(shared_road, scripted, told):
    scripted.says(plain(model=told))
    answer = call(shared_road, scripted.key)
    assert answer.json()["model"] == MODEL
    assert answer.json()["choices"][0]["message"]["content"] == "hi there friend"
    assert not told or told not in answer.text


def test_spaces_and_escapes_do_not_hide_a_name(shared_road, scripted):
    scripted.says(
        rb'{ "\u006dodel" : "\/srv\/models\/secret-box" , "choices":[{"message":{"content":"hi"}}]}'
    )
    answer = call(shared_road, scripted.key)
    assert answer.json()["model"] == MODEL
    assert "secret-box" not in answer.text


def test_every_chunk_of_a_stream_has_the_public_name(shared_road, scripted):
    renamed = [chunk(f"word{number} ", model=f"{OWN_NAME}-v{number % 3}") for number in range(9)]
    scripted.says(
        events=[*renamed, chunk(""), {"id": "c", "choices": [], "usage": USAGE}, b"data: [DONE]\n\n"]
    )
    answer = call(shared_road, scripted.key, stream=True)
    seen = chunks(answer)
    assert {one["model"] for one in seen} == {MODEL}
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in seen) == "".join(
        f"word{number} " for number in range(9)
    )
    assert OWN_NAME not in answer.text


def test_a_chunk_without_a_model_stays_without_one(shared_road, scripted):
    bare = {"id": "c", "choices": [{"index": 0, "delta": {"content": "hi"}}]}
    scripted.says(events=[bare, bare, chunk("", usage=USAGE), b"data: [DONE]\n\n"])
    assert "model" not in chunks(call(shared_road, scripted.key, stream=True))[0]


def test_embeddings_keep_every_digit_under_the_public_name(shared_road, scripted):
    vector = b"[0.123456789012345678901234567890,1e-7,12345678901234567890123,-0.0]"
    scripted.says(
        b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":' + vector + b'}],"model":"'
        + PATH.encode() + b'","usage":{"prompt_tokens":7,"total_tokens":7}}'
    )  # fmt: skip
    answer = call(shared_road, scripted.key, "embeddings", input="hello", messages=None)
    assert answer.status_code == 200, answer.text
    assert vector in answer.content
    assert answer.json()["model"] == MODEL
    assert "secret-box" not in answer.text


def test_what_the_model_wrote_is_not_touched(shared_road, scripted):
    wrote = f'say "model":"{OWN_NAME}" and http://10.0.0.1:8000{PATH}'
    arguments = {"model": "T", "host": "10.1.1.1"}
    message = {
        "role": "assistant",
        "content": wrote,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "buy", "arguments": arguments}}],
    }
    scripted.says(plain(choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))
    shown = call(shared_road, scripted.key).json()["choices"][0]["message"]
    assert shown["content"] == wrote
    assert shown["tool_calls"][0]["function"]["arguments"] == arguments


def test_members_that_tell_where_an_answer_was_made_are_left_out(shared_road, scripted):
    private = {
        "kv_transfer_params": {"remote_host": "10.0.0.3", "remote_port": 9000},
        "disaggregated_params": {"opaque_state": "abc"},
        "__verbose": {"model": PATH, "generation_settings": {}},
        "provider": "Somebody Inc",
        "nvext": {"worker_id": "gpu-17"},
    }
    inside = [{"index": 0, "delta": {"content": "hi"}, "disaggregated_params": {"opaque_state": "abc"}}]
    scripted.says(plain(**private, service_tier="default"))
    whole = call(shared_road, scripted.key).json()
    assert set(whole) == {"id", "object", "model", "choices", "usage", "service_tier"}
    scripted.says(events=[chunk(), chunk(**private), chunk(choices=inside), chunk("", usage=USAGE)])
    text = call(shared_road, scripted.key, stream=True).text
    for word in ("10.0.0.3", "secret-box", "Somebody", "gpu-17", "opaque_state"):
        assert word not in text
    assert text.count('"hi"') == 1


def test_a_fingerprint_says_that_something_changed_and_not_what_it_is(shared_road, scripted):
    prints = []
    for told in ("vllm-0.11.0-tp8-gpu17", "vllm-0.11.0-tp8-gpu17", "vllm-0.12.0-tp8-gpu17", None):
        scripted.says(plain(system_fingerprint=told))
        prints.append(call(shared_road, scripted.key).json()["system_fingerprint"])
    assert prints[0] == prints[1] != prints[2]
    assert prints[0].startswith("fp_")
    assert "vllm" not in str(prints)
    assert prints[3] is None


def test_no_header_of_a_backend_reaches_the_client(shared_road, scripted):
    told = {"server": "uvicorn", "x-backend": "gpu-17", "x-request-id": "theirs", "set-cookie": "a=b",
            "content-type": "application/json; host=gpu-17"}  # fmt: skip
    scripted.says(plain(), headers=told)
    answer = call(shared_road, scripted.key)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] != "theirs"
    assert not {"x-backend", "set-cookie"} & {name.lower() for name in answer.headers}
    assert "uvicorn" not in str(answer.headers)


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error":{"message":"too long for /srv/models/secret-box/x at http://10.9.8.7:8000","code":400}}\n\n',
        b'event: error\ndata: {"message":"too long for 10.9.8.7:8000 on secret-box.svc.cluster.local"}\n\n',
        b'data: {"object":"error","message":"too long, 10.9.8.7","type":"BadRequestError","code":400}\n\n',
        b'data: {"detail":"too long, 10.9.8.7"}\n\n',
        b": comment of 10.9.8.7 at secret-box\n\n",
        b"id: secret-box-10.9.8.7\n\n",
    ],
)
def test_no_event_inside_a_stream_names_a_place(shared_road, scripted, event):
    scripted.says(events=[chunk(), event])
    answer = call(shared_road, scripted.key, stream=True)
    for word in ("10.9.8.7", "secret-box", "cluster.local", "/srv"):
        assert word not in answer.text
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize(
    "told",
    [
        {"id": "chatcmpl-gpu-7.models.internal-1"}, {"id": f"{OWN_NAME}-1"}, {"id": "/srv/models/secret-box/1"},
        {"x": {"path": PATH}}, {"metadata": {"host": "gpu-7.models.internal"}}, {"model_name": OWN_NAME},
        {"served_by": "gpu-7.models.internal:8000"}, {"x": [{"where": ["http://10.1.2.3:8000/v1", "fine"]}]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_stream", [False, True])
def test_no_other_member_names_a_model_or_a_place(shared_road, scripted, told, is_stream):
    if is_stream:
        scripted.says(events=[chunk("hi ", **told), chunk("", usage=USAGE), b"data: [DONE]\n\n"])
    else:
        scripted.says(plain(**told))
    answer = call(shared_road, scripted.key, stream=is_stream)
    assert answer.status_code == 200
    assert "hi " in answer.text
    for secret in (OWN_NAME, "gpu-7", "secret-box", "10.1.2.3"):
        assert secret not in answer.text


def test_harmless_members_and_ids_stay_byte_for_byte(shared_road, scripted):
    content = (
        b'{"id":"chatcmpl-9f_A","choices":[{"message":{"role":"assistant","content":"hi"}}],'
        b'"citations":["https://example.com/a/b"],"x":{"n": 12345678901234567890123,"why":"all is well"},"y":"1.10"}'
    )
    scripted.says(content)
    assert call(shared_road, scripted.key).content == content
