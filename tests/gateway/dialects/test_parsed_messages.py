"""The gateway reads of a Messages call what it reads of a chat call, and its guards see its pictures and files."""

import base64
import json

import pytest

from gateway.proxy.body import Body
from gateway.proxy.dialects.anthropic_client.parsed import parse_messages
from gateway.proxy.errors import Refusal
from gateway.proxy.media import check_media

HELLO = [{"role": "user", "content": "hello"}]
PICTURE = base64.b64encode(b"\x89PNG" * 75_000).decode()


def call(messages=HELLO, **fields):
    return json.dumps({"model": "aurora", "max_tokens": 50, "messages": messages, **fields}).encode()


def image(**source):
    return [{"role": "user", "content": [{"type": "image", "source": source}]}]


def document(**source):
    return [{"role": "user", "content": [{"type": "document", "source": source}]}]


def test_what_limits_and_billing_need():
    parsed = parse_messages(call(stream=True, thinking={"type": "adaptive"}))
    assert (parsed.model, parsed.mode, parsed.is_stream, parsed.wants_usage) == ("aurora", "chat", True, True)
    assert (parsed.may_think, parsed.may_bring_more, parsed.choices) == (True, False, 1)
    assert parsed.named_output == 50
    assert not parse_messages(call()).is_stream
    assert not parse_messages(call()).may_think


def test_a_picture_or_a_pdf_is_estimated_by_its_kind_and_the_words_of_a_document_by_their_size():
    small = parse_messages(call()).input_estimate
    picture = parse_messages(call(image(type="base64", media_type="image/png", data=PICTURE)))
    assert 1000 < picture.input_estimate < small + 1100
    assert picture.may_bring_more
    words = parse_messages(call(document(type="text", media_type="text/plain", data="many words " * 1000)))
    assert 2700 < words.input_estimate < 2900
    assert parse_messages(call(system="be kind " * 500)).input_estimate > small + 900


@pytest.mark.parametrize(
    ("name", "value"),
    [("model", None), ("model", 7), ("messages", []), ("messages", ["a"]), ("messages", "a"), ("max_tokens", -1),
     ("max_tokens", None), ("max_tokens", True), ("stream", 1)],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_named(name, value):
    with pytest.raises(Refusal) as caught:
        parse_messages(call(**{name: value}) if name != "messages" else call(value))
    assert (caught.value.status, caught.value.param) == (400, name)


@pytest.mark.parametrize(
    "messages",
    [
        image(type="base64", media_type="image/png", data=PICTURE),
        image(type="url", url="https://pictures.example/a.png"),
        document(type="base64", media_type="application/pdf", data=PICTURE),
        document(type="text", media_type="text/plain", data="see /etc/passwd and http://10.0.0.7/"),
    ],
)
def test_the_guard_of_media_lets_the_forms_of_messages_pass(messages):
    check_media(Body(call(messages)), {"pictures.example"})


@pytest.mark.parametrize(
    "messages",
    [
        image(type="url", url="http://169.254.169.254/latest"),
        image(type="file", file_id="file_1"),
        document(type="url", url="https://elsewhere.example/a.pdf"),
        document(type="content", content=[{"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}]),
        [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": image(
            type="url", url="http://10.0.0.7/a.png")[0]["content"]}]}],
    ],
)  # fmt: skip
def test_and_refuses_what_a_server_would_fetch_from_elsewhere(messages):
    with pytest.raises(Refusal) as caught:
        check_media(Body(call(messages)), {"pictures.example"})
    assert caught.value.status == 400
