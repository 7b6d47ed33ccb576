"""A real LiteLLM proxy behind our gateway, as a provider: it translates, we count and limit."""

import time

import anthropic
import openai
import pytest
import requests

from core.egress import read_networks
from deployments.providers.asking import Upstream
from deployments.providers.faults import ProviderFault
from deployments.providers.listing import try_provider
from gateway.contract import CredentialConfig, ProviderConfig, RouteConfig, SettingsConfig, TargetConfig
from gateway.contract.sealing import seal
from tests.gateway.litellm_rig import MESSAGES
from tests.gateway.responses import MESSAGE as ITEM
from tests.gateway.responses import response
from tests.gateway.scripted_backend import USAGE, ScriptedBackend, chunk, plain
from tests.gateway.served import (
    DRAWN,
    IMAGE,
    JUDGED,
    MODERATION,
    MP3,
    RANKED,
    RERANK,
    SOUND,
    SPEECH,
)
from tests.gateway.test_calls_to_providers import MESSAGE, sse
from tests.gateway.test_completions_api import answer as completion
from tests.litellm.proxy import LiteLLM
from tests.secret_scanner import remember

MASTER_KEY = "sk-" + "5be1d20c" * 8
remember(MASTER_KEY)
NETWORKS = ["127.0.0.0/8"]
# What Anthropic reports: cached tokens are beside `input_tokens`.
ANTHROPIC_USAGE = {
    "input_tokens": 12,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 3,
    "output_tokens": 6,
}
# LiteLLM's models beside Claude: their names there, and the modes in which our gateway calls them.
OTHERS = {
    "lite-open": ("openai/up", ["chat", "embedding", "responses"]),
    "lite-text": ("text-completion-openai/up", ["completion"]),
    "lite-image": ("openai/gpt-image-1", ["image_generation"]),
    "lite-voice": ("openai/tts-1", ["audio_speech"]),
    "lite-ear": ("openai/whisper-1", ["audio_transcription"]),
    "lite-judge": ("openai/omni-moderation-latest", ["moderation"]),
    "lite-rank": ("hosted_vllm/rank", ["rerank"]),
}
NAMES = ["lite-claude", *OTHERS]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="session")
def behind():
    """What LiteLLM calls: one stand-in for all of its providers."""
    backend = ScriptedBackend("behind-litellm")
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def litellm(tmp_path_factory, behind):
    base = f"http://127.0.0.1:{behind.port}"
    models = {
        "lite-claude": {"model": "anthropic/claude-sonnet-4-5", "api_base": base},
        **{name: {"model": own, "api_base": f"{base}/v1"} for name, (own, _) in OTHERS.items()},
    }
    proxy = LiteLLM(
        tmp_path_factory.mktemp("litellm"),
        {
            "general_settings": {"master_key": MASTER_KEY},
            "router_settings": {"num_retries": 0},
            "model_list": [
                {"model_name": name, "litellm_params": {**one, "api_key": "sk-behind", "max_retries": 0}}
                for name, one in models.items()
            ],
        },
    )
    proxy.start()
    yield proxy
    proxy.kill()


@pytest.fixture
def key(shared_rig, litellm, behind):
    """A key for the models that our gateway routes to LiteLLM."""
    rig = shared_rig
    before, routes = rig.settings, rig.routes
    rig.settings = SettingsConfig(max_body_bytes=100_000, allowed_networks=NETWORKS)
    rig.routes = [*routes, *(routed(rig, litellm, name) for name in NAMES)]
    behind.says(plain())
    behind.asked.clear()
    yield rig.new_key(models=NAMES)
    rig.settings, rig.routes = before, routes
    rig.publish()


def routed(rig, litellm, name, secret=MASTER_KEY, model=None):
    target_id = f"{name}-at-{litellm.port}-{secret[-4:]}"
    sealed = seal(secret, rig.control.credential_key, target_id)
    provider = ProviderConfig(dialect="litellm", credentials=[CredentialConfig(kind="stored", value=sealed)])
    target = TargetConfig(
        id=target_id, addresses=[f"{litellm.url}/v1"], upstream_model=name, provider=provider
    )
    return RouteConfig(model=model or name, modes=OTHERS.get(name, OTHERS["lite-open"])[1], targets=[target])


def call(rig, key, model="lite-open", **fields):
    return rig.client(key).chat.completions.create(model=model, messages=MESSAGES, **fields)


def test_a_chat_is_translated_by_litellm_and_counted_here(shared_rig, key, behind):
    behind.says({**MESSAGE, "usage": ANTHROPIC_USAGE})
    answer = call(shared_rig, key, "lite-claude", max_tokens=50)
    assert (answer.model, answer.choices[0].message.content) == ("lite-claude", "hi there friend")
    assert behind.paths[-1] == "/v1/messages"
    [event] = shared_rig.events(key, 1)
    assert (event.status, event.is_exact) == ("ok", True)
    assert event.usage == {"input": 12, "cache_read": 5, "cache_write": 3, "output": 6}


def test_a_stream_reports_the_same_kinds(shared_rig, key, behind):
    start = {**MESSAGE, "content": [], "stop_reason": None, "usage": {**ANTHROPIC_USAGE, "output_tokens": 1}}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi there"}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 6}}
    behind.says(
        events=sse(
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            text,
            text,
            {"type": "content_block_stop", "index": 0},
            end,
            {"type": "message_stop"},
        )
    )
    pieces = list(
        call(
            shared_rig,
            key,
            "lite-claude",
            max_tokens=50,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(one.choices[0].delta.content or "" for one in pieces if one.choices) == "hi therehi there"
    assert pieces[-1].usage.prompt_tokens == 20
    [event] = shared_rig.events(key, 1)
    assert (event.status, event.is_exact, event.is_stream) == ("ok", True, True)
    assert event.usage == {"input": 12, "cache_read": 5, "cache_write": 3, "output": 6}


def test_a_stream_passes_as_it_comes(shared_rig, key, behind):
    end = {**chunk(), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    whole = [chunk(), end, {**chunk(), "choices": [], "usage": USAGE}, b"data: [DONE]\n\n"]
    behind.says(events=whole)
    list(call(shared_rig, key, stream=True))
    behind.says(events=[chunk(), 1.5, *whole])
    stream = call(shared_rig, key, stream=True)
    next(iter(stream))
    first_at = time.monotonic()
    # The client did not ask for usage.
    assert all(piece.choices for piece in stream)
    assert time.monotonic() - first_at > 0.5
    for event in shared_rig.events(key, 2):
        assert (event.usage, event.is_exact) == ({"input": 12, "output": 6}, True)


def test_tools_cached_tokens_and_vectors_pass(shared_rig, key, behind):
    asked = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    choice = {
        "index": 0,
        "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": None, "tool_calls": [asked]},
    }
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}
    behind.says(plain(choices=[choice], usage=usage))
    answer = call(shared_rig, key, tools=[TOOL])
    assert answer.choices[0].message.tool_calls[0].function.name == "look"
    assert behind.asked[-1][1]["tools"] == [TOOL]
    vector = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
    numbers = {"prompt_tokens": 7, "total_tokens": 7}
    behind.says({"object": "list", "model": "x", "data": [vector], "usage": numbers})
    client = shared_rig.client(key)
    found = client.embeddings.create(model="lite-open", input="hello there", encoding_format="float")
    assert found.data[0].embedding == [0.5, 0.25]
    chat, embedding = shared_rig.events(key, 2)
    assert chat.usage == {"input": 8, "cache_read": 4, "output": 6}
    assert embedding.usage == {"input": 7}


@pytest.mark.parametrize(
    ("path", "asked", "said", "usage", "is_exact"),
    [
        ("completions", {"model": "lite-text", "prompt": "hi"}, completion(" once"), {"input": 5, "output": 4}, True),
        (
            "responses", {"model": "lite-open", "input": "hi"}, response(ITEM),
            {"input": 32, "cache_read": 8, "output": 5, "reasoning": 20}, True,
        ),
        ("images/generations", {"model": "lite-image", **IMAGE}, DRAWN, {"image_output_1792x1024": 1}, True),
        (
            "images/generations", {"model": "lite-image", **IMAGE},
            DRAWN | {"usage": {"input_tokens": 9, "output_tokens": 272, "total_tokens": 281}},
            {"input": 9, "image": 272}, True,
        ),
        ("audio/speech", {"model": "lite-voice", **SPEECH}, b"\xff\xf3sound", {"character": 14}, True),
        ("moderations", {"model": "lite-judge", **MODERATION}, JUDGED, {"input": 10}, False),
        ("rerank", {"model": "lite-rank", **RERANK}, RANKED, {"search": 1}, False),
        ("rerank", {"model": "lite-rank", **RERANK}, RANKED | {"usage": {"total_tokens": 7}}, {"input": 7}, True),
    ],
)  # fmt: skip
def test_every_other_endpoint_passes_through_it_and_is_counted_in_its_kinds(
    shared_rig, key, behind, path, asked, said, usage, is_exact
):
    behind.says(said, headers=MP3 if isinstance(said, bytes) else None)
    headers = {"authorization": f"Bearer {key}"}
    answer = requests.post(f"{shared_rig.gateway.url}/v1/{path}", json=asked, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    assert "127.0.0.1" not in answer.text
    [event] = shared_rig.events(key, 1)
    assert (event.usage, event.is_exact) == (usage, is_exact)


def test_a_form_passes_through_it_too(shared_rig, key, behind):
    behind.says({"text": "Hello you"})
    client = shared_rig.client(key)
    words = client.audio.transcriptions.create(model="lite-ear", file=("a.wav", SOUND)).text
    assert words == "Hello you"
    assert SOUND in behind.asked[-1][1]
    [event] = shared_rig.events(key, 1)
    assert (event.usage, event.is_exact) == ({"audio_input_seconds": 3000}, True)


def test_anthropics_client_reaches_a_model_behind_it(shared_rig, key, behind):
    client = anthropic.Anthropic(base_url=shared_rig.gateway.url, api_key=key, max_retries=0)
    answer = client.messages.create(model="lite-open", max_tokens=9, messages=MESSAGES)
    assert (answer.content[0].text, answer.usage.output_tokens) == ("hi there friend", 6)
    [event] = shared_rig.events(key, 1)
    assert (event.usage, event.is_exact) == ({"input": 12, "output": 6}, True)


@pytest.mark.parametrize(
    ("status", "raised"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_errors_are_told_without_names_of_what_is_behind(shared_rig, key, behind, status, raised):
    behind.says({"error": {"message": "the context is too long", "type": "x"}}, status=status)
    with pytest.raises(raised) as told:
        call(shared_rig, key)
    text = str(told.value.body) + str(dict(told.value.response.headers))
    for name in (str(behind.port), "127.0.0.1", MASTER_KEY, "sk-behind"):
        assert name not in text
    [event] = shared_rig.events(key, 1)
    assert event.status == "error"


def test_a_credential_that_litellm_refuses_is_our_fault_and_shown_to_operators(
    shared_rig, key, litellm, behind
):
    rig = shared_rig
    rig.routes.append(routed(rig, litellm, "lite-open", secret="sk-" + "0" * 32, model="locked"))
    locked = rig.new_key(models=["locked"])
    with pytest.raises(openai.InternalServerError):
        call(rig, locked, "locked")
    assert behind.asked == []
    assert rig.gateway.metric(
        f'llm_backend_account_refused_total{{backend="lite-open-at-{litellm.port}-0000"'
    )


def test_its_models_are_listed_and_a_wrong_key_is_named(litellm):
    networks = read_networks(NETWORKS)
    report = try_provider(Upstream(f"{litellm.url}/v1", "litellm", MASTER_KEY), networks)
    assert {listed.name for listed in report.models} == set(NAMES)
    with pytest.raises(ProviderFault) as fault:
        try_provider(Upstream(f"{litellm.url}/v1", "litellm", "sk-" + "0" * 32), networks)
    # Without a database LiteLLM cannot look up another key, and says so with 400.
    assert fault.value.code == "credential", fault.value.message
