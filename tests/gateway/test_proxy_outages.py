"""What happens when the control plane, the gateway itself or its disk goes away."""

import contextlib
import resource
import threading
import time

import openai
import pytest
import requests

from gateway.contract import RouteConfig
from tests.gateway.proxy_fixtures import (
    MODEL,
    VECTORS,
    Gateway,
    Process,
    ask,
    wait_until,
)


def test_calls_go_on_while_the_control_plane_is_away_and_are_recorded_afterwards(new_road):
    road = new_road()
    secret = road.new_key()
    client = road.client(secret)
    road.control.down()
    for _ in range(5):
        ask(client)
    assert road.gateway.spooled()
    assert road.control.events == {}
    road.control.up()
    events = road.events(secret, 5, seconds=15)
    assert {event.status for event in events} == {"ok"}
    wait_until(lambda: not road.gateway.spooled(), what="the empty spool")


def test_a_gateway_starts_from_its_snapshot_while_the_control_plane_is_away(new_road):
    road = new_road()
    secret = road.new_key()
    dated = road.new_key(expires_at=int(time.time()) + 2)
    road.control.down()
    road.gateway.process.kill()
    road.gateway.start()
    assert ask(road.client(secret))

    def has_expired():
        with contextlib.suppress(openai.AuthenticationError):
            ask(road.client(dated))
            return False
        return True

    wait_until(has_expired, 5, "the expiry without a control plane")


def test_a_gateway_without_any_configuration_is_not_ready(new_road, tmp_path):
    road = new_road()
    lonely = Gateway(road.control, tmp_path / "lonely", GATEWAY_CONTROL_URL="http://127.0.0.1:9")
    lonely.state.mkdir(parents=True)
    lonely.start(until_ready=False)
    try:
        assert lonely.status("/readyz") == 503
        with pytest.raises(openai.InternalServerError) as refused:
            ask(lonely.client("qm_x"))
        assert (refused.value.status_code, refused.value.code) == (503, "not_ready")
    finally:
        lonely.process.kill()


def test_kill_between_the_answer_and_the_upload_loses_nothing_and_doubles_nothing(new_road):
    road = new_road()
    secret = road.new_key()
    client = road.client(secret)
    road.control.usage_status = 503
    answered = {ask(client)._request_id for _ in range(4)}
    stream = ask(client, stream=True)
    list(stream)
    answered.add(stream.response.headers["x-request-id"])
    wait_until(lambda: road.control.turned_away, what="an upload that is turned away")
    road.gateway.process.kill()
    road.control.usage_status = None
    road.gateway.start()
    events = road.events(secret, 5, seconds=30)
    assert {event.call_id for event in events} == answered


def test_kill_in_the_middle_of_many_calls_loses_no_answered_one(new_road):
    road = new_road()
    secret = road.new_key()
    answered, stop = [], threading.Event()

    def keep_asking():
        client = road.client(secret)
        while not stop.is_set():
            try:
                answered.append(ask(client, max_tokens=2)._request_id)
            except openai.APIError:
                stop.wait(0.1)  # the gateway is away

    callers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for caller in callers:
        caller.start()
    for round_number in range(1, 4):
        wait_until(lambda: len(answered) > 30 * round_number, 20, "some calls")  # noqa: B023
        road.gateway.process.kill()
        road.gateway.start()
    stop.set()
    for caller in callers:
        caller.join()
    wait_until(lambda: set(answered) <= set(road.control.events), 30, "every answered call on record")
    assert len(answered) == len(set(answered))


def test_a_poisoned_event_is_set_aside_and_does_not_block_the_others(new_road):
    road = new_road()
    road.control.poisoned.add(VECTORS)
    secret = road.new_key()
    client = road.client(secret)
    road.control.usage_status = 503  # so that all of them travel in one batch
    ask(client)
    client.embeddings.create(model=VECTORS, input="poison")
    ask(client)
    road.control.usage_status = None
    events = road.events(secret, 2, seconds=30)
    assert {event.model for event in events} == {MODEL}
    (rejected,) = wait_until(lambda: list((road.gateway.state / "rejected").glob("*.json")), what="the file")
    assert VECTORS in rejected.read_text()
    assert "poison" in rejected.read_text()
    assert road.gateway.metric("llm_gateway_usage_rejected_total") == 1
    assert '"event":"usage_rejected"' in road.gateway.process.output()


def test_a_full_disk_refuses_calls_and_recovers(new_road):
    road = new_road()
    secret = road.new_key()
    client = road.client(secret)
    ask(client)
    pid = road.gateway.process.popen.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))  # no file may grow any more
    for _ in range(3):
        with pytest.raises(openai.InternalServerError) as refused:
            ask(client)
        assert (refused.value.status_code, refused.value.code) == (503, "usage_not_recorded")
    assert road.gateway.status("/readyz") == 503
    assert road.gateway.status("/healthz") == 200
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    wait_until(lambda: road.gateway.status("/readyz") == 200, 5, "the recovery")
    ask(client)
    # The one call that the engine did answer while the disk was full was kept in memory and is here too.
    assert len(road.events(secret, 3)) == 3


def test_a_snapshot_that_makes_no_sense_changes_nothing(new_road):
    road = new_road()
    secret = road.new_key()
    good = list(road.routes)
    road.routes = [
        RouteConfig(model=MODEL, modes=["chat"], backends=[road.engine.backend(url="ftp://nowhere")])
    ]
    road.publish(wait=False)
    wait_until(
        lambda: any("http(s) address" in ack.problem for ack in road.control.acks), 30, "the complaint"
    )
    assert ask(road.client(secret))
    road.routes = good
    road.publish()
    assert road.control.acks[-1].problem == ""


def test_a_control_plane_that_went_back_is_reported_and_changes_nothing(new_road):
    road = new_road()
    secret = road.new_key()
    road.control.down()
    road.control.snapshot = None  # restored from a copy that knew nothing yet
    road.gateway.process.kill()
    road.gateway.start()
    road.revision, road.keys = 0, []
    road.control.up()
    road.publish(wait=False)
    wait_until(lambda: "restored" in road.control.acks[-1].problem, 30, "the complaint")
    road.control.sends_old_revisions = True
    acks = len(road.control.acks)
    wait_until(lambda: len(road.control.acks) > acks, 30, "another ack")
    assert road.control.acks[-1].revision == 2
    assert ask(road.client(secret))
    road.revision = road.control.acks[-1].revision
    road.publish()
    assert road.control.acks[-1].problem == ""


def test_a_revoked_key_is_refused_within_seconds(new_road):
    road = new_road()
    secret = road.new_key()
    client = road.client(secret)
    ask(client)
    road.keys.clear()
    road.publish(wait=False)

    def is_refused():
        with contextlib.suppress(openai.AuthenticationError):
            ask(client)
            return False
        return True

    wait_until(is_refused, 5.0, "the refusal")


def test_calls_in_progress_finish_when_the_gateway_is_told_to_end(new_road):
    road = new_road("--token-ms", "20")
    secret = road.new_key()
    stream = ask(road.client(secret), stream=True, max_tokens=40)
    first = next(stream)
    ended = threading.Thread(target=road.gateway.process.terminate)
    ended.start()
    wait_until(lambda: road.gateway.status("/readyz") == 503, what="the draining")
    rest = list(stream)
    ended.join()
    assert road.gateway.process.popen.returncode == 0
    text = "".join(chunk.choices[0].delta.content or "" for chunk in [first, *rest])
    assert text.startswith("I am Quartermaster's")
    assert rest[-1].choices[0].finish_reason == "length"
    (event,) = road.events(secret, 1)  # brought before the process ended
    assert (event.status, event.tokens.output) == ("ok", 40)
    assert not road.gateway.spooled()


def test_calls_that_take_too_long_are_cut_off_and_recorded(new_road):
    road = new_road("--token-ms", "50", GATEWAY_DRAIN_SECONDS="0")
    secret = road.new_key()
    stream = ask(road.client(secret), stream=True, max_tokens=200)
    next(stream)
    ending = threading.Thread(target=road.gateway.process.terminate)
    ending.start()
    with pytest.raises(openai.APIError, match="shutting down"):
        list(stream)
    ending.join()
    (event,) = road.events(secret, 1)
    assert (event.status, event.is_exact) == ("error", False)


def test_two_gateways_cannot_share_a_state_directory(new_road):
    road = new_road()
    other = Gateway(road.control, road.directory)
    other.log = road.directory / "other.log"
    with pytest.raises(AssertionError, match="another gateway uses"):
        other.start()


def test_a_taken_port_is_a_clear_error(new_road):
    road = new_road()
    other = Gateway(road.control, road.directory / "other", GATEWAY_PORT=str(road.gateway.port))
    other.state.mkdir(parents=True)
    process = Process(("gateway.proxy",), other.environment, other.log)
    assert process.popen.wait(10) == 1
    assert "GATEWAY_PORT" in process.output()


def test_metrics_want_the_token_where_one_is_set(new_road):
    road = new_road(GATEWAY_METRICS_TOKEN="let-me-see")
    url = f"{road.gateway.url}/metrics"
    assert requests.get(url).status_code == 401
    assert "llm_requests_total" in requests.get(url, headers={"authorization": "Bearer let-me-see"}).text


def test_metrics_are_for_this_machine_even_behind_a_proxy_on_it(new_road):
    road = new_road(GATEWAY_TRUSTED_PROXIES="127.0.0.0/8")
    url = f"{road.gateway.url}/metrics"
    assert requests.get(url).status_code == 200
    assert requests.get(url, headers={"x-forwarded-for": "203.0.113.9"}).status_code == 404
