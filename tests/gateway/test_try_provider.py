"""`manage.py try_provider`: what holds of a provider, what does not, and never its credential."""

import io
import json
from datetime import timedelta

import pytest
from aiohttp import web
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from deployments.models import ProviderCredential
from deployments.provider_credentials import clean_credential, row_of
from tests.factories import ProviderFactory, allow_loopback, credential_of
from tests.gateway.scripted_backend import ScriptedBackend, chunk, plain
from tests.secret_scanner import remember

pytestmark = pytest.mark.django_db
KEY = "sk-provider-on-trial-8b1c77e2d0"
remember(KEY)
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
ARGUMENTS = '{"city":"Oslo"}'
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}


class Provider(ScriptedBackend):
    """Answers as OpenAI does, unless a test bends it."""

    model, is_metered, repeats_key, ends = "gpt-real", True, False, True

    def refused(self, status, code, message):
        return web.json_response({"error": {"message": message, "type": code, "code": code}}, status=status)

    async def _serve(self, request):
        call = await request.json()
        self.asked.append(({name.lower(): value for name, value in request.headers.items()}, call))
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return self.refused(401, "invalid_api_key", "Incorrect API key provided.")
        if request.path.endswith("embeddings"):
            vector = {"object": "embedding", "index": 0, "embedding": [0.5] * 8}
            usage = {"prompt_tokens": 2, "total_tokens": 2}
            return web.json_response({"object": "list", "model": "e", "data": [vector], "usage": usage})
        if call["model"] != self.model:
            return self.refused(404, "model_not_found", "The model does not exist.")
        if call["messages"][0]["role"] == "nobody":
            return self.refused(400, "invalid_value", "'nobody' is not one of 'system', 'user'.")
        asks_tool = "tools" in call and call["messages"][-1]["role"] == "user"
        text = f"ready {KEY}" if self.repeats_key else "ready and done"
        usage = {"usage": USAGE if self.is_metered else None}
        if not call.get("stream"):
            said = {"role": "assistant", "content": None if asks_tool else text}
            said |= {"tool_calls": [CALL]} if asks_tool else {}
            choice = {"index": 0, "message": said, "finish_reason": "tool_calls" if asks_tool else "stop"}
            return web.json_response(plain(choices=[choice], **usage))
        delta = {"tool_calls": [{"index": 0, **CALL}]} if asks_tool else {"content": text}
        reason = "tool_calls" if asks_tool else "stop"
        chunks = [chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}])]
        if self.ends:
            chunks.append(chunk(choices=[{"index": 0, "delta": {}, "finish_reason": reason}]))
            chunks.append(chunk(choices=[], **usage))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for one in chunks:
            await response.write(b"data: " + json.dumps(one).encode() + b"\n\n")
        if self.ends:
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


@pytest.fixture
def provider():
    allow_loopback()
    backend = Provider("real")
    credential_of(
        ProviderFactory(name="real", base_url=f"http://127.0.0.1:{backend.port}/v1", requests_per_minute=1),
        KEY,
    )
    yield backend
    backend.close()


def tried(*options):
    """What the command prints, its error included; never the credential."""
    out = io.StringIO()
    try:
        call_command("try_provider", "real", *options, stdout=out)
    except CommandError as error:
        out.write(str(error))
    text = out.getvalue()
    assert KEY not in text
    return text


def test_everything_holds_of_a_provider_that_does_as_openai(provider):
    text = tried("--model", "gpt-real", "--embedding-model", "e")
    for line in (
        "held    chat: ",
        "exact usage: 9 input, 4 output",
        "held    stream: 2 events in",
        "held    tools: weather('Oslo'), and its result was taken;",
        "held    tools in a stream: weather('Oslo')",
        "held    Messages API, streamed: exact usage",
        "held    embeddings: 8 numbers; exact usage: 2 input",
        "held    wrong credential: recognized as ours; the client learns nothing of it",
        "held    wrong model: the client gets status 502, backend_failed",
        "held    wrong call: the client gets status 400",
        "held    credential: in no answer, and in no file or log of the gateway",
        "Everything held.",
    ):
        assert line in text
    sent = [headers["authorization"] for headers, _ in provider.asked]
    assert sent.count("Bearer wrong-on-purpose-0123456789abcdef") == 1
    assert len(sent) <= 14


def test_it_says_what_does_not_hold(provider):
    provider.is_metered = False
    provider.repeats_key = True
    text = tried("--model", "gpt-real")
    assert "FAILED  chat: usage is estimated, since the provider's numbers are missing or impossible" in text
    assert "FAILED  stream: usage is estimated" in text
    assert "skipped embeddings: name a model with --embedding-model" in text
    assert "FAILED  credential: an answer has it" in text
    assert "of the checks did not hold." in text


def test_while_a_credential_is_rotated_out_the_older_one_is_not_printed(provider, monkeypatch):
    row = ProviderCredential.objects.get()
    row.valid_until = now() + timedelta(hours=1)
    row.save()
    # The new one is not on this machine, so the gateway calls with the one before.
    row_of(row.provider, clean_credential("environment", "", "PROVIDER_NOT_HERE")).save()
    monkeypatch.setitem(CALL["function"], "arguments", json.dumps({"city": KEY}))
    provider.repeats_key = True
    text = tried("--model", "gpt-real")
    assert "weather('[…]')" in text
    assert "FAILED  credential: an answer has it" in text


def test_a_stream_without_an_end_and_a_model_that_is_not_there(provider):
    provider.ends = False
    assert "FAILED  stream: the stream has no end" in tried("--model", "gpt-real")
    text = tried("--model", "gpt-other")
    assert "FAILED  chat: status 502, backend_failed" in text
    assert "held    wrong credential" in text


def test_a_provider_that_is_not_there_is_named(db):
    ProviderFactory(name="other")
    with pytest.raises(CommandError, match=r"There is no provider real. There are: other\."):
        call_command("try_provider", "real", "--model", "m")
