"""The demo engine by itself: honest, deterministic, OpenAI-compatible, and failing only when told to."""

import os
import signal
import subprocess
import sys

import openai
import pytest
import requests

from deployments.engine.tokens import PrefixCache, tokenize
from deployments.engine.words import answer
from tests.gateway.proxy_fixtures import ENGINE_MODEL, REPOSITORY, Engine, free_port, wait_until


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = Engine(tmp_path_factory.mktemp("engine"))
    yield engine
    engine.process.kill()


@pytest.fixture
def client(engine):
    return openai.OpenAI(base_url=f"{engine.url}/v1", api_key="none", max_retries=0)


def chat(client, text="Hello", **options):
    return client.chat.completions.create(
        model=ENGINE_MODEL, messages=[{"role": "user", "content": text}], **options
    )


def test_it_says_what_it_is_and_repeats_itself(client):
    first, again, other = (chat(client, text).choices[0].message.content for text in ("a", "a", "b"))
    assert first.startswith("I am Quartermaster's demo engine, not a language model")
    assert first == again
    assert first != other


def test_with_a_key_it_answers_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setenv("ENGINE_API_KEY", "sk-of-the-engine")
    engine = Engine(tmp_path)
    try:
        for key, status in (("none", 401), ("sk-of-the-engine", 200)):
            headers = {"authorization": f"Bearer {key}"}
            assert requests.get(f"{engine.url}/v1/models", headers=headers).status_code == status
        assert requests.get(f"{engine.url}/health").status_code == 200
    finally:
        engine.process.kill()


def test_tokens_are_counted_by_the_stated_rule(client):
    assert tokenize("Hello, world!  Ça va?") == ["Hell", "o", ",", " worl", "d", "!", " ", " Ça", " va", "?"]
    reply = chat(client, "Hello, world!")
    # The role, the start of the answer, and the text.
    assert reply.usage.prompt_tokens == 2 + 6
    assert reply.usage.completion_tokens == len(tokenize(reply.choices[0].message.content))


def test_plain_and_streamed_say_the_same(client):
    plain = chat(client, "same", max_tokens=30)
    chunks = list(chat(client, "same", max_tokens=30, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == plain.choices[0].message.content
    assert plain.choices[0].finish_reason == "length"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].usage.completion_tokens == 30


def test_it_stops_where_it_is_told_to(client):
    reply = chat(client, "stop", stop=["demo"])
    assert reply.choices[0].message.content == "I am Quartermaster's "
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.completion_tokens == len(tokenize("I am Quartermaster's "))


def test_only_a_prefix_that_was_seen_is_cached():
    cache = PrefixCache(max_blocks=3)
    tokens = [str(number) for number in range(40)]
    assert cache.match_and_store(tokens) == 0
    assert cache.match_and_store(tokens) == 32
    assert cache.match_and_store(["x", *tokens]) == 0
    # Older blocks had to go.
    assert cache.match_and_store(tokens) < 32


def test_embeddings_have_length_one_and_the_size_asked_for(client):
    near, same, far = (
        client.embeddings.create(model=ENGINE_MODEL, input=text, dimensions=64).data[0].embedding
        for text in ("the quick fox", "the quick fox", "entirely different words")
    )
    assert len(near) == 64
    assert near == same
    assert sum(a * b for a, b in zip(near, near, strict=True)) == pytest.approx(1, abs=1e-4)
    assert sum(a * b for a, b in zip(near, far, strict=True)) < 0.5


@pytest.mark.parametrize(
    "options",
    [{"n": 2}, {"max_tokens": -1}, {"stop": ["a", "b", "c", "d", "e"]}, {"extra_body": {"messages": []}}],
)
def test_what_it_cannot_do_is_a_bad_request(client, options):
    with pytest.raises(openai.BadRequestError):
        chat(client, **options)


def test_another_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "x"}])
    assert refused.value.code == "model_not_found"
    assert [model.id for model in client.models.list()] == [ENGINE_MODEL]


def test_a_fault_comes_with_a_header(client):
    with pytest.raises(openai.InternalServerError):
        chat(client, extra_headers={"x-engine-fault": "status=500"})
    with pytest.raises(openai.BadRequestError, match="is not a fault"):
        chat(client, extra_headers={"x-engine-fault": "status"})
    with pytest.raises(openai.APIConnectionError):
        chat(client, extra_headers={"x-engine-fault": "die-after=0"})


def test_without_permission_no_caller_makes_it_fail():
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "deployments.engine", "--port", str(port), "--model", "m"],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _status(port) == 200, what="its health")
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        url = f"http://127.0.0.1:{port}"
        faulty = requests.post(
            f"{url}/v1/chat/completions", json=body, headers={"x-engine-fault": "status=500"}
        )
        assert faulty.status_code == 200
        assert requests.post(f"{url}/faults", json={"fault": "exit"}).status_code == 404
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_it_dies_with_its_parent():
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'deployments.engine', '--port', sys.argv[1],"
        " '--model', 'm', '--die-with-parent'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    port = free_port()
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(port)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    wait_until(lambda: _status(port) == 200, what="its health")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not _is_alive(child), what="the end of the engine")


def test_a_taken_port_is_a_clear_error(engine):
    taken = subprocess.run(
        [sys.executable, "-m", "deployments.engine", "--port", str(engine.port), "--model", "m"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert taken.returncode == 1
    assert f"cannot listen on 127.0.0.1:{engine.port}" in taken.stderr


def test_its_words_depend_on_nothing_but_the_prompt():
    assert answer("m", ["a"]) == answer("m", ["a"])


def _status(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/health").status_code
    except requests.RequestException:
        return None


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
