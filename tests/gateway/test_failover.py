"""What one backend fails, another one answers while nothing was sent; and who fails is asked later, or not at all."""

import socket
import time

import orjson
import pytest
import requests

from gateway.contract import SettingsConfig
from gateway.proxy.metrics import Metrics
from gateway.proxy.routing import Router
from tests.gateway.proxy_fixtures import wait_until
from tests.gateway.scripted_backend import USAGE, ScriptedBackend, add_route, chunk, plain
from tests.gateway.test_proxy_counting import a_route, backend
from tests.gateway.test_whole_answers import DONE, OVERLOADED, ROLE, TOLD, WORDS, end

MODEL = "aurora-pair"


@pytest.fixture
def pair(shared_rig):
    """Two backends, the first to be asked first; and their key."""
    first, second = ScriptedBackend("first"), ScriptedBackend("second")
    first.key = add_route(shared_rig, MODEL, first.backend(), second.backend(priority=1))
    yield first, second
    shared_rig.routes = [route for route in shared_rig.routes if route.model != MODEL]
    shared_rig.publish()
    first.close()
    second.close()


def call(rig, key, model=MODEL, **fields):
    return requests.post(
        f"{rig.gateway.url}/v1/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": "hello hello"}], **fields},
        headers={"authorization": f"Bearer {key}"},
        timeout=60,
    )


FAULTS = {
    **{str(status): {"content": {"error": {"message": "x"}}, "status": status}
       for status in (301, 401, 402, 403, 404, 405, 408, 425, 429, 500, 501, 502, 503, 504, 529)},
    "an error in a 200": {"content": {"error": OVERLOADED}},
    "a limit in a 200": {"content": {"error": {"message": "busy", "code": 429}}},
    "no choices": {"content": plain(choices=[])},
    "no JSON": {"content": b"<html>"},
    "half a JSON": {"content": b'{"choices":[{"mess'},
    "a quota": {"content": {"error": {"message": "x", "code": "insufficient_quota"}}, "status": 429},
}  # fmt: skip
STREAM_FAULTS = {
    **FAULTS,
    "an error event": {"events": [{"error": OVERLOADED}]},
    "an error behind the announcement": {"events": [ROLE, 0.05, {"error": OVERLOADED}, DONE]},
    "an end that is an error": {"events": [ROLE, end("error"), DONE]},
    "nothing": {"events": []},
    "only a mark": {"events": [DONE]},
    "only an announcement": {"events": [ROLE]},
}


@pytest.mark.parametrize("name", FAULTS)
def test_another_backend_answers_a_plain_call(shared_rig, pair, name):
    first, second = pair
    first.says(**FAULTS[name])
    answer = call(shared_rig, first.key)
    assert answer.status_code == 200
    assert "hi there friend" in answer.text
    (event,) = shared_rig.events(first.key, 1)
    assert (event.status, event.target_id, event.tokens) == ("ok", second.id, 18)
    assert len(first.asked) == len(second.asked) == 1


@pytest.mark.parametrize("name", STREAM_FAULTS)
def test_another_backend_answers_a_stream(shared_rig, pair, name):
    first, second = pair
    first.says(**STREAM_FAULTS[name])
    second.says(events=[*WORDS, end(), TOLD, DONE])
    answer = call(shared_rig, first.key, stream=True)
    assert answer.text.count("word ") == 6
    assert answer.text.count("[DONE]") == 1
    (event,) = shared_rig.events(first.key, 1)
    assert (event.status, event.target_id, event.tokens) == ("ok", second.id, 18)


@pytest.fixture
def impatient_rig(shared_rig):
    before = shared_rig.settings
    shared_rig.settings = SettingsConfig(idle_timeout_seconds=1)
    yield shared_rig
    shared_rig.settings = before
    shared_rig.publish()


HALF_OF_AN_EVENT = b'data: {"id":"c","choices":[{"index":0,"de'


@pytest.mark.parametrize("events", [[4.0], [HALF_OF_AN_EVENT, 4.0]], ids=["nothing", "half an event"])
def test_another_backend_answers_when_one_says_200_and_then_nothing(impatient_rig, pair, events):
    first, second = pair
    first.says(events=events)
    second.says(events=[*WORDS, end(), TOLD, DONE])
    answer = call(impatient_rig, first.key, stream=True)
    assert (answer.status_code, answer.text.count("word ")) == (200, 6)
    (event,) = impatient_rig.events(first.key, 1)
    assert (event.status, event.target_id, event.tokens) == ("ok", second.id, 18)
    for _ in range(4):
        assert call(impatient_rig, first.key, stream=True).status_code == 200
    # Three in a row, and perhaps a probe.
    assert 3 <= len(first.asked) <= 4
    second.says(events=events)
    answer = call(impatient_rig, first.key, stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "backend_failed")
    event = impatient_rig.events(first.key, 6)[-1]
    assert (event.status, event.http_status, event.tokens) == ("error", 502, 0)


def test_another_backend_answers_when_one_takes_a_call_and_says_nothing(shared_rig):
    before, model = shared_rig.settings, "aurora-silent"
    shared_rig.settings = SettingsConfig(response_timeout_seconds=1)
    third = ScriptedBackend("third")
    mute = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    places = [
        third.backend(id=f"mute-{at}", url=f"http://127.0.0.1:{one.getsockname()[1]}/v1", priority=at)
        for at, one in enumerate(mute)
    ]
    try:
        key = add_route(shared_rig, model, places[0], third.backend(priority=1))
        for is_stream in (False, True, False, True, False):
            if is_stream:
                third.says(events=[*WORDS, end(), TOLD, DONE])
            else:
                third.says(plain())
            assert call(shared_rig, key, model, stream=is_stream).status_code == 200
        assert len(third.asked) == 5
        shared_rig.routes = [route for route in shared_rig.routes if route.model != model]
        key = add_route(shared_rig, model, *places, third.backend(priority=2))
        # The first one is ejected by now.
        assert call(shared_rig, key, model).status_code == 200
        shared_rig.routes = [route for route in shared_rig.routes if route.model != model]
        key = add_route(shared_rig, model, *places)
        answer = call(shared_rig, key, model)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "backend_timeout")
    finally:
        for one in mute:
            one.close()
        third.close()
        shared_rig.settings = before
        shared_rig.routes = [route for route in shared_rig.routes if route.model != model]
        shared_rig.publish()


def test_nobody_else_is_asked_when_one_falls_silent_after_something_was_sent(impatient_rig, pair):
    first, second = pair
    first.says(events=[*WORDS, 4.0])
    answer = call(impatient_rig, first.key, stream=True)
    assert "[DONE]" not in answer.text
    assert '"error"' in answer.text
    assert second.asked == []
    (event,) = impatient_rig.events(first.key, 1)
    assert (event.status, event.http_status, event.usage.get("output", 0)) == ("error", 200, 10)


def test_nobody_else_is_asked_once_something_was_sent(shared_rig, pair):
    first, second = pair
    first.says(events=[*WORDS, 0.2, {"error": OVERLOADED}])
    answer = call(shared_rig, first.key, stream=True)
    assert "[DONE]" not in answer.text
    assert second.asked == []


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
def test_a_fault_of_the_caller_is_the_callers(shared_rig, pair, status):
    first, second = pair
    first.says({"error": {"message": "Your prompt is too long"}}, status=status)
    answer = call(shared_rig, first.key)
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, "Your prompt is too long")
    assert second.asked == []


@pytest.mark.parametrize("name", ["500", "404", "401", "503", "an error in a 200", "no choices"])
def test_a_backend_that_goes_on_failing_is_not_asked_any_more(shared_rig, pair, name):
    first, second = pair
    first.says(**FAULTS[name])
    for _ in range(8):
        assert call(shared_rig, first.key).status_code == 200
    # Three in a row, and perhaps a probe.
    assert 3 <= len(first.asked) <= 5
    assert len(second.asked) == 8


def test_a_model_that_a_backend_lacks_takes_no_other_model_from_it(shared_rig, pair):
    first, _ = pair
    other = add_route(shared_rig, "aurora-other", first.backend())
    first.says({"error": {"message": "The model does not exist."}}, status=404)
    for _ in range(4):
        assert call(shared_rig, first.key).status_code == 200
    first.says(plain())
    asked = len(first.asked)
    assert call(shared_rig, other, "aurora-other").status_code == 200
    assert len(first.asked) == asked + 1


def test_a_limited_backend_is_left_alone_until_it_wants_to_be_asked_again(shared_rig, pair):
    first, second = pair
    first.says({"error": {"message": "busy"}}, status=429, headers={"retry-after": "2"})
    assert call(shared_rig, first.key).status_code == 200
    first.says(plain())
    for _ in range(3):
        assert call(shared_rig, first.key).status_code == 200
    assert (len(first.asked), len(second.asked)) == (1, 4)

    def is_asked_again():
        return call(shared_rig, first.key).ok and len(first.asked) > 1

    wait_until(is_asked_again, what="the end of the pause")


@pytest.mark.parametrize("status", [503, 529])
def test_backends_that_are_overloaded_are_left_alone(shared_rig, pair, status):
    first, second = pair
    for one in pair:
        one.says({"error": {"message": "x"}}, status=status)
    for _ in range(8):
        answer = call(shared_rig, first.key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_backend_available")
    assert len(first.asked) + len(second.asked) < 16


def test_the_caller_gets_a_429_only_if_all_backends_said_so(shared_rig, pair):
    first, second = pair
    first.says({"error": {"message": "busy"}}, status=429, headers={"retry-after": "30"})
    second.says({"error": {"message": "busy, too"}}, status=429, headers={"retry-after": "7"})
    # The second time both of them are paused.
    for _ in range(2):
        answer = call(shared_rig, first.key)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    second.says({"error": {"message": "x"}}, status=500)
    assert call(shared_rig, first.key).status_code == 502
    second.close()
    assert call(shared_rig, first.key).status_code in (502, 503)


@pytest.mark.parametrize(
    "fault",
    [
        {"content": {"error": {"message": "x"}}, "status": 500},
        {"content": plain(choices=[])},
        {"content": b"<html>"},
    ],
)
def test_no_caller_takes_a_model_from_all_others_by_making_it_fail(shared_rig, pair, fault):
    first, second = pair
    first.says(**fault)
    second.says(**fault)
    for _ in range(10):
        assert call(shared_rig, first.key).status_code == 502
    first.says(plain())
    second.says(plain())
    assert call(shared_rig, first.key).status_code == 200


def test_a_backend_that_is_away_costs_nobody_a_connection_while_it_is_ejected(shared_rig, pair):
    first, _ = pair
    first.close()
    for _ in range(6):
        assert call(shared_rig, first.key).status_code == 200
    assert shared_rig.gateway.metric(f'llm_backend_ejected{{backend="{first.id}"}}') == 1


def hang_up(rig, key, after):
    """Ask for a stream, and go away `after` so many seconds. Return what had come."""
    body = orjson.dumps(
        {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "hello hello"}]}
    )
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", rig.gateway.port)) as client:
        client.sendall(head.encode() + body)
        time.sleep(after)
        return client.recv(1 << 20).decode()


def test_usage_that_comes_after_the_end_is_heard_although_the_client_has_gone(shared_rig, pair):
    first, _ = pair
    first.says(events=[*WORDS, end(), 1.0, TOLD, DONE])
    assert "finish_reason" in hang_up(shared_rig, first.key, 0.5)
    (event,) = shared_rig.events(first.key, 1)
    assert (event.status, event.is_exact, event.usage.get("input", 0), event.usage.get("output", 0)) == (
        "cancelled",
        True,
        12,
        6,
    )


def test_usage_that_does_not_come_is_not_waited_for_any_longer_than_a_moment(shared_rig, pair):
    first, _ = pair
    first.says(events=[*WORDS, end(), 30.0, TOLD, DONE])
    hang_up(shared_rig, first.key, 0.3)
    (event,) = shared_rig.events(first.key, 1)
    assert (event.status, event.is_exact, event.usage.get("output", 0)) == ("cancelled", False, 10)


@pytest.mark.parametrize("usage", [USAGE, {"prompt_tokens": 12, "completion_tokens": 1}])
def test_usage_told_before_the_end_does_not_pay_for_what_came_after_it(shared_rig, pair, usage):
    first, _ = pair
    first.says(events=[{**ROLE, "usage": usage}, *[chunk() for _ in range(40)], 30.0, DONE])
    hang_up(shared_rig, first.key, 0.5)
    (event,) = shared_rig.events(first.key, 1)
    assert (event.status, event.is_exact, event.usage.get("input", 0), event.usage.get("output", 0)) == (
        "cancelled",
        False,
        12,
        67,
    )


def test_backends_that_failed_by_their_answers_come_last_and_those_that_are_away_do_not_come():
    now = [0.0]
    route = a_route(
        backend("a"), backend("b", priority=1), backend("c", priority=2), backend("d", priority=3)
    )
    router = Router(Metrics(), clock=lambda: now[0])
    a, b, c, _ = router.candidates(route)
    for _ in range(3):
        router.failed(a, "broken_answer", is_reachable=True)
        router.failed(b, "connect")
    router.limited(c, 3600.0)
    assert [one.id for one in router.candidates(route)] == ["d", "a", "c"]
    now[0] = 59.0
    assert [one.id for one in router.candidates(route)] == ["a", "b", "d", "c"]
    router.answered(a)
    router.succeeded(a)
    # No pause is longer than a minute.
    now[0] = 60.5
    assert [one.id for one in router.candidates(route)] == ["a", "c", "d"]  # b is being probed


def test_a_call_that_nobody_answers_ejects_nobody_but_a_failed_probe_does():
    now = [0.0]
    route = a_route(backend("a"), backend("b", priority=1))
    router = Router(Metrics(), clock=lambda: now[0])
    a, _ = router.candidates(route)
    for _ in range(9):
        router.doubted(a, "500")
    assert [one.id for one in router.candidates(route)] == ["a", "b"]
    for _ in range(3):
        router.failed(a, "500", is_reachable=True)
    now[0] = 1.5
    assert [one.id for one in router.candidates(route)] == ["a", "b"]  # the probe
    router.doubted(a, "500")
    assert [one.id for one in router.candidates(route)] == ["b", "a"]


def test_a_backend_that_lacks_a_model_is_last_for_that_model_alone():
    route, other = a_route(backend("a"), backend("b", priority=1)), a_route(backend("a"), model="other")
    router = Router(Metrics(), clock=lambda: 0.0)
    a, _ = router.candidates(route)
    for _ in range(3):
        router.lacks(a, "public")
    assert [one.id for one in router.candidates(route)] == ["b", "a"]
    assert [one.id for one in router.candidates(other)] == ["a"]
    router.succeeded(a, "public")
    assert [one.id for one in router.candidates(route)] == ["a", "b"]
    router.keep_only(frozenset())
    assert not router._of_models
