"""A path that a proxy and the gateway could read differently is refused."""

import socket

import pytest

from tests.gateway.proxy_fixtures import MODEL

BODY = b'{"model":"' + MODEL.encode() + b'","messages":[{"role":"user","content":"hi"}],"max_tokens":2}'


def raw_call(rig, path, secret):
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n"
        f"content-length: {len(BODY)}\r\nconnection: close\r\n\r\n"
    )
    return raw_answer(rig, head.encode("latin-1") + BODY)


def raw_answer(rig, sent):
    with socket.create_connection(("127.0.0.1", rig.gateway.port)) as connection:
        connection.settimeout(10)
        connection.sendall(sent)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return int(answer.split(b" ", 2)[1]), answer


@pytest.fixture(scope="module")
def secret(shared_rig):
    return shared_rig.new_key()


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
def test_an_unclear_path_is_refused(shared_rig, secret, path):
    status, answer = raw_call(shared_rig, path, secret)
    assert status in (400, 404), answer
    assert b"choices" not in answer


@pytest.mark.parametrize(
    "headers",
    [
        "authorization: Bearer other\r\n", "x-api-key: a\r\nX-Api-Key: b\r\n", "x-tenant-id: a\r\nx-tenant-id: b\r\n",
        "x-project-id: a\r\nX-Project-ID: b\r\n", "x-trace-id: a\r\nx-trace-id: b\r\n",
        "Host: elsewhere\r\n",
        "x-routing-strategy: canary\r\nx-routing-strategy: stable\r\n",
    ],
)  # fmt: skip
def test_a_head_that_two_readers_read_differently_is_refused(shared_rig, secret, headers):
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{headers}authorization: Bearer {secret}\r\n"
        f"content-length: {len(BODY)}\r\nconnection: close\r\n\r\n"
    )
    assert raw_answer(shared_rig, head.encode() + BODY)[0] == 400


def test_only_one_transfer_encoding_is_read(shared_rig, secret):
    for encoding, expected in (("gzip, chunked", 400), ("identity", 400), ("Chunked", 200), ("chunked", 200)):
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n"
            f"transfer-encoding: {encoding}\r\nconnection: close\r\n\r\n"
        )
        sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
        assert raw_answer(shared_rig, head.encode() + sent)[0] == expected, encoding


def test_plain_paths_and_queries_are_served(shared_rig, secret):
    for path in ("/v1/chat/completions", "/v1/chat/completions?a=b/../c;d"):
        assert raw_call(shared_rig, path, secret)[0] == 200
