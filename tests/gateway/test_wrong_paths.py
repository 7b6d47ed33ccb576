"""Whoever calls a wrong path or method learns the right one, in the shape of OpenAI's errors; nothing is passed on."""

import pytest
import requests

from gateway.proxy.wrong_paths import unknown_path
from tests.gateway.proxy_fixtures import MODEL

CALL = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}


@pytest.fixture(scope="module")
def secret(shared_rig):
    return shared_rig.new_key()


def send(rig, secret, method, path, **options):
    headers = {"authorization": f"Bearer {secret}"}
    return requests.request(method, f"{rig.gateway.url}{path}", headers=headers, timeout=30, **options)


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/openai/deployments/gpt/chat/completions", "/v1/chat/completions"),
        ("/api/v1/embeddings", "/v1/embeddings"),
        ("/embeddings/", "/v1/embeddings"),
        ("/messages", "/v1/messages"),
        ("/v1/v1/messages", "/v1/messages"),
        ("/messages/count_tokens", "/v1/messages/count_tokens"),
    ],
)
def test_a_call_to_a_wrong_path_names_the_right_one(shared_rig, secret, path, right):
    before = shared_rig.engine.seen()
    answer = send(shared_rig, secret, "POST", path, json=CALL)
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["code"] == "unknown_url"
    assert error["message"].endswith(f" {right}.")
    assert shared_rig.engine.seen() == before


def test_below_messages_the_advice_has_the_shape_of_that_api(shared_rig, secret):
    answer = send(shared_rig, secret, "POST", "/v1/messages/", json=CALL)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
    assert answer.json()["error"]["message"].endswith(" /v1/messages.")


@pytest.mark.parametrize(
    ("path", "right"), [("/models", "/v1/models"), ("/models/aurora-chat", "/v1/models/aurora-chat")]
)
def test_models_without_the_version_are_found_at_the_right_path(shared_rig, secret, path, right):
    assert send(shared_rig, secret, "GET", path).json()["error"]["message"].endswith(f"Use {right}.")


@pytest.mark.parametrize(
    "path",
    [
        "/", "/v1", "/v1/", "/v1/threads", "/v2/chat", "/completion", "/v1/responses/compact",
        "/v1/responses/input_tokens", "/v1/responses/resp_1/cancel", "/v1/responses/resp_1/input_items",
    ],
)  # fmt: skip
def test_a_path_that_resembles_none_gets_the_list_of_all(shared_rig, secret, path):
    answer = send(shared_rig, secret, "GET", path)
    assert answer.status_code == 404
    assert "This gateway knows /v1/chat/completions, " in answer.json()["error"]["message"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"])
def test_a_wrong_method_names_the_right_one(shared_rig, secret, method, path):
    answer = send(shared_rig, secret, method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert (answer.content == b"") == (method == "HEAD")


@pytest.mark.parametrize("path", ["/v1/models", f"/v1/models/{MODEL}", "/healthz", "/readyz", "/metrics"])
def test_head_answers_as_get_without_a_body(shared_rig, secret, path):
    asked = send(shared_rig, secret, "HEAD", path)
    assert (asked.status_code, asked.content) == (200, b"")
    assert int(asked.headers["content-length"]) > 0
    refused = send(shared_rig, secret, "POST", path)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_what_follows_a_head_request_on_the_same_connection_is_understood(shared_rig, secret):
    with requests.Session() as session:
        session.headers["authorization"] = f"Bearer {secret}"
        for path in ("/v1/models", "/v1/chat/completions", "/nowhere"):
            session.head(f"{shared_rig.gateway.url}{path}", timeout=30)
            assert session.get(f"{shared_rig.gateway.url}/v1/models", timeout=30).status_code == 200


def test_a_long_path_is_not_repeated_whole():
    assert len(str(unknown_path("GET", "/models/" + "x" * 9000, ["/v1/embeddings"]))) < 800
