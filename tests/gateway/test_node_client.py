"""The official `openai` client for Node.js against the gateway: each endpoint, streams, tools, pictures, exceptions."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from core.secrets import new_key_secret
from tests.gateway import responses
from tests.gateway import test_completions_api as completions
from tests.gateway.proxy_fixtures import MODEL, VECTORS, limit
from tests.gateway.scripted_backend import OWN_NAME, chunk, plain, scripted_backend
from tests.gateway.served import DRAWN, JUDGED, MP3, RANKED, RERANK, SOUND, SPEECH

SCRIPT = Path(__file__).parent / "node_client" / "calls.mjs"
HELLO = [{"role": "user", "content": "Hello"}]
PICTURE = "data:image/png;base64,iVBORw0KGgo="
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
WEATHER = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
}


class Raised(Exception):
    """What the client threw: its class, and its fields."""

    def __init__(self, fields):
        super().__init__(fields["message"])
        self.name, self.status, self.code = fields["name"], fields.get("status"), fields.get("code")
        self.param, self.request_id = fields.get("param"), fields.get("request_id")


class NodeClient:
    """One process of Node.js with the client, which makes one call after the other."""

    def __init__(self, base_url):
        if (node := shutil.which("node")) is None:
            pytest.skip("Node.js is not installed; the client of the tests needs it")
        if not (SCRIPT.parent / "node_modules").is_dir():
            pytest.skip(f"Run npm ci in {SCRIPT.parent.name}: the official client is not installed")
        self.process = subprocess.Popen(
            [node, str(SCRIPT), base_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, key, call, *arguments, **options):
        wanted = {"key": key, "call": call, "arguments": arguments, "options": options}
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline())
        if "raised" in said:
            raise Raised(said["raised"])
        return base64.b64decode(said["bytes"]) if "bytes" in said else said.get("events", said.get("came"))

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def node(shared_rig):
    client = NodeClient(f"{shared_rig.gateway.url}/v1")
    yield client
    client.close()


@pytest.fixture
def backend(shared_rig):
    with scripted_backend(shared_rig, "aurora-node", modes=["chat", "embedding"]) as backend:
        yield backend


def test_a_chat_is_answered_and_metered(node, shared_rig):
    key = shared_rig.new_key()
    came = node.call(key, "chat.completions.create", {"model": MODEL, "messages": HELLO, "max_tokens": 20})
    assert (came["model"], came["usage"]["completion_tokens"]) == (MODEL, 20)
    assert "not a language model" in came["choices"][0]["message"]["content"]
    (event,) = shared_rig.events(key, 1)
    assert (event.usage["output"], event.is_exact) == (20, True)


def test_a_streamed_chat(node, shared_rig):
    key = shared_rig.new_key()
    asked = {"model": MODEL, "messages": HELLO, "max_tokens": 12, "stream": True}
    events = node.call(key, "chat.completions.create", asked | {"stream_options": {"include_usage": True}})
    text = "".join(one["choices"][0]["delta"].get("content", "") for one in events if one["choices"])
    assert text.startswith("I am Quartermaster's")
    assert events[-1]["usage"]["completion_tokens"] == 12
    assert node.call(key, "chat.completions.create", asked)[-1]["choices"], "no usage that nobody asked for"
    assert [one.is_stream for one in shared_rig.events(key, 2)] == [True, True]


def test_tools_whole_and_streamed(node, backend):
    message = {"role": "assistant", "content": None, "tool_calls": [WEATHER]}
    backend.says(plain(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}]))
    asked = {"model": "aurora-node", "messages": HELLO, "tools": [TOOL], "tool_choice": "auto"}
    came = node.call(backend.key, "chat.completions.create", asked)
    assert came["choices"][0]["message"]["tool_calls"] == [WEATHER]
    assert backend.asked[-1][1]["tools"] == [TOOL]
    pieces = [
        {"index": 0, **WEATHER, "function": {"name": "weather", "arguments": ""}},
        *({"index": 0, "function": {"arguments": part}} for part in ('{"city":', '"Oslo"}')),
    ]
    choices = [{"index": 0, "delta": {"tool_calls": [one]}, "finish_reason": None} for one in pieces]
    end = [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]
    used = chunk(choices=[], usage={"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18})
    backend.says(
        events=[*(chunk(choices=[one]) for one in choices), chunk(choices=end), used, b"data: [DONE]\n\n"]
    )
    events = node.call(backend.key, "chat.completions.create", asked | {"stream": True})
    said = [one["choices"][0]["delta"]["tool_calls"][0]["function"] for one in events[:-1]]
    assert "".join(one["arguments"] for one in said) == '{"city":"Oslo"}'
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_pictures_in_a_prompt_reach_the_backend_as_sent(node, backend):
    content = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
    ]
    backend.says(plain())
    messages = [{"role": "user", "content": content}]
    assert node.call(backend.key, "chat.completions.create", {"model": "aurora-node", "messages": messages})
    assert backend.asked[-1][1]["messages"] == messages


def test_structured_answers(node, backend):
    form = {
        "type": "json_schema",
        "json_schema": {"name": "city", "strict": True, "schema": {"type": "object", "properties": {}}},
    }
    message = {"role": "assistant", "content": '{"city": "Oslo"}'}
    backend.says(plain(choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))
    asked = {"model": "aurora-node", "messages": HELLO, "response_format": form}
    came = node.call(backend.key, "chat.completions.parse", asked)
    assert came["choices"][0]["message"]["parsed"] == {"city": "Oslo"}
    assert backend.asked[-1][1]["response_format"] == form


def test_vectors(node, shared_rig):
    """The client asks for base64 by itself, and decodes it."""
    came = node.call(shared_rig.new_key(), "embeddings.create", {"model": VECTORS, "input": ["one", "two"]})
    assert [round(sum(part * part for part in one["embedding"]), 4) for one in came["data"]] == [1.0, 1.0]


def test_models(node, shared_rig):
    key = shared_rig.new_key(models=[MODEL, "nobody-serves-me"])
    assert [one["id"] for one in node.call(key, "models.list")["data"]] == [MODEL]
    assert node.call(key, "models.retrieve", MODEL)["id"] == MODEL
    with pytest.raises(Raised) as refused:
        node.call(key, "models.retrieve", "nobody-serves-me")
    assert (refused.value.name, refused.value.code) == ("NotFoundError", "model_not_found")


def test_the_older_completions(node, shared_rig):
    with scripted_backend(shared_rig, "aurora-old", modes=["completion"]) as backend:
        backend.says(completions.answer(" once upon a time"))
        asked = {"model": "aurora-old", "prompt": "Tell", "max_tokens": 4}
        came = node.call(backend.key, "completions.create", asked)
        assert came["choices"][0]["text"] == " once upon a time"
        pieces = [completions.piece(" once"), completions.piece(" upon", end="stop"), completions.last()]
        backend.says(events=[*pieces, completions.DONE])
        events = node.call(backend.key, "completions.create", asked | {"stream": True})
        assert "".join(one["choices"][0]["text"] for one in events) == " once upon"


def test_responses_whole_and_streamed(node, shared_rig):
    with scripted_backend(shared_rig, "aurora-item", modes=["responses"]) as backend:
        whole = responses.response(responses.MESSAGE)
        backend.says(whole)
        asked = {"model": "aurora-item", "input": "Hello", "store": False}
        assert node.call(backend.key, "responses.create", asked)["output_text"] == "Hello there, friend."
        begun = responses.response(status="in_progress", usage=None)
        backend.says(
            events=[
                responses.event("response.created", 0, response=begun),
                *responses.deltas("Hello ", "there"),
                responses.event("response.completed", 9, response=whole),
            ]
        )
        events = node.call(backend.key, "responses.create", asked | {"stream": True})
        assert [one["type"] for one in events][-1] == "response.completed"
        assert "".join(one.get("delta", "") for one in events) == "Hello there"


def place_of(model):
    return {"baseURL": f"{model.rig.gateway.url}/v1"}


def test_moderations_pictures_and_ranking(node, served):
    model = served("moderations")
    model.backend.says(JUDGED)
    came = node.call(
        model.key,
        "moderations.create",
        {"model": model.model, "input": ["be nice", "be harmful"]},
        **place_of(model),
    )
    assert [one["flagged"] for one in came["results"]] == [False, False]
    model = served("images/generations")
    model.backend.says(DRAWN)
    came = node.call(
        model.key, "images.generate", {"model": model.model, "prompt": "a cat"}, **place_of(model)
    )
    assert came["data"] == DRAWN["data"]
    model = served("rerank")
    model.backend.says(RANKED)
    came = node.call(
        model.key, "post", "/rerank", {"body": {"model": model.model, **RERANK}}, **place_of(model)
    )
    assert len(came["results"]) == 1


def test_sounds(node, served):
    model = served("audio/transcriptions")
    model.backend.says({"text": "Hello you", "usage": {"type": "duration", "seconds": 3}})
    file = {"$file": base64.b64encode(SOUND).decode(), "name": "a.wav"}
    came = node.call(
        model.key, "audio.transcriptions.create", {"model": model.model, "file": file}, **place_of(model)
    )
    assert came["text"] == "Hello you"
    model = served("audio/speech")
    model.backend.says(events=[b"\xff\xf3sound", 0.05, b"and more"], headers=MP3)
    came = node.call(model.key, "audio.speech.create", {"model": model.model, **SPEECH}, **place_of(model))
    assert came == b"\xff\xf3soundand more"


def test_streamed_transcripts_pictures_and_speech(node, served):
    usage = {"input_tokens": 5, "output_tokens": 40, "total_tokens": 45}
    model = served("audio/transcriptions")
    pieces = [{"type": "transcript.text.delta", "delta": word} for word in ("Hello ", "you")]
    model.backend.says(
        events=[*pieces, {"type": "transcript.text.done", "text": "Hello you", "usage": usage}]
    )
    asked = {
        "model": model.model,
        "file": {"$file": base64.b64encode(SOUND).decode(), "name": "a.wav"},
        "stream": True,
    }
    came = node.call(model.key, "audio.transcriptions.create", asked, **place_of(model))
    assert "".join(one["delta"] for one in came[:-1]) == came[-1]["text"] == "Hello you"
    assert (model.event().usage, model.event().is_exact) == ({"input": 5, "output": 40}, True)
    model = served("images/generations")
    part = {"type": "image_generation.partial_image", "b64_json": "aaaa", "partial_image_index": 0}
    done = {"type": "image_generation.completed", "b64_json": "aaaa", "usage": usage}
    model.backend.says(events=[part, done])
    asked = {"model": model.model, "prompt": "a cat", "stream": True, "partial_images": 1}
    came = node.call(model.key, "images.generate", asked, **place_of(model))
    assert [one["type"] for one in came] == [part["type"], done["type"]]
    assert (model.event().usage, model.event().is_exact) == ({"input": 5, "image": 40}, True)
    model = served("audio/speech")
    sound = {"type": "speech.audio.delta", "audio": base64.b64encode(b"x" * 600).decode()}
    model.backend.says(events=[sound, {"type": "speech.audio.done", "usage": usage}])
    asked = {"model": model.model, **SPEECH, "stream_format": "sse"}
    came = node.call(model.key, "audio.speech.create", asked, **place_of(model))
    assert came.count(b"data: ") == 2
    assert (model.event().usage, model.event().is_exact) == ({"input": 5, "audio": 40}, True)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequestError"),
        (422, "UnprocessableEntityError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (401, "InternalServerError"),  # our account's fault, not the caller's
    ],
)
def test_errors_of_backends_are_the_clients_exceptions(node, backend, status, name):
    backend.says({"error": {"message": "no, sorry", "type": "x"}}, status=status)
    with pytest.raises(Raised) as refused:
        node.call(backend.key, "chat.completions.create", {"model": "aurora-node", "messages": HELLO})
    assert refused.value.name == name
    assert refused.value.request_id
    assert OWN_NAME not in str(refused.value)


def test_refusals_of_the_gateway_are_the_clients_exceptions(node, shared_rig):
    asked = {"model": MODEL, "messages": HELLO}
    with pytest.raises(Raised) as refused:
        node.call(new_key_secret(), "chat.completions.create", asked)
    assert (refused.value.name, refused.value.code) == ("AuthenticationError", "invalid_api_key")
    with pytest.raises(Raised, match="nothing serves it yet") as refused:
        node.call(shared_rig.new_key(), "chat.completions.create", asked | {"model": "nobody-serves-me"})
    assert (refused.value.name, refused.value.param) == ("NotFoundError", "model")
    with pytest.raises(Raised) as refused:
        node.call(shared_rig.new_key(), "chat.completions.create", {"model": MODEL, "messages": []})
    assert (refused.value.name, refused.value.param) == ("BadRequestError", "messages")


def test_limits_are_the_clients_rate_limit_error(node, limited_rig):
    place = {"baseURL": f"{limited_rig.gateway.url}/v1"}
    key = limited_rig.new_key(limits=[limit("requests_per_minute", 1)])
    asked = {"model": MODEL, "messages": HELLO, "max_tokens": 3}
    assert node.call(key, "chat.completions.create", asked, **place)
    with pytest.raises(Raised) as refused:
        node.call(key, "chat.completions.create", asked, **place)
    assert (refused.value.name, refused.value.code) == ("RateLimitError", "rate_limit_exceeded")


def test_an_error_within_a_stream_is_thrown(node, backend):
    backend.says(events=[chunk(), chunk(), 0.3, {"error": {"message": "out of memory", "code": 500}}])
    with pytest.raises(Raised):
        node.call(
            backend.key,
            "chat.completions.create",
            {"model": "aurora-node", "messages": HELLO, "stream": True},
        )
