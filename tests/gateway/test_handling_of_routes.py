"""What a route says about its calls, over real sockets: connections, time-outs, retries and sessions."""

import contextlib
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
import requests

from gateway.contract import HandlingConfig, RouteConfig
from tests.gateway.proxy_fixtures import wait_until
from tests.gateway.scripted_backend import ScriptedBackend, add_route, chunk, plain
from tests.gateway.test_failover import call as call_model
from tests.gateway.test_whole_answers import DONE, ROLE, TOLD, WORDS, end
from tests.patience import overload

MODEL = "aurora-handled"
JSON = {"content-type": "application/json"}


def call(rig, key, model=MODEL, **fields):
    return call_model(rig, key, model, **fields)


@contextlib.contextmanager
def served(rig, *backends, model=MODEL, **handling):
    """Serve a model from these backends, so handled; gives a key for it."""
    try:
        yield add_route(rig, model, *backends, handling=HandlingConfig(**handling))
    finally:
        rig.routes = [route for route in rig.routes if route.model != model]
        rig.publish()


@pytest.fixture
def trio():
    """Three backends."""
    backends = [ScriptedBackend(name) for name in ("one", "two", "three")]
    yield backends
    for backend in backends:
        backend.close()


def answers_slowly(backend, seconds):
    backend._answer = (200, JSON, [seconds, orjson.dumps(plain())])


@contextlib.contextmanager
def calls_in_progress(rig, key, backend, count, model=MODEL):
    """So many calls at a slow backend; gives their answers to come."""
    asked = len(backend.asked)
    with ThreadPoolExecutor(count) as threads:
        answers = [threads.submit(call, rig, key, model) for _ in range(count)]
        wait_until(lambda: len(backend.asked) == asked + count, what="the calls in progress")
        yield answers
        assert [one.result().status_code for one in answers] == [200] * count


def test_beyond_the_connections_of_a_target_calls_go_to_another_one(shared_rig, trio):
    slow, other, _ = trio
    answers_slowly(slow, 2.0)
    with (
        served(shared_rig, slow.backend(), other.backend(priority=1), most_connections=2) as key,
        calls_in_progress(shared_rig, key, slow, 2) as others,
    ):
        gauge = f'llm_backend_connections{{backend="{slow.id}"}}'
        assert shared_rig.gateway.metric(gauge) == 2
        assert call(shared_rig, key).status_code == 200
        assert not any(one.done() for one in others), "it waited for nobody"
        assert (len(slow.asked), len(other.asked)) == (2, 1)


def test_without_another_target_a_call_waits_for_a_connection(shared_rig, trio):
    slow = trio[0]
    answers_slowly(slow, 0.6)
    with (
        served(shared_rig, slow.backend(), most_connections=2) as key,
        calls_in_progress(shared_rig, key, slow, 2),
    ):
        assert call(shared_rig, key).status_code == 200
        assert len(slow.asked) == 3
        assert shared_rig.gateway.metric(f'llm_backend_busy_total{{backend="{slow.id}"}}') == 1


def test_a_call_that_finds_no_connection_in_time_is_refused_by_name_and_others_are_not(shared_rig, trio):
    slow, other, _ = trio
    answers_slowly(slow, 3.0)
    refusals = f'llm_gateway_busy_refusals_total{{model="{MODEL}"}}'
    with (
        served(shared_rig, slow.backend(), most_connections=2) as key,
        served(shared_rig, other.backend(), model="aurora-other") as other_key,
        calls_in_progress(shared_rig, key, slow, 2) as others,
    ):
        before = shared_rig.gateway.metric(refusals)
        began = time.monotonic()
        answer = call(shared_rig, key)
        assert time.monotonic() - began > 0.9
        assert not any(one.done() for one in others), "it waited for nobody to end"
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "backends_busy")
        assert answer.headers["retry-after"] == "1"
        assert shared_rig.gateway.metric(refusals) == before + 1
        assert call(shared_rig, other_key, "aurora-other").status_code == 200
        assert len(slow.asked) == 2
    # It is not ejected: it did nothing wrong.
    assert shared_rig.gateway.metric(f'llm_backend_ejected{{backend="{slow.id}"}}') == 0


def test_a_caller_who_goes_away_leaves_its_connection_to_others(shared_rig, trio):
    slow = trio[0]
    answers_slowly(slow, 30.0)
    with served(shared_rig, slow.backend(), most_connections=1) as key:
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(
                f"{shared_rig.gateway.url}/v1/chat/completions",
                json={"model": MODEL, "messages": [{"role": "user", "content": "hello"}]},
                headers={"authorization": f"Bearer {key}"},
                timeout=0.5,
            )
        slow.says(plain())
        assert call(shared_rig, key).status_code == 200


def test_a_route_bounds_the_wait_for_the_first_byte(shared_rig):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/v1"
        backend = ScriptedBackend("mute")
        try:
            with served(shared_rig, backend.backend(url=url), first_byte_timeout_seconds=0.5) as key:
                began = time.monotonic()
                answer = call(shared_rig, key)
                assert 0.4 < time.monotonic() - began < 5 * overload()
                assert (answer.status_code, answer.json()["error"]["code"]) == (504, "backend_timeout")
        finally:
            backend.close()


def test_a_route_bounds_the_silence_in_a_stream(shared_rig, trio):
    silent = trio[0]
    silent.says(events=[*WORDS, 30.0])
    with served(shared_rig, silent.backend(), idle_timeout_seconds=0.5) as key:
        began = time.monotonic()
        answer = call(shared_rig, key, stream=True)
        assert time.monotonic() - began < 5 * overload()
        assert '"backend_failed"' in answer.text


def test_a_route_bounds_a_whole_stream(shared_rig, trio):
    endless = trio[0]
    endless.says(events=[ROLE, *[one for _ in range(200) for one in (chunk(), 0.1)], end(), TOLD, DONE])
    with served(shared_rig, endless.backend(), call_timeout_seconds=1.0) as key:
        began = time.monotonic()
        answer = call(shared_rig, key, stream=True)
        assert 0.9 < time.monotonic() - began < 5 * overload()
        assert '"call_timeout"' in answer.text
        assert "[DONE]" not in answer.text
        (event,) = shared_rig.events(key, 1)
        assert (event.status, event.http_status, event.is_exact) == ("error", 200, False)
        assert event.usage["output"] > 0
    # A backend that was at work is not to blame.
    assert shared_rig.gateway.metric(f'llm_backend_failures_total{{backend="{endless.id}"') == 0


def test_a_route_bounds_a_whole_call(shared_rig, trio):
    slow = trio[0]
    answers_slowly(slow, 30.0)
    with served(shared_rig, slow.backend(), call_timeout_seconds=0.5) as key:
        answer = call(shared_rig, key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "call_timeout")
        (event,) = shared_rig.events(key, 1)
        assert (event.status, event.http_status, event.tokens) == ("error", 504, 0)
        failures = f'llm_backend_failures_total{{backend="{slow.id}",reason="timeout"}}'
        assert shared_rig.gateway.metric(failures) == 1


@pytest.mark.parametrize("retries", [{"retry_percent": 0, "retries_per_second": 0}, {"most_attempts": 1}])
def test_a_route_may_forbid_retries(shared_rig, trio, retries):
    first, second, _ = trio
    first.says({"error": {"message": "x"}}, status=500)
    with served(shared_rig, first.backend(), second.backend(priority=1), **retries) as key:
        answer = call(shared_rig, key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "backend_failed")
        assert (len(first.asked), len(second.asked)) == (1, 0)
        # Without a connection nothing was sent, so another one is asked.
        first.close()
        assert call(shared_rig, key).status_code == 200


def test_broken_targets_do_not_double_the_load(shared_rig, trio):
    for one in trio:
        one.says({"error": {"message": "x"}}, status=500)
    handling = {"retry_percent": 20, "retries_per_second": 0}
    reason = f'llm_gateway_retries_refused_total{{model="{MODEL}",reason="budget"}}'
    before = shared_rig.gateway.metric(reason)
    with served(shared_rig, *(one.backend() for one in trio), **handling) as key:
        for _ in range(50):
            assert call(shared_rig, key).status_code == 502
        # Without the budget: 150.
        assert 51 <= sum(len(one.asked) for one in trio) <= 60
        assert shared_rig.gateway.metric(reason) - before >= 40


def test_a_call_is_sent_three_times_at_most(shared_rig, trio):
    fourth = ScriptedBackend("four")
    try:
        backends = [*trio, fourth]
        for one in backends:
            one.says({"error": {"message": "x"}}, status=500)
        with served(shared_rig, *(one.backend() for one in backends)) as key:
            assert call(shared_rig, key).status_code == 502
            assert sum(len(one.asked) for one in backends) == 3
    finally:
        fourth.close()


@pytest.mark.parametrize(
    ("fault", "asked"),
    [({"status": 500}, 0), ({"status": 503}, 0), ({"status": 429}, 1), ({"status": 401}, 1)],
)
def test_pictures_are_not_made_twice(shared_rig, trio, fault, asked):
    first, second, _ = trio
    first.says({"error": {"message": "x"}}, **fault)
    second.says({"created": 1, "data": [{"b64_json": "aGk="}]})
    targets = [first.backend(), second.backend(priority=1)]
    shared_rig.routes.append(RouteConfig(model=MODEL, modes=["image_generation"], targets=targets))
    try:
        key = shared_rig.new_key(models=[MODEL])
        answer = requests.post(
            f"{shared_rig.gateway.url}/v1/images/generations",
            json={"model": MODEL, "prompt": "a cat"},
            headers={"authorization": f"Bearer {key}"},
            timeout=60,
        )
        assert (len(first.asked), len(second.asked)) == (1, asked)
        assert answer.ok is bool(asked)
        if not asked:
            # Its connection failed before anything was sent.
            first.close()
            assert requests.post(answer.url, data=answer.request.body, headers=answer.request.headers).ok
            assert len(second.asked) == 1
    finally:
        shared_rig.routes = [route for route in shared_rig.routes if route.model != MODEL]
        shared_rig.publish()


def ask_in_session(rig, key, session):
    return requests.post(
        f"{rig.gateway.url}/v1/chat/completions",
        json={"model": MODEL, "messages": [{"role": "user", "content": "hello hello"}]},
        headers={"authorization": f"Bearer {key}", "x-session-id": session},
        timeout=60,
    )


def test_calls_of_a_session_go_to_one_target_while_it_answers(shared_rig, trio):
    with served(shared_rig, *(one.backend() for one in trio), is_sticky=True) as key:
        place = {}
        for session in map(str, range(30)):
            for _ in range(2):
                before = [len(one.asked) for one in trio]
                assert ask_in_session(shared_rig, key, session).status_code == 200
                (at,) = [at for at, one in enumerate(trio) if len(one.asked) > before[at]]
                assert place.setdefault(session, at) == at
        assert len(Counter(place.values())) == 3
        assert not any("x-session-id" in headers for one in trio for headers, _ in one.asked)
        own = trio[place["0"]]
        own.says({"error": {"message": "x"}}, status=503)
        elsewhere = sum(len(one.asked) for one in trio if one is not own)
        for _ in range(5):
            assert ask_in_session(shared_rig, key, "0").status_code == 200
        assert sum(len(one.asked) for one in trio if one is not own) == elsewhere + 5
        own.says(plain())
        asked = len(own.asked)

        def is_back():
            return ask_in_session(shared_rig, key, "0").ok and len(own.asked) > asked

        wait_until(is_back, what="the session's return")


def test_without_the_setting_a_session_is_not_kept_together(shared_rig, trio):
    with served(shared_rig, *(one.backend() for one in trio)) as key:
        for _ in range(30):
            assert ask_in_session(shared_rig, key, "s").status_code == 200
        assert all(one.asked for one in trio)


def test_two_names_of_a_session_are_one_too_many(shared_rig, trio):
    with served(shared_rig, trio[0].backend(), is_sticky=True) as key:
        body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x"}]})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        head += f"x-session-id: a\r\nx-session-id: b\r\ncontent-length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", shared_rig.gateway.port)) as client:
            client.sendall(head.encode() + body)
            assert b"repeated_header" in client.recv(65536)


def test_many_callers_share_few_connections_and_none_is_lost(shared_rig, trio):
    """Sixty callers, four connections: each call waits its turn, and no place leaks."""
    busy = trio[0]
    answers_slowly(busy, 0.02)
    statuses = Counter()
    lock = threading.Lock()
    with served(shared_rig, busy.backend(), most_connections=4) as key:

        def ask_once(_):
            answer = call(shared_rig, key)
            with lock:
                statuses[answer.status_code] += 1

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(ask_once, range(60)))
        assert statuses == {200: 60}
        gauge = f'llm_backend_connections{{backend="{busy.id}"}}'
        wait_until(lambda: shared_rig.gateway.metric(gauge) == 0, what="all places free")
