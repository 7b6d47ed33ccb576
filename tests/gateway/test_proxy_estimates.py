"""What a call may use is reserved from what its body really holds, whatever labels the client puts on it."""

import orjson
import pytest

from gateway.contract import RouteConfig
from gateway.proxy.body import Body
from gateway.proxy.index import Route
from gateway.proxy.parsed_requests import parse_request
from gateway.proxy.tokens import estimate_prompt as estimate_of

LONG = "word " * 4000  # about 5,000 tokens


def estimate_prompt(body, mode):
    return estimate_of(Body(orjson.dumps(body)), mode)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "type": "file", "content": LONG}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}, "text": LONG}]}]},
        {"messages": [{"role": "user", "content": "x"}], "functions": [{"name": "f", "description": LONG}]},
        {"messages": [{"role": "user", "content": "x"}], "documents": [{"text": LONG}]},
        {"messages": [{"role": "user", "content": "x"}], "prediction": {"type": "content", "content": LONG}},
    ],
)
def test_text_counts_wherever_a_backend_may_read_it(body):
    assert estimate_prompt(body, "chat") >= 5000


def test_a_picture_counts_as_a_picture_and_not_by_its_bytes():
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    assert estimate_prompt({"messages": [{"role": "user", "content": [part]}]}, "chat") < 1100


@pytest.mark.parametrize("texts", [[[LONG]], [1, LONG], [[1, LONG]]])
def test_token_ids_and_texts_may_be_mixed(texts):
    assert estimate_prompt({"input": texts}, "embedding") >= 5000
    assert estimate_prompt({"input": [[1, 2, 3], [4]]}, "embedding") == 4


def test_of_two_maxima_the_larger_is_reserved():
    """Backends differ in which one they obey."""
    body = b'{"model":"m","messages":[{"role":"user"}],"max_completion_tokens":1,"max_tokens":9000}'
    route = Route(RouteConfig(model="m", modes=["chat"]), ())
    assert parse_request(body, "chat").estimate(route, None, 1024).output_tokens == 9000
