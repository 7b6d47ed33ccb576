"""A restart that no client notices: the listening socket outlives the gateway."""

import os
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests

from gateway.proxy.handover import handed_over
from gateway.proxy.settings import SettingsError
from tests.gateway.proxy_fixtures import MODEL, REPOSITORY, ask, die_with_the_test, wait_until

BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}


class HandedOver:
    """The gateway of a rig, started as systemd does: with a socket that stays when it ends."""

    def __init__(self, rig):
        self.gateway = rig.gateway
        # The port is free only once the gateway of the rig has gone.
        rig.gateway.process.kill()
        self.socket = socket.create_server(("127.0.0.1", rig.gateway.port), backlog=128)

    def start(self):
        held = self.socket.fileno()

        def take_socket():
            die_with_the_test()
            os.dup2(held, 3)

        with self.gateway.log.open("ab") as output:
            self.popen = subprocess.Popen(
                ["sh", "-c", f"LISTEN_PID=$$ LISTEN_FDS=1 exec {sys.executable} -m gateway.proxy"],
                env={**os.environ, **self.gateway.environment},
                cwd=REPOSITORY,
                stdout=output,
                stderr=output,
                pass_fds=(3,),
                preexec_fn=take_socket,
            )

    def restart(self):
        self.popen.terminate()
        assert self.popen.wait(60) == 0
        self.start()

    def close(self):
        self.popen.kill()
        self.popen.wait(60)
        self.socket.close()


@pytest.fixture
def rig(new_rig):
    return new_rig("--token-ms", "20")


def test_a_restart_refuses_no_connection_and_cuts_off_no_stream(rig):
    secret = rig.new_key()
    handed = HandedOver(rig)
    handed.start()
    wait_until(lambda: rig.gateway.status("/readyz") == 200, what="the gateway")
    outcomes = []
    is_over = threading.Event()

    def go_on():
        headers = {"authorization": f"Bearer {secret}"}
        while not is_over.is_set():
            try:
                # A new connection for each call.
                answer = requests.post(
                    f"{rig.gateway.url}/v1/chat/completions", json=BODY, headers=headers, timeout=60
                )
                outcomes.append(answer.status_code)
            except requests.RequestException as error:
                outcomes.append(repr(error))

    callers = [threading.Thread(target=go_on) for _ in range(4)]
    try:
        for caller in callers:
            caller.start()
        wait_until(lambda: len(outcomes) > 8, what="some calls")
        stream = ask(rig.client(secret), stream=True, max_tokens=150)
        next(stream)
        pieces = []
        reading = threading.Thread(target=lambda: pieces.extend(stream))
        reading.start()
        handed.restart()
        reading.join()
        seen = len(outcomes)
        wait_until(lambda: len(outcomes) > seen + 8, what="calls after the restart")
        time.sleep(0.2)
    finally:
        is_over.set()
        for caller in callers:
            caller.join()
        handed.close()
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert set(outcomes) == {200}, [one for one in outcomes if one != 200][:3]


def test_without_a_hand_over_it_listens_itself():
    assert handed_over({}) is None
    # Meant for another process.
    assert handed_over({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) is None


@pytest.mark.parametrize(
    ("number", "workers", "words"), [("2", 1, "one socket"), ("", 1, "one socket"), ("1", 2, "WORKERS=1")]
)
def test_a_hand_over_that_it_cannot_take_stops_the_start(number, workers, words):
    with pytest.raises(SettingsError, match=words):
        handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": number}, workers=workers)
