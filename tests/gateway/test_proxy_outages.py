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


def test_calls_go_on_while_the_control_plane_is_away_and_are_recorded_afterwards(new_rig):
    rig = new_rig()
    secret = rig.new_key()
    client = rig.client(secret)
    rig.control.down()
    for _ in range(5):
        ask(client)
    assert rig.gateway.spooled()
    assert rig.control.events == {}
    rig.control.up()
    events = rig.events(secret, 5)
    assert {event.status for event in events} == {"ok"}
    wait_until(lambda: not rig.gateway.spooled(), what="the empty spool")


def test_a_gateway_starts_from_its_snapshot_while_the_control_plane_is_away(new_rig):
    rig = new_rig()
    secret = rig.new_key()
    dated = rig.new_key(expires_at=int(time.time()) + 2)
    rig.control.down()
    rig.gateway.process.kill()
    rig.gateway.start()
    assert ask(rig.client(secret))

    def has_expired():
        with contextlib.suppress(openai.AuthenticationError):
            ask(rig.client(dated))
            return False
        return True

    wait_until(has_expired, what="the expiry without a control plane")


def test_a_gateway_without_any_configuration_is_not_ready(new_rig, tmp_path):
    rig = new_rig()
    lonely = Gateway(rig.control, tmp_path / "lonely", GATEWAY_CONTROL_URL="http://127.0.0.1:9")
    lonely.state.mkdir(parents=True)
    lonely.start(until_ready=False)
    try:
        assert lonely.status("/readyz") == 503
        with pytest.raises(openai.InternalServerError) as refused:
            ask(lonely.client("qm_x"))
        assert (refused.value.status_code, refused.value.code) == (503, "not_ready")
    finally:
        lonely.process.kill()


def test_kill_between_the_answer_and_the_upload_loses_nothing_and_doubles_nothing(new_rig):
    rig = new_rig()
    secret = rig.new_key()
    client = rig.client(secret)
    rig.control.usage_status = 503
    answered = {ask(client)._request_id for _ in range(4)}
    stream = ask(client, stream=True)
    list(stream)
    answered.add(stream.response.headers["x-request-id"])
    wait_until(lambda: rig.control.turned_away, what="an upload that is turned away")
    rig.gateway.process.kill()
    rig.control.usage_status = None
    rig.gateway.start()
    events = rig.events(secret, 5)
    assert {event.call_id for event in events} == answered


def test_kill_in_the_middle_of_many_calls_loses_no_answered_one(new_rig):
    rig = new_rig()
    secret = rig.new_key()
    answered, stop = [], threading.Event()

    def keep_asking():
        client = rig.client(secret)
        while not stop.is_set():
            try:
                answered.append(ask(client, max_tokens=2)._request_id)
            except openai.APIError:
                stop.wait(0.1)  # the gateway is away

    callers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for caller in callers:
        caller.start()
    for round_number in range(1, 4):
        wait_until(lambda: len(answered) > 30 * round_number, what="some calls")  # noqa: B023
        rig.gateway.process.kill()
        rig.gateway.start()
    stop.set()
    for caller in callers:
        caller.join()
    wait_until(lambda: set(answered) <= set(rig.control.events), what="every answered call on record")
    assert len(answered) == len(set(answered))


def test_a_poisoned_event_is_set_aside_and_does_not_block_the_others(new_rig):
    rig = new_rig()
    rig.control.poisoned.add(VECTORS)
    secret = rig.new_key()
    client = rig.client(secret)
    # So that all of them travel in one batch.
    rig.control.usage_status = 503
    ask(client)
    client.embeddings.create(model=VECTORS, input="poison")
    ask(client)
    rig.control.usage_status = None
    events = rig.events(secret, 2)
    assert {event.model for event in events} == {MODEL}
    (rejected,) = wait_until(lambda: list((rig.gateway.state / "rejected").glob("*.json")), what="the file")
    assert VECTORS in rejected.read_text()
    assert "poison" in rejected.read_text()
    assert rig.gateway.metric("llm_gateway_usage_rejected_total") == 1
    assert '"event":"usage_rejected"' in rig.gateway.process.output()


def test_a_full_disk_refuses_calls_and_recovers(new_rig):
    rig = new_rig()
    secret = rig.new_key()
    client = rig.client(secret)
    ask(client)
    pid = rig.gateway.process.popen.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    # No file may grow any more.
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    for _ in range(3):
        with pytest.raises(openai.InternalServerError) as refused:
            ask(client)
        assert (refused.value.status_code, refused.value.code) == (503, "usage_not_recorded")
    assert rig.gateway.status("/readyz") == 503
    assert rig.gateway.status("/healthz") == 200
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    wait_until(lambda: rig.gateway.status("/readyz") == 200, what="the recovery")
    ask(client)
    # The one call that the engine did answer while the disk was full was kept in memory and is here too.
    assert len(rig.events(secret, 3)) == 3


def test_a_snapshot_that_makes_no_sense_changes_nothing(configured_rig):
    rig = configured_rig
    secret = rig.new_key()
    good = list(rig.routes)
    rig.routes = [RouteConfig(model=MODEL, modes=["chat"], targets=[rig.engine.backend(url="ftp://nowhere")])]
    rig.publish(wait=False)
    wait_until(
        lambda: any("http(s) address" in ack.problem for ack in rig.control.acks), what="the complaint"
    )
    assert ask(rig.client(secret))
    rig.routes = good
    rig.publish()
    assert rig.control.acks[-1].problem == ""


def test_a_control_plane_that_went_back_is_reported_and_changes_nothing(new_rig):
    rig = new_rig()
    secret = rig.new_key()
    rig.control.down()
    # Restored from a copy that knew nothing yet.
    rig.control.snapshot = None
    rig.gateway.process.kill()
    rig.gateway.start()
    rig.revision, rig.keys = 0, []
    rig.control.up()
    rig.publish(wait=False)
    wait_until(lambda: "restored" in rig.control.acks[-1].problem, what="the complaint")
    rig.control.sends_old_revisions = True
    acks = len(rig.control.acks)
    wait_until(lambda: len(rig.control.acks) > acks, what="another ack")
    assert rig.control.acks[-1].revision == 2
    assert ask(rig.client(secret))
    rig.revision = rig.control.acks[-1].revision
    rig.publish()
    assert rig.control.acks[-1].problem == ""


def test_a_revoked_key_is_refused_within_seconds(configured_rig):
    rig = configured_rig
    secret = rig.new_key()
    client = rig.client(secret)
    ask(client)
    rig.keys.clear()
    rig.publish(wait=False)

    def is_refused():
        with contextlib.suppress(openai.AuthenticationError):
            ask(client)
            return False
        return True

    wait_until(is_refused, what="the refusal")


def test_calls_in_progress_finish_when_the_gateway_is_told_to_end(new_rig):
    rig = new_rig("--token-ms", "20")
    secret = rig.new_key()
    stream = ask(rig.client(secret), stream=True, max_tokens=40)
    first = next(stream)
    ended = threading.Thread(target=rig.gateway.process.terminate)
    ended.start()
    wait_until(lambda: rig.gateway.status("/readyz") == 503, what="the draining")
    rest = list(stream)
    ended.join()
    assert rig.gateway.process.popen.returncode == 0
    text = "".join(chunk.choices[0].delta.content or "" for chunk in [first, *rest])
    assert text.startswith("I am Quartermaster's")
    assert rest[-1].choices[0].finish_reason == "length"
    # Brought before the process ended.
    (event,) = rig.events(secret, 1)
    assert (event.status, event.usage.get("output", 0)) == ("ok", 40)
    assert not rig.gateway.spooled()


def test_calls_that_take_too_long_are_cut_off_and_recorded(new_rig):
    rig = new_rig("--token-ms", "50", GATEWAY_DRAIN_SECONDS="0")
    secret = rig.new_key()
    stream = ask(rig.client(secret), stream=True, max_tokens=200)
    next(stream)
    ending = threading.Thread(target=rig.gateway.process.terminate)
    ending.start()
    with pytest.raises(openai.APIError, match="shutting down"):
        list(stream)
    ending.join()
    (event,) = rig.events(secret, 1)
    assert (event.status, event.is_exact) == ("error", False)


def test_two_gateways_cannot_share_a_state_directory(shared_rig):
    other = Gateway(shared_rig.control, shared_rig.directory)
    other.log = shared_rig.directory / "other.log"
    with pytest.raises(AssertionError, match="another gateway uses"):
        other.start()


def test_a_taken_port_is_a_clear_error(shared_rig, tmp_path):
    other = Gateway(shared_rig.control, tmp_path, GATEWAY_PORT=str(shared_rig.gateway.port))
    other.state.mkdir(parents=True)
    process = Process(("gateway.proxy",), other.environment, other.log)
    assert process.popen.wait(60) == 1
    assert "GATEWAY_PORT" in process.output()


def test_metrics_want_the_token_where_one_is_set(new_rig):
    rig = new_rig(GATEWAY_METRICS_TOKEN="let-me-see")
    url = f"{rig.gateway.url}/metrics"
    assert requests.get(url).status_code == 401
    assert "llm_requests_total" in requests.get(url, headers={"authorization": "Bearer let-me-see"}).text


def test_metrics_are_for_this_machine_even_behind_a_proxy_on_it(new_rig):
    rig = new_rig(GATEWAY_TRUSTED_PROXIES="127.0.0.0/8")
    url = f"{rig.gateway.url}/metrics"
    assert requests.get(url).status_code == 200
    assert requests.get(url, headers={"x-forwarded-for": "203.0.113.9"}).status_code == 404
