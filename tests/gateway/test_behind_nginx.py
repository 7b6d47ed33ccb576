"""The gateway behind a real nginx, with the configuration that docs/examples/nginx.conf shows."""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import time

import openai
import pytest
import requests

from gateway.contract import SettingsConfig
from launcher.ports import free_port
from tests.gateway.proxy_fixtures import MODEL, REPOSITORY, Rig, ask, die_with_the_test, wait_until

EXAMPLE = REPOSITORY / "docs" / "examples" / "nginx.conf"
# As root, its workers would become somebody who cannot enter the folders of tests.
MAIN = """
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {example}
}}
"""
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}


class Nginx:
    """One nginx in front of a gateway."""

    def __init__(self, directory, gateway_port):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        directory.mkdir()
        example = EXAMPLE.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{gateway_port}")
        example = example.replace("127.0.0.1:8443", f"127.0.0.1:{self.port}")
        self._config = directory / "nginx.conf"
        self._config.write_text(
            MAIN.format(user="user root;" if os.getuid() == 0 else "", directory=directory, example=example)
        )
        self.errors = directory / "error.log"

    def start(self):
        self.popen = subprocess.Popen(
            [program(), "-c", str(self._config), "-e", str(self.errors)], preexec_fn=die_with_the_test
        )
        wait_until(self._is_up, what="nginx")

    def stop(self):
        self.popen.terminate()
        self.popen.wait(30)

    def _is_up(self):
        assert self.popen.poll() is None, self.errors.read_text()
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/healthz").status_code == 200


def program():
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        pytest.skip("nginx is not installed")
    return found


@pytest.fixture(scope="session")
def nginx_and_rig(tmp_path_factory):
    directory = tmp_path_factory.mktemp("nginx")
    program()
    rig = Rig(directory, GATEWAY_TRUSTED_PROXIES="127.0.0.1/32")
    rig.settings = SettingsConfig()
    rig.publish()
    nginx = Nginx(directory / "nginx", rig.gateway.port)
    nginx.start()
    yield nginx, rig
    nginx.stop()
    rig.close()


@pytest.fixture
def nginx(nginx_and_rig):
    return nginx_and_rig[0]


@pytest.fixture
def rig(nginx_and_rig):
    return nginx_and_rig[1]


def client(nginx, secret):
    return openai.OpenAI(base_url=f"{nginx.url}/v1", api_key=secret, max_retries=0, timeout=60)


def post(port, secret, source, forwarded=None, body=BODY):
    """One call from an address of this machine; its status, and its error's code."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(source, 0))
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    if forwarded:
        headers["x-forwarded-for"] = forwarded
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content.get("error", {}).get("code")


def test_calls_and_streams_pass_and_are_recorded_once(nginx, rig):
    key = rig.new_key()
    assert ask(client(nginx, key)).usage.completion_tokens == 8
    assert len(list(ask(client(nginx, key), stream=True))) > 2
    assert {event.status for event in rig.events(key, 2)} == {"ok"}


def test_a_stream_is_not_buffered(nginx, rig):
    key = rig.new_key()
    rig.engine.fail_next("stall-after=2")
    stream = ask(client(nginx, key), "word " * 20, stream=True, max_tokens=20)
    began = time.monotonic()
    # The engine says no more after these, and the stream is still open.
    assert next(stream).choices
    assert next(stream).choices
    assert time.monotonic() - began < 30
    stream.close()
    # The hang-up reaches the gateway through nginx.
    [event] = rig.events(key, 1)
    assert event.status == "cancelled"


def test_a_keys_network_is_compared_with_the_clients_address_and_not_with_nginx(nginx, rig):
    key = rig.new_key(networks=["127.0.0.3/32"])
    assert post(nginx.port, key, "127.0.0.3") == (200, None)
    assert post(nginx.port, key, "127.0.0.4") == (401, "ip_not_authorized")
    # nginx itself is in no network of the key.
    of_nginx = rig.new_key(networks=["127.0.0.1/32"])
    assert post(nginx.port, of_nginx, "127.0.0.3") == (401, "ip_not_authorized")


def test_a_forged_address_is_not_believed_through_nginx_nor_from_elsewhere(nginx, rig):
    key = rig.new_key(networks=["198.51.100.0/24"])
    for forged in ("198.51.100.7", "198.51.100.7, 127.0.0.1", "127.0.0.1, 198.51.100.7"):
        assert post(nginx.port, key, "127.0.0.3", forged) == (401, "ip_not_authorized")
        # Straight to the gateway, from an address that is no trusted proxy.
        assert post(rig.gateway.port, key, "127.0.0.2", forged) == (401, "ip_not_authorized")
    # A trusted proxy is believed: otherwise the refusals above would show nothing.
    assert post(rig.gateway.port, key, "127.0.0.1", "198.51.100.7") == (200, None)


def test_a_body_that_is_too_large_is_413_in_openais_shape(nginx, rig):
    key = rig.new_key()
    for size, answer in [(3_000_000, (200, None)), (9_000_000, (413, "request_too_large"))]:
        body = {**BODY, "messages": [{"role": "user", "content": "x" * size}]}
        assert post(nginx.port, key, "127.0.0.1", body=body) == answer
    # nginx refuses at the gateway's own limit.
    assert "client_max_body_size 8m" in EXAMPLE.read_text()
    assert SettingsConfig().max_body_bytes == 8 * 1024 * 1024


def test_a_sound_may_be_larger(nginx, rig):
    headers = {"authorization": f"Bearer {rig.new_key()}"}
    url = f"{nginx.url}/v1/audio/transcriptions"
    for size, answer in [(20_000_000, (404, "model_not_found")), (35_000_000, (413, "request_too_large"))]:
        files = {"file": ("a.wav", b"\0" * size, "audio/wav")}
        came = requests.post(url, data={"model": "unknown"}, files=files, headers=headers, timeout=60)
        assert (came.status_code, came.json()["error"]["code"]) == answer
    assert SettingsConfig().max_upload_bytes == 32 * 1024 * 1024


def test_without_a_gateway_clients_are_told_to_try_again(nginx, rig):
    key = rig.new_key()
    rig.gateway.process.terminate()
    try:
        assert post(nginx.port, key, "127.0.0.1") == (503, "unavailable")
    finally:
        rig.gateway.start()
    assert post(nginx.port, key, "127.0.0.1") == (200, None)


def test_only_calls_are_published(nginx):
    for path in ("/metrics", "/readyz", "/", "/internal/v1/config", "/v2/models"):
        assert requests.get(f"{nginx.url}{path}").status_code == 404


def test_the_example_keeps_connections_for_less_time_than_gateways_do():
    example = EXAMPLE.read_text()
    kept = int(example.split("keepalive_timeout ")[1].split("s;")[0])
    settings = (REPOSITORY / "docs" / "gateway" / "operating.md").read_text()
    longest = int(settings.split("`GATEWAY_HEAD_SECONDS` | ")[1].split("\n")[0].split(": ")[1].split(" ")[0])
    assert kept < longest
