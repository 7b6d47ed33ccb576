"""A path that a proxy and the gateway could read differently is refused."""

import socket

import pytest

from tests.gateway.proxy_fixtures import MODEL

BODY = b'{"model":"' + MODEL.encode() + b'","messages":[{"role":"user","content":"hi"}],"max_tokens":2}'


def raw_call(road, path, secret):
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n"
        f"content-length: {len(BODY)}\r\nconnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", road.gateway.port)) as connection:
        connection.settimeout(10)
        connection.sendall(head.encode("latin-1") + BODY)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return int(answer.split(b" ", 2)[1]), answer


@pytest.fixture(scope="module")
def secret(shared_road):
    return shared_road.new_key()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat%2fcompletions", "/v1/chat%2Fcompletions", "/v1%5cchat/completions", "/v1/chat%252fcompletions",
        "//v1/chat/completions", "/v1//chat/completions", "/v1/chat/completions/..", "/v1/../v1/chat/completions",
        "/v1/x/../chat/completions", "/v1/%2e%2e/v1/chat/completions", "/v1/./chat/completions",
        "/v1/%2E/chat/completions", "/v1/chat;a=b/completions", "/v1/chat/completions;x",
        "/v1/chat/completions%3bx", "/v1/chat/completions%00", "/v1/chat\\completions", "/v1/chat/completions%0a",
        "/v1/models/%2e%2e%2fmetrics", "/%6detrics%00", "/healthz;x", "/v1/chat/completions/%2e",
    ],
)  # fmt: skip
def test_an_unclear_path_is_refused(shared_road, secret, path):
    status, answer = raw_call(shared_road, path, secret)
    assert status in (400, 404), answer
    assert b"choices" not in answer


def test_plain_paths_and_queries_are_served(shared_road, secret):
    for path in ("/v1/chat/completions", "/v1/chat/completions?a=b/../c;d"):
        assert raw_call(shared_road, path, secret)[0] == 200
