"""Anthropic's own client, in front of a chat backend behind the translation."""

import json

import anthropic
import pytest
from anthropic.types import MessageTokensCount

from gateway.proxy.dialects.anthropic_client.answer import message
from gateway.proxy.dialects.anthropic_client.errors import error_type, messages_error, refusal_body
from gateway.proxy.dialects.anthropic_client.request import (
    ChatModel,
    chat_request,
    count_answer,
    count_tokens,
)
from gateway.proxy.dialects.anthropic_client.stream import ChunksToMessages
from gateway.proxy.errors import Refusal, unavailable
from tests.gateway.dialects.anthropic_events import WHO
from tests.gateway.dialects.test_chunks_to_messages import CHUNKS, CONTENT, chunk, completion, read, stream_of
from tests.gateway.dialects.typed import require_chat_call, stand_in

HELLO = [{"role": "user", "content": "hello"}]

CLIENT_ERRORS = {
    400: anthropic.BadRequestError, 401: anthropic.AuthenticationError, 403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError, 429: anthropic.RateLimitError, 500: anthropic.InternalServerError,
}  # fmt: skip


@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 408, 409, 413, 418, 429, 500, 502, 503, 504, 529]
)
def test_errors_have_anthropics_shape(status):
    error = messages_error(status, "No.", "call")
    assert error == {
        "type": "error",
        "error": {"type": error_type(status), "message": "No."},
        "request_id": "call",
    }
    assert json.loads(refusal_body(Refusal(status, "code", "No."), "call")) == error


def client_at(url):
    return anthropic.Anthropic(api_key="sk-test", base_url=url, max_retries=0)


def gateway_over_chat(chunks=(), whole=b"", refusal=None):
    """A stand-in for the gateway: Anthropic's client in front, a chat backend's answer behind."""

    def answer(path, headers, body):
        if refusal is not None:
            return refusal.status, {"content-type": "application/json"}, [refusal_body(refusal, "call")]
        if path == "/v1/messages/count_tokens":
            content = count_answer(count_tokens(body, ChatModel("m")))
            return 200, {"content-type": "application/json"}, [content]
        assert path == "/v1/messages"
        chat = require_chat_call(json.loads(chat_request(body, ChatModel("m"))))
        if not chat.get("stream"):
            return 200, {"content-type": "application/json"}, [message(whole, WHO)]
        stream = stream_of(*chunks)
        return (
            200,
            {"content-type": "text/event-stream"},
            [read([stream[at : at + 9] for at in range(0, len(stream), 9)])[0]],
        )

    return stand_in(answer)


def test_anthropics_client_puts_a_stream_together():
    with (
        gateway_over_chat(CHUNKS) as url,
        client_at(url).messages.stream(model="aurora", max_tokens=100, messages=HELLO) as stream,
    ):
        final = stream.get_final_message()
    dumped = final.to_dict()
    # The client's reader rounds a number of that size.
    assert dumped["content"][3].pop("input")["n"] == pytest.approx(12345678901234567890123)
    expected = [dict(block) for block in CONTENT]
    del expected[3]["input"]
    assert [
        {name: value for name, value in block.items() if value is not None} for block in dumped["content"]
    ] == expected
    assert final.stop_reason == "tool_use"
    assert final.usage.input_tokens == 9
    assert final.usage.cache_read_input_tokens == 50
    assert final.usage.output_tokens == 40


def test_anthropics_client_reads_answers_counts_and_errors():
    with gateway_over_chat(whole=completion({"content": "hi there"})) as url:
        client = client_at(url)
        answer = client.messages.create(model="aurora", max_tokens=100, messages=HELLO)
        assert (answer.content[0].text, answer.stop_reason, answer.usage.output_tokens) == (
            "hi there",
            "end_turn",
            40,
        )
        size = client.messages.count_tokens(model="aurora", messages=HELLO)
        assert isinstance(size, MessageTokensCount)
        assert size.input_tokens > 0
    for status, kind in CLIENT_ERRORS.items():
        with (
            gateway_over_chat(refusal=Refusal(status, "code", "Not now.")) as url,
            pytest.raises(kind, match="Not now"),
        ):
            client_at(url).messages.create(model="aurora", max_tokens=100, messages=HELLO)
    with (
        gateway_over_chat(refusal=unavailable("Busy.", "overloaded")) as url,
        pytest.raises(anthropic.APIStatusError, match="Busy") as caught,
    ):
        client_at(url).messages.create(model="aurora", max_tokens=100, messages=HELLO)
    assert caught.value.type == "overloaded_error"


def test_anthropics_client_raises_an_error_inside_a_stream():
    error = {
        "error": {
            "message": "The model stopped.",
            "type": "server_error",
            "param": None,
            "code": "backend_failed",
        }
    }
    translator = ChunksToMessages(WHO)
    sent = translator.feed(stream_of(chunk({"content": "half"}), error))
    with (
        stand_in(lambda *_: (200, {"content-type": "text/event-stream"}, [sent])) as url,
        client_at(url).messages.stream(model="aurora", max_tokens=9, messages=HELLO) as stream,
        pytest.raises(anthropic.APIStatusError, match="The model stopped"),
    ):
        stream.until_done()
