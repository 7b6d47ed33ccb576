"""Providers are addressed as their own clients address them."""

import json

import anthropic
import httpx2
import openai
import pytest

from deployments.providers.dialects import DIALECTS, key_url_of, models_url_of, url_of

KEY = "sk-of-a-test"
VERSION = "2025-04-01-preview"


class Wire(httpx2.BaseTransport):
    """Keeps what a client would have sent."""

    def handle_request(self, request):
        self.request = request
        return httpx2.Response(
            400, json={"error": {"message": "only looked at", "type": "invalid_request_error"}}
        )


def sent_by(make, call):
    wire = Wire()
    with pytest.raises((openai.BadRequestError, anthropic.BadRequestError)):
        call(make(httpx2.Client(transport=wire)))
    return wire.request


def azure(http):
    return openai.AzureOpenAI(
        api_key=KEY, api_version=VERSION, azure_endpoint="https://lab.openai.azure.com", http_client=http
    )


def openai_at(base_url):
    return lambda http: openai.OpenAI(api_key=KEY, base_url=base_url, http_client=http)


def chat(client):
    client.chat.completions.create(model="gpt 4o/eu", messages=[{"role": "user", "content": "hi"}])


CALLS = {
    "chat": chat,
    "completions": lambda client: client.completions.create(model="gpt 4o/eu", prompt="hi"),
    "embeddings": lambda client: client.embeddings.create(model="gpt 4o/eu", input="hi"),
    "speech": lambda client: client.audio.speech.create(model="gpt 4o/eu", input="hi", voice="alloy"),
    "images": lambda client: client.images.generate(model="gpt 4o/eu", prompt="hi"),
    "transcriptions": lambda client: client.audio.transcriptions.create(
        model="gpt 4o/eu", file=("a.wav", b"RIFF")
    ),
}


@pytest.mark.parametrize("endpoint", [name for name in CALLS if name != "transcriptions"])
def test_azure_deployments_are_addressed_as_its_client_does(endpoint):
    request = sent_by(azure, CALLS[endpoint])
    url = url_of(
        DIALECTS["azure"],
        "https://lab.openai.azure.com/openai",
        endpoint,
        model="gpt 4o/eu",
        version=VERSION,
    )
    assert url == str(request.url)
    name, value = DIALECTS["azure"].auth(KEY)
    assert request.headers[name] == value


def test_azure_has_a_stable_version_if_none_is_named():
    url = url_of(DIALECTS["azure"], "https://lab.openai.azure.com/openai/", "chat", model="gpt-4o")
    assert url == (
        "https://lab.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    )


@pytest.mark.parametrize("endpoint", CALLS)
@pytest.mark.parametrize(
    ("slug", "base_url"),
    [
        (one.slug, one.base_url.replace("{resource}", "lab") or "https://llm.lab.example/v1")
        for one in DIALECTS.values()
        if one.speech == "openai" and not one.query
    ],
)
def test_openai_surfaces_are_addressed_as_openais_client_does(slug, base_url, endpoint):
    if endpoint not in DIALECTS[slug].paths:
        with pytest.raises(KeyError):
            url_of(DIALECTS[slug], base_url, endpoint)
        return
    request = sent_by(openai_at(base_url), CALLS[endpoint])
    assert url_of(DIALECTS[slug], base_url, endpoint, model="gpt 4o/eu") == str(request.url)
    if DIALECTS[slug].auth_header == "authorization":
        assert DIALECTS[slug].auth(KEY) == ("authorization", request.headers["authorization"])


def test_anthropic_is_addressed_as_its_client_does():
    def make(http):
        return anthropic.Anthropic(api_key=KEY, base_url="https://api.anthropic.com", http_client=http)

    messages = [{"role": "user", "content": "hi"}]
    request = sent_by(
        make, lambda client: client.messages.create(model="claude", max_tokens=1, messages=messages)
    )
    own = DIALECTS["anthropic"]
    assert url_of(own, own.base_url, "messages") == str(request.url)
    # Its version decides which fields a call may have, so it is not the client's of today.
    assert own.headers == {"anthropic-version": "2023-06-01"}
    request = sent_by(make, lambda client: client.messages.count_tokens(model="claude", messages=messages))
    assert url_of(own, own.base_url, "count_tokens") == str(request.url)
    assert own.auth(KEY) == ("x-api-key", KEY)


def test_foundrys_client_calls_the_same_paths_and_key_header():
    def make(http):
        return anthropic.AnthropicFoundry(api_key=KEY, resource="lab", http_client=http)

    messages = [{"role": "user", "content": "hi"}]
    request = sent_by(
        make, lambda client: client.messages.create(model="claude", max_tokens=1, messages=messages)
    )
    own = DIALECTS["anthropic"]
    assert url_of(own, "https://lab.services.ai.azure.com/anthropic/v1", "messages") == str(request.url)
    assert request.headers[own.auth_header] == KEY


@pytest.mark.parametrize(
    ("slug", "base_url", "expected"),
    [
        ("openai", "https://api.openai.com/v1/", "https://api.openai.com/v1/models"),
        ("azure", "https://lab.openai.azure.com/openai",
         "https://lab.openai.azure.com/openai/models?api-version=2024-10-21"),
        ("azure_v1", "https://lab.openai.azure.com/openai/v1", "https://lab.openai.azure.com/openai/v1/models"),
        ("anthropic", "https://api.anthropic.com/v1", "https://api.anthropic.com/v1/models?limit=1000"),
        ("gemini", DIALECTS["gemini"].base_url,
         "https://generativelanguage.googleapis.com/v1beta/openai/models"),
        ("perplexity", "https://api.perplexity.ai", ""),
        ("openai_compatible", "http://10.0.0.7:8000/v1?tenant=a", "http://10.0.0.7:8000/v1/models?tenant=a"),
    ],
)  # fmt: skip
def test_the_list_of_models_has_a_url(slug, base_url, expected):
    assert models_url_of(DIALECTS[slug], base_url) == expected


def test_a_public_list_proves_nothing_about_a_key_so_another_url_does():
    """OpenRouter lists its models for everybody."""
    public = [one for one in DIALECTS.values() if one.is_list_public]
    assert [one.slug for one in public] == ["openrouter"]
    assert key_url_of(public[0], public[0].base_url) == "https://openrouter.ai/api/v1/key"
    assert key_url_of(DIALECTS["openai"], "https://api.openai.com/v1") == ""


def test_geminis_listed_names_are_called_without_their_prefix():
    assert DIALECTS["gemini"].model_name("models/gemini-3-flash") == "gemini-3-flash"
    assert DIALECTS["openai"].model_name("models/odd") == "models/odd"


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_no_field_is_renamed_to_one_that_is_not_taken(dialect):
    assert not set(dialect.renamed.values()) & dialect.not_taken
    assert not set(dialect.renamed) & dialect.not_taken
    assert not set(dialect.renamed.values()) & set(dialect.renamed)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_stream_options_are_not_taken_exactly_where_usage_comes_unasked(dialect):
    assert ("stream_options" in dialect.not_taken) is (dialect.usage_in_streams == "unasked")


def test_a_dialect_is_plain_data():
    json.dumps({slug: one.label for slug, one in DIALECTS.items()})
    assert all(one.slug == slug for slug, one in DIALECTS.items())
    assert all(one.base_url == "" or one.base_url.startswith("https://") for one in DIALECTS.values())
