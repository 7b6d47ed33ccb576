"""Calls that repeat each other on one connection: each is checked as if it were the first."""

import json
import socket
import time

import pytest
from msgspec.structs import replace

from tests.gateway.proxy_fixtures import MODEL, limit

BODY = json.dumps(
    {"model": MODEL, "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
).encode()


class Client:
    """Sends each call in one piece over one connection."""

    def __init__(self, rig):
        self._socket = socket.create_connection(("127.0.0.1", rig.gateway.port))
        self._file = self._socket.makefile("rb")

    def call(self, secret, body=BODY):
        """The status of the answer, and its body."""
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body)
        status = int(self._file.readline().split()[1])
        length = 0
        while line := self._file.readline().strip():
            name, _, value = line.partition(b": ")
            length = int(value) if name == b"content-length" else length
        return status, json.loads(self._file.read(length))

    def close(self):
        self._file.close()
        self._socket.close()


@pytest.fixture
def client(configured_rig):
    one = Client(configured_rig)
    yield one
    one.close()


def repeat(client, secret, times=3):
    assert [client.call(secret)[0] for _ in range(times)] == [200] * times


def code(answer):
    return answer[0], answer[1]["error"]["code"]


def change(rig, secret, **fields):
    """Change what the configuration says of a key."""
    key_id = rig.key_id(secret)
    rig.keys = [replace(key, **fields) if key.key_id == key_id else key for key in rig.keys]
    rig.publish()


def test_a_key_that_is_revoked_is_refused_at_the_next_call_and_comes_back_with_the_key(
    configured_rig, client
):
    secret = configured_rig.new_key()
    repeat(client, secret)
    keys, configured_rig.keys = configured_rig.keys, []
    configured_rig.publish()
    assert code(client.call(secret)) == (401, "invalid_api_key")
    configured_rig.keys = keys
    configured_rig.publish()
    # A wrong key may cost its connection.
    repeat(Client(configured_rig), secret)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"networks": ["10.0.0.0/8"]}, (401, "ip_not_authorized")),
        ({"endpoints": ["/v1/embeddings"]}, (403, "endpoint_not_allowed")),
        ({"models": []}, (404, "model_not_found")),
        ({"grant_ends": {MODEL: 1}}, (404, "model_not_found")),
        ({"regions": ["nowhere"]}, (404, "model_not_found")),
        ({"limits": [limit("requests_per_minute", 0)]}, (429, "rate_limit_exceeded")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_changes_for_a_key_holds_at_its_next_call(configured_rig, client, fields, refusal):
    secret = configured_rig.new_key()
    repeat(client, secret)
    change(configured_rig, secret, **fields)
    assert code(client.call(secret)) == refusal


@pytest.mark.parametrize("ending", ["expires_at", "grant_ends"])
def test_a_key_and_a_grant_end_between_two_calls_without_a_change(configured_rig, client, ending):
    ends_at = int(time.time()) + 3
    fields = {"expires_at": ends_at} if ending == "expires_at" else {"grant_ends": {MODEL: ends_at}}
    secret = configured_rig.new_key(**fields)
    repeat(client, secret)
    time.sleep(max(0, ends_at - time.time()) + 0.01)
    assert client.call(secret)[0] == (401 if ending == "expires_at" else 404)


def test_another_key_on_the_same_connection_is_its_own(configured_rig, client):
    mine = configured_rig.new_key(limits=[limit("requests_per_minute", 5)])
    theirs = configured_rig.new_key()
    repeat(client, mine, 5)
    repeat(client, theirs, 3)
    assert client.call(mine)[0] == 429
    repeat(client, theirs, 3)
    assert len(configured_rig.events(mine, 5)) == 5
    assert len(configured_rig.events(theirs, 6)) == 6


def test_a_limit_speaks_before_whatever_else_is_wrong_with_a_small_call(configured_rig, client):
    secret = configured_rig.new_key(limits=[limit("requests_per_minute", 3)])
    repeat(client, secret)
    for body in (b"{", b"{}", BODY.replace(MODEL.encode(), b"unknown")):
        assert client.call(secret, body)[0] == 429
    free = configured_rig.new_key()
    assert [client.call(free, body)[0] for body in (b"{", b"{}")] == [400, 400]
