"""A chat call reaches a provider under the names that it knows, and without what it refuses."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.providers.dialects import DIALECTS
from gateway.proxy.body import Body
from gateway.proxy.dialects.surfaces import changes_for, fitted, must_ask_for_usage
from gateway.proxy.errors import Refusal
from gateway.proxy.names import Names
from gateway.proxy.whole_answers import read_answer
from tests.gateway.targets import address

HELLO = [{"role": "user", "content": "hello"}]


def sent(slug, raw):
    """The bytes for this provider; the parsed form agrees with them."""
    body = Body(raw)
    changed = body.encode(changes_for(body, DIALECTS[slug]))
    assert json.loads(changed) == fitted(json.loads(raw), DIALECTS[slug])
    return changed


def call(**fields):
    return json.dumps({"model": "m", "messages": HELLO, **fields}).encode()


def test_a_call_that_fits_keeps_its_bytes():
    raw = b'{ "model":"m" , "messages":[{"role":"user","content":"h\\u00ef"}],"seed":12345678901234567890123, "n" : 1 }'
    assert sent("vllm", raw) is raw or sent("vllm", raw) == raw


@pytest.mark.parametrize(
    ("slug", "fields", "expected"),
    [
        ("openai", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("deepseek", {"max_completion_tokens": 5}, {"max_tokens": 5}),
        ("mistral", {"max_completion_tokens": 5, "seed": 7}, {"max_tokens": 5, "random_seed": 7}),
        (
            "mistral",
            {"stream": True, "stream_options": {"include_usage": True}, "user": "u"},
            {"stream": True},
        ),
        ("mistral", {"logprobs": False, "logit_bias": {}, "top_logprobs": None, "store": False}, {}),
        ("openai", {"top_k": None, "temperature": 0.5}, {"temperature": 0.5}),
        ("gemini", {"frequency_penalty": 0}, {}),
    ],
)
def test_names_and_what_asks_for_nothing(slug, fields, expected):
    assert json.loads(sent(slug, call(**fields))) == {"model": "m", "messages": HELLO, **expected}


def test_of_two_names_for_one_thing_the_providers_own_is_kept():
    body = Body(call(max_tokens=5, max_completion_tokens=9))
    changed = json.loads(body.encode(changes_for(body, DIALECTS["openai"])))
    assert changed == {"model": "m", "messages": HELLO, "max_completion_tokens": 9}
    # The next provider gets the client's own call again.
    assert body.encode(changes_for(body, DIALECTS["vllm"])) == call(max_tokens=5, max_completion_tokens=9)


@pytest.mark.parametrize(
    ("slug", "name", "value"),
    [
        ("openai", "top_k", 4), ("azure", "cache_salt", "s"), ("mistral", "logprobs", True), ("mistral", "store", True),
        ("gemini", "frequency_penalty", 0.5), ("groq", "logit_bias", {"5": 1}),
    ],
)  # fmt: skip
def test_what_the_provider_refuses_is_refused_by_name_before_it_is_sent(slug, name, value):
    raw = call(**{name: value})
    for refuse in (
        lambda: changes_for(Body(raw), DIALECTS[slug]),
        lambda: fitted(json.loads(raw), DIALECTS[slug]),
    ):
        with pytest.raises(Refusal, match=f"`{name}`") as caught:
            refuse()
        assert (caught.value.status, caught.value.param) == (400, name)


@given(st.binary(min_size=60, max_size=300))
def test_the_signature_of_a_call_reaches_the_client_and_counts_for_nothing(signature):
    """Gemini wants it back. Random letters may look like a name, or a place."""
    signed = base64.b64encode(signature).decode()
    function = {"name": "f", "arguments": "{}"}
    tool_call = {"id": "c", "type": "function", "function": function}
    signed_call = {**tool_call, "extra_content": {"google": {"thought_signature": signed}}}
    answers = [
        {"choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"content": None, "tool_calls": [one]}}],
         "usage": {"prompt_tokens": 9, "completion_tokens": 400, "total_tokens": 409}}
        for one in (signed_call, tool_call)
    ]  # fmt: skip
    raw = [json.dumps(one).encode() for one in answers]
    names = Names(address(id="b", url="https://api.example.com/v1", upstream_model="gemini-3"), "aurora")
    assert json.loads(names.in_answer(raw[0]))["choices"] == answers[0]["choices"]
    assert read_answer(raw[0], "chat").delivered == read_answer(raw[1], "chat").delivered


def test_usage_is_asked_for_except_where_that_is_an_error():
    assert [slug for slug, one in DIALECTS.items() if not must_ask_for_usage(one)] == ["mistral"]


FUNCTION = {"type": "function", "function": {"name": "web_search", "parameters": {"type": "object"}}}
SEARCH = {"type": "web_search"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [SEARCH]}, "tools[0].type"),
        ({"tools": [FUNCTION, {"type": "mcp", "server_url": "http://10.0.0.1"}]}, "tools[1].type"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "builtin_function", "function": {"name": "$web_search"}}]}, "tools[0].type"),
        ({"tools": [{"googleSearch": {}}]}, "tools[0].googleSearch"),
        ({"tools": [FUNCTION | {"url_context": {}}]}, "tools[0].url_context"),
        ({"tools": [{"name": "f"}]}, "tools[0]"),
        ({"tools": [7]}, "tools[0]"),
        ({"tools": [{"type": 7}]}, "tools[0].type"),
        ({"tools": SEARCH}, "tools"),
        ({"Tools": [SEARCH]}, "tools"),
        ({"search_parameters": {"mode": "auto"}}, "search_parameters"),
        ({"enable_search": True}, "enable_search"),
        ({"Enable-Search": "yes"}, "Enable-Search"),
        ({"web_search": {"a": 1}}, "web_search"),
        ({"web_search_options": {}}, "web_search_options"),
    ],
)
def test_what_a_provider_would_do_and_bill_beside_an_answer_is_refused_by_name(fields, param):
    for slug in ("litellm", "openrouter", "openai_compatible", "gemini"):
        with pytest.raises(Refusal) as refused:
            sent(slug, call(**fields))
        assert (refused.value.status, refused.value.param) == (400, param)


def test_a_tool_named_twice_is_refused_too():
    raw = call(tools=[FUNCTION]).replace(b'{"type": "function"', b'{"type": "web_search", "type": "function"')
    assert b'web_search", "type' in raw
    with pytest.raises(Refusal) as refused:
        changes_for(Body(raw), DIALECTS["litellm"])
    assert (refused.value.status, refused.value.code) == (400, "repeated_field")


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [FUNCTION, {"type": "custom", "custom": {"name": "c"}}, {"function": {"name": "f"}}]},
        {"tools": [FUNCTION | {"cache_control": {"type": "ephemeral"}, "strict": True}]},
        {"tools": []},
        {"tools": None},
        {"search_parameters": {"mode": "off"}, "enable_search": False, "web_search_options": None},
        {"search_domain_filter": ["a.example"], "research": True},
    ],
)
def test_a_clients_own_tools_and_what_asks_for_no_search_pass(fields):
    assert json.loads(sent("litellm", call(**fields))) == json.loads(call(**fields))


@pytest.mark.parametrize("slug", ["openai", "azure", "azure_v1", "perplexity"])
def test_how_models_search_that_do_nothing_else_may_be_said(slug):
    options = {"search_context_size": "low"}
    assert json.loads(sent(slug, call(web_search_options=options)))["web_search_options"] == options
    with pytest.raises(Refusal):
        sent(slug, call(tools=[SEARCH]))
