"""Who may not call is refused by the head of the request, and no body costs more than it is allowed to."""

import json
import socket
import threading
import time

import openai
import pytest
import requests

from gateway.contract import SettingsConfig
from tests.gateway.proxy_fixtures import MODEL, ask, limit, wait_until
from tests.patience import overload

MIB = 1024 * 1024


def head(secret, *lines, path="/v1/chat/completions"):
    lines = [f"POST {path} HTTP/1.1", "host: x", f"authorization: Bearer {secret}", *lines, "", ""]
    return "\r\n".join(lines).encode()


def talk(rig, data, seconds=60.0):
    """Send bytes; return the status, the error's code, the headers, and whether the connection was closed."""
    with socket.create_connection(("127.0.0.1", rig.gateway.port)) as connection:
        connection.settimeout(seconds)
        connection.sendall(data)
        got, is_closed = b"", False
        while True:
            try:
                piece = connection.recv(65536)
            except TimeoutError:
                break
            if not piece:
                is_closed = True
                break
            got += piece
            if b"content-length" in got and b"\r\n\r\n" in got:
                connection.settimeout(0.5)
    top, _, body = got.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(": ", 1) for line in top.decode().split("\r\n")[1:] if ": " in line)
    code = json.loads(body)["error"]["code"] if body else None
    return int(top.split()[1]) if top else None, code, headers, is_closed


def resident_mib(rig):
    status = open(f"/proc/{rig.gateway.process.popen.pid}/status").read()  # noqa: SIM115
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.parametrize("kind", ["requests_per_minute", "tokens_per_day", "concurrent_calls"])
@pytest.mark.parametrize("framing", ["content-length: 90000", "transfer-encoding: chunked"])
def test_a_call_over_its_limit_is_refused_before_its_body(limited_rig, kind, framing):
    secret = limited_rig.new_key(limits=[limit(kind, 0)])
    status, code, headers, is_closed = talk(limited_rig, head(secret, framing))
    assert (status, is_closed) == (429, True)
    assert code in ("rate_limit_exceeded", "insufficient_quota")
    assert headers["x-ratelimit-refused-by"]


def test_a_used_up_limit_refuses_before_the_body_even_of_small_calls(shared_rig):
    secret = shared_rig.new_key(limits=[limit("requests_per_minute", 1)])
    assert ask(shared_rig.client(secret))
    status, code, headers, is_closed = talk(shared_rig, head(secret, "content-length: 300"))
    assert (status, code, is_closed) == (429, "rate_limit_exceeded", True)
    assert 1 <= int(headers["retry-after"]) <= 60


def test_a_limit_of_another_model_is_not_asked_before_the_body_says_which(shared_rig):
    secret = shared_rig.new_key(limits=[limit("requests_per_minute", 0, model="something-else")])
    assert ask(shared_rig.client(secret))


def test_a_limit_of_the_only_model_is_not_told_to_who_names_another(shared_rig):
    """The name of a model that is not granted is a 404, whatever is used up; a large body is not waited for."""
    secret = shared_rig.new_key(models=[MODEL], limits=[limit("requests_per_minute", 1, model=MODEL)])
    client = shared_rig.client(secret)
    assert ask(client)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="not-granted", messages=[{"role": "user", "content": "Hello"}])
    with pytest.raises(openai.RateLimitError):
        ask(client)
    status, code, _, is_closed = talk(shared_rig, head(secret, "content-length: 90000"))
    assert (status, code, is_closed) == (429, "rate_limit_exceeded", True)


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        (["content-length: 200000"], 413, "request_too_large"),
        # Beyond what the HTTP server counts.
        (["content-length: 99999999999999999999"], None, None),
        (["content-length: 5", "content-encoding: gzip"], 415, "unsupported_encoding"),
        (["content-length: 5", "content-encoding: br"], 415, "unsupported_encoding"),
        (["content-length: 5", "expect: everything"], 417, "expectation_failed"),
        (["content-length: 5", "x-long: " + "a" * 40_000], 431, "headers_too_large"),
        (["content-length: 5", "x-long: " + "a" * 400_000], 431, "headers_too_large"),
        (["content-length: 5", *(f"x-{number}: a" for number in range(90))], 431, "headers_too_large"),
    ],
)
def test_a_head_that_leads_nowhere_is_refused_without_its_body(shared_rig, lines, status, code):
    answered, found, _, is_closed = talk(shared_rig, head(shared_rig.new_key(), *lines))
    assert is_closed
    assert (answered, found) == (status, code) or (status is None and answered in (None, 400, 413))


@pytest.mark.parametrize("length", [10_000, 60_000])
def test_a_path_or_query_that_is_too_long_is_refused(shared_rig, length):
    for path in ("/v1/models/" + "a" * length, "/v1/models?a=" + "a" * length):
        answer = requests.get(f"{shared_rig.gateway.url}{path}", timeout=60)
        assert (answer.status_code, answer.json()["error"]["code"]) == (414, "uri_too_long")


def test_an_authorization_that_is_too_long_is_refused(shared_rig):
    status, code, _, _ = talk(shared_rig, head("a" * 5000, "content-length: 5"))
    assert (status, code) == (431, "headers_too_large")


def test_no_number_of_unfinished_bodies_takes_more_than_the_memory_for_bodies(new_rig):
    rig = new_rig(GATEWAY_BODY_MEMORY_MIB="32", GATEWAY_BODY_GRACE_SECONDS="5")
    rig.settings = SettingsConfig(max_body_bytes=8 * MIB)
    secrets = [rig.new_key() for _ in range(3)]
    assert ask(rig.client(secrets[0]))
    before, top = resident_mib(rig), 0.0
    connections = []
    for number in range(60):
        connection = socket.create_connection(("127.0.0.1", rig.gateway.port))
        connection.setblocking(False)
        framing = "content-length: 8388608" if number % 2 else "transfer-encoding: chunked"
        start = head(secrets[number % 3], framing) + (b"" if number % 2 else b"800000\r\n")
        connections.append([connection, start + b"a" * (8 * MIB - 10)])
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        for pair in connections:
            try:
                pair[1] = pair[1][pair[0].send(pair[1][: 256 * 1024]) :] if pair[1] else b""
            except OSError:
                continue
        top = max(top, resident_mib(rig))
        time.sleep(0.02)
    # The bodies, once more while joined, and the connections themselves.
    assert top - before < 32 * 2 + 30
    assert ask(rig.client(secrets[1]))
    for connection, _ in connections:
        connection.close()
    wait_until(lambda: rig.gateway.metric("llm_gateway_body_bytes") == 0, what="the release")
    wait_until(lambda: resident_mib(rig) - before < 25, what="the memory going back")
    assert ask(rig.client(secrets[2]))


def test_a_body_that_comes_too_slowly_is_given_up(new_rig):
    rig = new_rig(GATEWAY_BODY_GRACE_SECONDS="1")
    started = time.monotonic()
    status, code, _, is_closed = talk(rig, head(rig.new_key(), "content-length: 5000") + b"{")
    assert (status, code, is_closed) == (408, "request_timeout", True)
    assert 0.9 < time.monotonic() - started < 60


def test_a_head_that_never_ends_is_given_up(new_rig):
    rig = new_rig(GATEWAY_HEAD_SECONDS="1")
    with socket.create_connection(("127.0.0.1", rig.gateway.port)) as connection:
        connection.settimeout(60)

        def drip():
            for letter in b"GET /v1/models HTTP/1.1\r\nx-a: " + b"a" * 600:
                connection.sendall(bytes([letter]))
                time.sleep(0.1)

        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            drip()
    assert rig.gateway.status("/healthz") == 200


def test_thousands_of_idle_connections_keep_nobody_out(new_rig):
    rig = new_rig()
    client = rig.client()
    idle = [socket.create_connection(("127.0.0.1", rig.gateway.port)) for _ in range(1500)]
    assert ask(client)
    for connection in idle:
        connection.close()


def test_millions_of_empty_parts_stop_nobody(new_rig):
    rig = new_rig()
    rig.settings = SettingsConfig(max_body_bytes=8 * MIB)
    greedy, honest = rig.new_key(), rig.new_key()
    parts = b"{}," * 2_790_000 + b"{}"
    body = b'{"model":"%s","messages":[{"role":"user","content":[%s]}]}' % (MODEL.encode(), parts)
    assert len(body) < 8 * MIB
    url, answers = f"{rig.gateway.url}/v1/chat/completions", []

    def attack():
        answer = requests.post(url, data=body, headers={"authorization": f"Bearer {greedy}"}, timeout=60)
        answers.append((answer.status_code, answer.json()["error"]["code"]))

    client = rig.client(honest)
    ask(client)
    attackers = [threading.Thread(target=attack) for _ in range(4)]
    for attacker in attackers:
        attacker.start()
    longest, is_last, started = 0.0, False, time.monotonic()
    # So one call at least is asked.
    while not is_last:
        is_last = not any(attacker.is_alive() for attacker in attackers)
        began = time.monotonic()
        ask(client, max_tokens=1)
        longest = max(longest, time.monotonic() - began)
    assert answers == [(400, "invalid_json")] * 4
    # It was six seconds for each of them, a quarter of the whole attack; all takes longer on a busy machine.
    assert longest < max(overload(), (time.monotonic() - started) / 6)


def test_a_wrong_key_again_and_again_is_answered_cheaply_and_costs_nobody_else(new_rig):
    rig = new_rig()
    client = rig.client()
    url = f"{rig.gateway.url}/v1/models"
    session = requests.Session()

    def guess(secret):
        return session.get(url, headers={"authorization": f"Bearer {secret}"}, timeout=60)

    answers = [guess("qm_wrong") for _ in range(60)]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.json()["error"]["code"] for answer in answers} == {"invalid_api_key"}
    assert "connection" not in answers[0].headers
    assert (answers[-1].headers["connection"], answers[-1].headers["retry-after"]) == ("close", "1")
    # Somebody else behind the same address.
    assert "connection" not in guess("qm_other").headers
    assert rig.gateway.process.output().count("call_refused") < 40
    assert rig.gateway.metric('llm_requests_total{model="",status="invalid_api_key"}') == 61
    assert ask(client)
    acked = wait_until(
        lambda: [ack for ack in rig.control.acks if ack.counters.get("refused invalid_api_key") == 61],
        15,
        "the ack",
    )
    assert acked


def test_refusals_of_a_tenant_are_told_with_the_ack(new_rig):
    rig = new_rig()
    secret = rig.new_key(limits=[limit("requests_per_minute", 0)])
    for _ in range(3):
        answer = requests.post(
            f"{rig.gateway.url}/v1/chat/completions",
            json={"model": MODEL, "messages": [{"role": "user"}]},
            headers={"authorization": f"Bearer {secret}"},
            timeout=60,
        )
        assert answer.status_code == 429
    wait_until(
        lambda: any(ack.counters.get("refused of aurora-bank") == 3 for ack in rig.control.acks),
        15,
        "the ack",
    )


def test_who_sends_large_bodies_only_to_be_refused_waits_before_the_next_is_read(new_rig):
    rig = new_rig()
    rig.settings = SettingsConfig(max_body_bytes=8 * MIB)
    secret, other = rig.new_key(), rig.new_key()
    body = json.dumps({"model": "nobody-knows-me", "messages": [{"role": "user", "content": "x" * 7 * MIB}]})
    answers = []
    while len(answers) < 60 and 429 not in answers:
        answer = requests.post(
            f"{rig.gateway.url}/v1/chat/completions",
            data=body,
            headers={"authorization": f"Bearer {secret}", "content-type": "application/json"},
        )
        answers.append(answer.status_code)
    assert set(answers[:-1]) == {404}
    assert (answers[-1], answer.json()["error"]["code"]) == (429, "too_many_wrong_calls")
    status, code, headers, is_closed = talk(rig, head(secret, "content-length: 90000"))
    assert (status, code, is_closed) == (429, "too_many_wrong_calls", True)
    assert int(headers["retry-after"]) >= 1
    assert ask(rig.client(other)).usage.total_tokens
    time.sleep(int(headers["retry-after"]))
    assert ask(rig.client(secret)).usage.total_tokens
