"""What a backend calls itself, its model, its host and its files never reaches a client."""

import json

import pytest
import requests

from gateway.proxy.answer_members import is_private, known_private
from gateway.proxy.names import Names
from tests.gateway.scripted_backend import OWN_NAME, USAGE, chunk, plain, scripted_backend
from tests.gateway.targets import address

MODEL = "aurora-shown"
PATH = "/srv/models/secret-box/llama.gguf"


@pytest.fixture(scope="module")
def scripted(shared_rig):
    with scripted_backend(shared_rig, MODEL) as backend:
        yield backend


def call(rig, key, path="chat/completions", **fields):
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], **fields}
    return requests.post(
        f"{rig.gateway.url}/v1/{path}", json=body, headers={"authorization": f"Bearer {key}"}, timeout=60
    )


def chunks(answer):
    lines = [line[5:].strip() for line in answer.text.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize("told", [OWN_NAME, f"{OWN_NAME}-2024-08-06", PATH, "org/other:free", "", None])
def test_the_model_of_an_answer_is_the_public_name_whatever_the_backend_says(shared_rig, scripted, told):
    scripted.says(plain(model=told))
    answer = call(shared_rig, scripted.key)
    assert answer.json()["model"] == MODEL
    assert answer.json()["choices"][0]["message"]["content"] == "hi there friend"
    assert not told or told not in answer.text


def test_spaces_and_escapes_do_not_hide_a_name(shared_rig, scripted):
    scripted.says(
        rb'{ "\u006dodel" : "\/srv\/models\/secret-box" , "choices":[{"message":{"content":"hi"}}]}'
    )
    answer = call(shared_rig, scripted.key)
    assert answer.json()["model"] == MODEL
    assert "secret-box" not in answer.text


def test_every_chunk_of_a_stream_has_the_public_name(shared_rig, scripted):
    renamed = [chunk(f"word{number} ", model=f"{OWN_NAME}-v{number % 3}") for number in range(9)]
    scripted.says(
        events=[*renamed, chunk(""), {"id": "c", "choices": [], "usage": USAGE}, b"data: [DONE]\n\n"]
    )
    answer = call(shared_rig, scripted.key, stream=True)
    seen = chunks(answer)
    assert {one["model"] for one in seen} == {MODEL}
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in seen) == "".join(
        f"word{number} " for number in range(9)
    )
    assert OWN_NAME not in answer.text


def test_a_chunk_without_a_model_stays_without_one(shared_rig, scripted):
    bare = {"id": "c", "choices": [{"index": 0, "delta": {"content": "hi"}}]}
    scripted.says(events=[bare, bare, chunk("", usage=USAGE), b"data: [DONE]\n\n"])
    assert "model" not in chunks(call(shared_rig, scripted.key, stream=True))[0]


def test_embeddings_keep_every_digit_under_the_public_name(shared_rig, scripted):
    vector = b"[0.123456789012345678901234567890,1e-7,12345678901234567890123,-0.0]"
    scripted.says(
        b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":' + vector + b'}],"model":"'
        + PATH.encode() + b'","usage":{"prompt_tokens":7,"total_tokens":7}}'
    )  # fmt: skip
    answer = call(shared_rig, scripted.key, "embeddings", input="hello", messages=None)
    assert answer.status_code == 200, answer.text
    assert vector in answer.content
    assert answer.json()["model"] == MODEL
    assert "secret-box" not in answer.text


def test_what_the_model_wrote_is_not_touched(shared_rig, scripted):
    wrote = f'say "model":"{OWN_NAME}" and http://10.0.0.1:8000{PATH}'
    arguments = {"model": "T", "host": "10.1.1.1"}
    message = {
        "role": "assistant",
        "content": wrote,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "buy", "arguments": arguments}}],
    }
    scripted.says(plain(choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))
    shown = call(shared_rig, scripted.key).json()["choices"][0]["message"]
    assert shown["content"] == wrote
    assert shown["tool_calls"][0]["function"]["arguments"] == arguments


def test_members_that_tell_where_an_answer_was_made_are_left_out(shared_rig, scripted):
    private = {
        "kv_transfer_params": {"remote_host": "10.0.0.3", "remote_port": 9000},
        "disaggregated_params": {"opaque_state": "abc"},
        "__verbose": {"model": PATH, "generation_settings": {}},
        "provider": "Somebody Inc",
        "nvext": {"worker_id": "gpu-17"},
    }
    inside = [{"index": 0, "delta": {"content": "hi"}, "disaggregated_params": {"opaque_state": "abc"}}]
    scripted.says(plain(**private, service_tier="default"))
    whole = call(shared_rig, scripted.key).json()
    assert set(whole) == {"id", "object", "model", "choices", "usage", "service_tier"}
    scripted.says(events=[chunk(), chunk(**private), chunk(choices=inside), chunk("", usage=USAGE)])
    text = call(shared_rig, scripted.key, stream=True).text
    for word in ("10.0.0.3", "secret-box", "Somebody", "gpu-17", "opaque_state"):
        assert word not in text
    assert text.count('"hi"') == 1


def test_a_fingerprint_says_that_something_changed_and_not_what_it_is(shared_rig, scripted):
    prints = []
    for told in ("vllm-0.11.0-tp8-gpu17", "vllm-0.11.0-tp8-gpu17", "vllm-0.12.0-tp8-gpu17", None):
        scripted.says(plain(system_fingerprint=told))
        prints.append(call(shared_rig, scripted.key).json()["system_fingerprint"])
    assert prints[0] == prints[1] != prints[2]
    assert prints[0].startswith("fp_")
    assert "vllm" not in str(prints)
    assert prints[3] is None


def test_no_header_of_a_backend_reaches_the_client(shared_rig, scripted):
    told = {"server": "uvicorn", "x-backend": "gpu-17", "x-request-id": "theirs", "set-cookie": "a=b",
            "content-type": "application/json; host=gpu-17"}  # fmt: skip
    scripted.says(plain(), headers=told)
    answer = call(shared_rig, scripted.key)
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
def test_no_event_inside_a_stream_names_a_place(shared_rig, scripted, event):
    scripted.says(events=[chunk(), event])
    answer = call(shared_rig, scripted.key, stream=True)
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
def test_no_other_member_names_a_model_or_a_place(shared_rig, scripted, told, is_stream):
    if is_stream:
        scripted.says(events=[chunk("hi ", **told), chunk("", usage=USAGE), b"data: [DONE]\n\n"])
    else:
        scripted.says(plain(**told))
    answer = call(shared_rig, scripted.key, stream=is_stream)
    assert answer.status_code == 200
    assert "hi " in answer.text
    for secret in (OWN_NAME, "gpu-7", "secret-box", "10.1.2.3"):
        assert secret not in answer.text


def test_harmless_members_and_ids_stay_byte_for_byte(shared_rig, scripted):
    content = (
        b'{"id":"chatcmpl-9f_A","choices":[{"message":{"role":"assistant","content":"hi"}}],'
        b'"citations":["https://example.com/a/b"],"x":{"n": 12345678901234567890123,"why":"all is well"},"y":"1.10"}'
    )
    scripted.says(content)
    assert call(shared_rig, scripted.key).content == content


NODE = address(id="b", url="http://gpu-node-7:8000", upstream_model="org/Qwen3-8B-AWQ")
SECRETS = ("Qwen3", "gpu-node-7", "8000")
COUNTS = {
    "prompt_tokens": 12,
    "completion_tokens": 6,
    "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": None},
    "is_byok": False,
    "cost": 0.0015,
    "server_tool_use": {"web_search_requests": 1},
    "cache_creation": {"ephemeral_5m_input_tokens": 4},
    "service_tier": "default",
    "total_cost": "0.0012",
    "search_context_size": "low",
}


def as_whole(**told):
    return json.loads(Names(NODE, MODEL).in_answer(json.dumps(plain(**told)).encode()))


def as_second_chunk(**told):
    names = Names(NODE, MODEL)
    names.in_events(b"data: " + json.dumps(chunk()).encode() + b"\n\n")
    event = names.in_events(b"data: " + json.dumps(chunk(**told)).encode() + b"\n\n")
    return json.loads(event.removeprefix(b"data: "))


both = pytest.mark.parametrize("shown", [as_whole, as_second_chunk])


@both
def test_usage_is_numbers_and_the_words_that_dialects_have(shown):
    places = {
        "model": "org/Qwen3-8B-AWQ", "host": "gpu-node-7", "backend": "http://gpu-node-7:8000", "note": "on gpu-node-7",
        "gpu-node-7": 3, "by": ["gpu-node-7", {"worker": "gpu-node-7", "tokens": 5}],
    }  # fmt: skip
    usage = shown(usage=COUNTS | places)["usage"]
    assert usage == COUNTS | {"by": [{"tokens": 5}]}
    assert shown(usage=COUNTS)["usage"] == COUNTS
    for name in ("timings", "x_groq"):
        inner = {"usage": COUNTS | places, "host": "gpu-node-7"} if name == "x_groq" else COUNTS | places
        assert not any(secret in json.dumps(shown(**{name: inner})) for secret in SECRETS)


@both
@pytest.mark.parametrize(
    "told",
    [
        {"id": "gpu-node-7-123"}, {"id": "chatcmpl-GPU-NODE-7_1"}, {"id": {"host": "gpu-node-7"}},
        {"object": "gpu-node-7"},
        {"service_tier": "gpu-node-7"}, {"service_tier": ["http://gpu-node-7:8000"]}, {"created": "gpu-node-7"},
        {"x_groq": {"id": "req_gpu-node-7", "debug": "gpu-node-7"}}, {"timings": {"host": "gpu-node-7"}},
        {"data": [{"object": "embedding", "index": 0, "embedding": [0.5], "served": "gpu-node-7"}]},
        {"data": [{"object": "gpu-node-7", "embedding": [0.5]}]}, {"prompt_filter_results": [{"gpu-node-7": 1}]},
        {"citations": ["http://gpu-node-7:8000/x"]}, {"images": [{"image_url": {"url": "http://gpu-node-7:8000/1.png"}}]},
    ],
)  # fmt: skip
def test_no_known_member_names_a_place(shown, told):
    text = json.dumps(shown(**told))
    assert not any(secret.lower() in text.lower() for secret in SECRETS)
    assert "content" in text


@both
@pytest.mark.parametrize("place", ["delta", "message", "choice"])
@pytest.mark.parametrize(
    "told",
    [
        {"served_by": "gpu-node-7:8000"}, {"served_by": "gpu-node-7"}, {"model_name": "org/Qwen3-8B-AWQ"},
        {"source": "http://gpu-node-7:8000"}, {"finish_reason": "gpu-node-7"}, {"role": "gpu-node-7"},
        {"x": {"gpu-node-7": 1}},
        {"usage": {"host": "gpu-node-7"}}, {"name": "gpu-node-7"}, {"annotations": [{"url": "http://gpu-node-7:8000/"}]},
        {"tool_calls": [{"id": "gpu-node-7-1", "type": "function", "function": {"name": "buy", "arguments": "{}"}}]},
        {"function": {"name": "buy", "arguments": "{}", "served": "gpu-node-7"}},
        {"audio": {"id": "gpu-node-7", "data": "aGk="}},
        {"\\u0073erved": "gpu-node-7"},
    ],
)  # fmt: skip
def test_nothing_in_the_choices_names_a_place(shown, place, told):
    choice = {"index": 0, "delta": {"content": "hi"}, "message": {"content": "hi"}}
    (choice if place == "choice" else choice[place]).update(told)
    text = json.dumps(shown(choices=[choice]))
    assert not any(secret in text for secret in SECRETS)
    assert text.count('"hi"') == 2


@both
def test_what_a_model_says_of_its_host_stays_as_it_said_it(shown):
    said = "Qwen3-8B-AWQ on http://gpu-node-7:8000/srv/models/x"
    message = {
        "role": "assistant", "content": said, "reasoning_content": said, "reasoning": said,
        "refusal": said, "source": "the web",
        "tool_calls": [{"id": "functions.buy:12", "type": "function",
                        "function": {"name": "gpu-node-7", "arguments": said}}],
        "audio": {"id": "audio_1", "data": "a/b/c/gpu-node-7", "transcript": said},
        "reasoning_details": [{"type": "reasoning.text", "text": said, "format": "unknown", "index": 0}],
        "annotations": [{"type": "url_citation",
                         "url_citation": {"url": "https://www.example.com/a/b", "title": "A/B of it"}}],
        "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,/a/b/c+gpu-node-7"}}],
    }  # fmt: skip
    logprobs = {"content": [{"token": "gpu-node-7", "logprob": -0.1, "bytes": [1], "top_logprobs": []}]}
    choices = [{"index": 0, "message": message, "delta": message, "text": said, "logprobs": logprobs,
                "finish_reason": "stop", "stop_reason": "gpu-node-7"}]  # fmt: skip
    assert shown(choices=choices, citations=["https://www.example.com/a/b"])["choices"] == choices
    for one in choices[0], {"index": 0, "delta": {"served_by": "gpu-node-7", **message}}:
        assert shown(choices=[one])["choices"][0]["delta"] == message


def test_ids_that_name_no_host_stay_and_others_are_the_same_in_every_chunk():
    for told in ("chatcmpl-9f_A", "cmpl-0a1b2c3d", "gen-1731-xYz", "msg_01AbC"):
        assert as_whole(id=told)["id"] == told
    for told in ("worker10-4", "x-pod_3-1"):
        assert as_whole(id=told)["id"].startswith("id-")
    assert as_second_chunk(id="gpu-node-7-1")["id"] == as_second_chunk(id="gpu-node-7-1")["id"]


def test_labels_of_a_long_host_name_are_places_too():
    backend = address(id="b", url="http://atlas-9.models.internal/v1", upstream_model="org/m")
    answer = Names(backend, MODEL).in_answer(json.dumps(plain(id="models-1", x={"by": "atlas-9"})).encode())
    assert b"atlas-9" not in answer
    assert b"models" not in answer


@pytest.mark.parametrize("host", ["chat", "embedding", "default", "reasoning", "list"])
def test_a_host_called_like_a_word_of_the_dialect_changes_no_answer(host):
    backend = address(id="b", url=f"http://{host}:8000/v1", upstream_model=host)
    vectors = [{"object": "embedding", "index": 0, "embedding": [0.5], "x": "all is well"}]
    whole = plain(data=vectors, service_tier="default", model=MODEL, usage={**COUNTS, "x2": 1})
    whole["choices"][0]["message"]["reasoning_details"] = [{"type": "reasoning.text", "text": host}]
    assert json.loads(Names(backend, MODEL).in_answer(json.dumps(whole).encode())) == whole


def test_long_names_of_a_backend_are_not_remembered():
    """A thousand names of megabytes would fill the memory of a gateway."""
    known_private.cache_clear()
    assert is_private("x" * 1000 + "_worker")
    assert not is_private("x" * 1000)
    assert known_private.cache_info().currsize == 0
    assert is_private("worker_id")
    assert known_private.cache_info().currsize == 1
