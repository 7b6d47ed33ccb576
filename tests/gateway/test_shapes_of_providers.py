"""What providers really send: each shape in shapes/*.json, through a gateway, to the official clients.

A shape has the structure and the numbers of a recording or a report that is named as its `source`, with words of our
own. `says` is a whole answer and `stream` the events of one: an object becomes an event, a text a line as it is, and a
number a wait in seconds. `hidden` in a name or id marks what no client may see. A chat is asked for twice, by OpenAI's
and by Anthropic's client.
"""

import base64
import json
from pathlib import Path

import anthropic
import httpx2
import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState

from gateway.contract import ProviderConfig
from tests.gateway.scripted_backend import ScriptedBackend, add_route
from tests.gateway.served import SOUND
from tests.gateway.test_calls_to_providers import LOOPBACK, vars_of

MODEL = "aurora-shapes"
FOLDER = Path(__file__).parent / "shapes"
# In the terms of a contract's modes.
MODES = ["chat", "responses", "completion", "embedding", "rerank", "audio_transcription", "image_generation"]
# Of sound, in place of the word SOUND.
HALF_A_SECOND = base64.b64encode(bytes(24_000)).decode()
HELLO = [{"role": "user", "content": "hello"}]
TOOLS = {name: {"type": "object", "properties": {}} for name in ("weather", "time")}
# Anthropic's words for why an answer ended.
STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
BODIES = {
    "rerank": {"query": "what is it?", "documents": ["a cat " * 900, "a dog"]},
    "images/generations": {"prompt": "a cat", "size": "1024x1024"},
    "embeddings": {"input": "hello"},
    "completions": {"prompt": "Hello, "},
}


def shapes():
    """Each shape with its dialect, and the client that asks for it."""
    for path in sorted(FOLDER.glob("*.json")):
        told = json.loads(path.read_text().replace('"SOUND"', f'"{HALF_A_SECOND}"'))
        for shape in told["shapes"]:
            shape = {"dialect": told["dialect"], "endpoint": "chat", **shape}
            clients = shape.get("clients") or (
                ["openai", "anthropic"] if shape["endpoint"] == "chat" else ["openai"]
            )
            for client in clients:
                yield pytest.param(shape, client, id=f"{path.stem}: {shape['name']} ({client})")


@pytest.fixture(scope="module")
def rig(shared_rig):
    """A rig that may call providers on this machine."""
    before = shared_rig.settings
    shared_rig.settings = type(before)(**{**vars_of(before), "allowed_networks": LOOPBACK})
    yield shared_rig
    shared_rig.settings = before
    shared_rig.publish()


@pytest.fixture
def provider(rig):
    backend = ScriptedBackend("provider")
    yield backend
    rig.routes = [route for route in rig.routes if route.model != MODEL]
    backend.close()


def serve(rig, provider, shape):
    """Let the provider answer like this; a key for its model."""
    if "stream" in shape:
        provider.says(events=[as_sent(one) for one in shape["stream"]])
    else:
        said = shape["says"]
        said = said.encode() if isinstance(said, str) else said
        provider.says(said, status=shape.get("status", 200), headers=shape.get("headers"))
    target = provider.backend(modes=MODES, provider=ProviderConfig(dialect=shape["dialect"]))
    return add_route(rig, MODEL, target, modes=MODES)


def as_sent(one):
    if isinstance(one, float):
        return one
    if isinstance(one, str):
        return f"{one}\n\n".encode()
    name = f"event: {one['type']}\n" if isinstance(one, dict) and "type" in one else ""
    return f"{name}data: {json.dumps(one)}\n\n".encode()


class Asked:
    """One call by an official client: what it made of the answer, and the bytes behind it."""

    def __init__(self, rig, key, shape):
        self.text, self.reasoning, self.refusal, self.tools = "", "", "", []
        self.finish = self.tier = None
        self.raw, self.error, self.headers = b"", None, {}
        self.shape, self.is_stream = shape, "stream" in shape
        options = {
            "api_key": key,
            "max_retries": 0,
            "http_client": httpx2.Client(event_hooks={"response": [self._keep]}),
        }
        self.openai = openai.OpenAI(base_url=f"{rig.gateway.url}/v1", **options)
        self.anthropic = anthropic.Anthropic(base_url=rig.gateway.url, **options)

    def _keep(self, response):
        self.raw, self.headers = response.read(), response.headers

    def by(self, client):
        """Ask, and keep what the client raises."""
        endpoint = self.shape["endpoint"]
        ask = {"chat": self._chat if client == "openai" else self._messages, "responses": self._responses}
        try:
            ask.get(endpoint, self._other)()
        except (openai.APIError, anthropic.APIError) as error:
            self.error = error
        return self

    def _chat(self):
        tools = [
            {"type": "function", "function": {"name": name, "parameters": TOOLS[name]}} for name in TOOLS
        ]
        call = {"model": MODEL, "messages": HELLO, "tools": tools, **self.shape.get("call", {})}
        if not self.is_stream:
            [choice] = self.openai.chat.completions.create(**call).choices
            self._read(choice.message)
            self.finish = choice.finish_reason
            return
        asks = {"stream_options": {"include_usage": True}, **call}
        pieces, helper = [], ChatCompletionStreamState()
        for chunk in self.openai.chat.completions.create(stream=True, **asks):
            if "tools" in self.shape["expects"]:
                helper.handle_chunk(chunk)
            for choice in chunk.choices:
                self.finish = choice.finish_reason or self.finish
                if choice.delta is not None:
                    self._read(choice.delta, pieces)
        self.tools = [(name, json.loads(arguments)) for name, arguments in pieces]
        if "tools" in self.shape["expects"]:
            built = helper.current_completion_snapshot.choices[0].message.tool_calls or []
            functions = [call.function for call in built]
            assert [(one.name, json.loads(one.arguments)) for one in functions] == self.tools

    def _read(self, said, pieces=None):
        self.text += said.content if isinstance(said.content, str) else ""
        self.reasoning += getattr(said, "reasoning_content", None) or getattr(said, "reasoning", None) or ""
        self.refusal += said.refusal or ""
        calls = said.tool_calls or []
        if pieces is None:
            self.tools = [(call.function.name, json.loads(call.function.arguments)) for call in calls]
            return
        for call in calls:
            # Clients find the pieces of a call by its number, the place in their list.
            if call.index == len(pieces):
                pieces.append(("", ""))
            name, arguments = pieces[call.index]
            pieces[call.index] = (name + (call.function.name or ""), arguments + call.function.arguments)

    def _messages(self):
        tools = [{"name": name, "input_schema": TOOLS[name]} for name in TOOLS]
        call = {"model": MODEL, "max_tokens": 4000, "messages": HELLO, "tools": tools}
        if self.is_stream:
            with self.anthropic.messages.stream(**call) as came:
                message = came.get_final_message()
        else:
            message = self.anthropic.messages.create(**call)
        for block in message.content:
            self.text += block.text if block.type == "text" else ""
            self.reasoning += block.thinking if block.type == "thinking" else ""
            if block.type == "tool_use":
                self.tools.append((block.name, block.input))
        self.finish = message.stop_reason

    def _responses(self):
        if not self.is_stream:
            self.text = self.openai.responses.create(model=MODEL, input="hello").output_text
            return
        for event in self.openai.responses.create(model=MODEL, input="hello", stream=True):
            self.text += event.delta if event.type == "response.output_text.delta" else ""

    def _other(self):
        endpoint = self.shape["endpoint"]
        if endpoint == "audio/transcriptions":
            sound = ("a.wav", SOUND, "audio/wav")
            self.text = self.openai.audio.transcriptions.create(model=MODEL, file=sound).text
        else:
            self.openai.post(f"/{endpoint}", body={"model": MODEL, **BODIES[endpoint]}, cast_to=object)


def test_every_shape_says_where_it_was_seen():
    told = [one.values[0] for one in shapes()]
    assert len(told) > 100
    assert all(shape["source"] for shape in told)


@pytest.mark.parametrize(("shape", "client"), list(shapes()))
def test_a_shape(rig, provider, shape, client):
    expects = shape["expects"]
    key = serve(rig, provider, shape)
    came = Asked(rig, key, shape).by(client)
    [event] = rig.events(key, 1)
    for hidden in ("hidden", "up-scripted", *expects.get("hides", ())):
        assert hidden not in came.raw.decode()
    if "status" in expects:
        check_refused(came, event, expects)
    elif expects.get("breaks"):
        check_broken(came, event, expects["at_most"])
    else:
        assert came.error is None
        check_answered(came, client, expects)
        check_metered(event, expects)


def check_answered(came, client, expects):
    if client == "anthropic":
        expects = {**expects, "finish": STOPS.get(expects.get("finish"))}
        # Messages have no other place for a refusal in words.
        expects |= {"text": expects["refusal"], "refusal": ""} if "refusal" in expects else {}
        # What OpenAI's client has as parts of the content.
        expects |= {"reasoning": expects["thoughts"]} if "thoughts" in expects else {}
    for name in ("text", "reasoning", "refusal", "finish"):
        if expects.get(name) is not None:
            assert getattr(came, name) == expects[name], name
    assert came.tools == [tuple(one) for one in expects.get("tools", ())]
    if "parts" in expects:
        assert expects["parts"] in came.raw.decode()


def check_metered(event, expects):
    assert event.status == "ok"
    assert event.is_exact is expects.get("is_exact", True)
    if expects["usage"] is None:
        # Nobody told it, and an answer is never free.
        assert event.tokens > 0
    else:
        assert event.usage == expects["usage"]
    if "tier" in expects:
        assert event.service_tier == expects["tier"]


def check_refused(came, event, expects):
    assert came.error.status_code == expects["status"]
    assert (event.status, event.tokens, event.usage) == ("error", 0, {})
    assert expects.get("message", "") in str(came.error)
    if "retry_after" in expects:
        assert came.headers["retry-after"] == expects["retry_after"]
    if "code" in expects and isinstance(came.error, openai.APIError):
        assert came.error.code == expects["code"]


def check_broken(came, event, at_most):
    assert came.error is not None
    assert event.status == "error"
    assert event.is_exact is (event.tokens == 0)
    for kind, count in event.usage.items():
        assert count <= at_most.get(kind, 0), kind
