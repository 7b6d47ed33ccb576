"""Real processes for the gateway's tests: gateway, demo engine, and a stand-in for the control plane.

The stand-in is the only part that is not the product. It speaks gateway/contract/ over HTTP and keeps what
it is told in memory; it can go away, and refuse what it is told to. `Rig` puts the three together.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import openai
import pytest
import requests

from core.secrets import new_key_secret, visible_prefix
from gateway.contract import (
    ConfigSnapshot,
    KeyConfig,
    LimitConfig,
    PriceConfig,
    RouteConfig,
    SettingsConfig,
    digest,
)
from launcher.ports import free_port
from tests.gateway.eventually import wait_until
from tests.gateway.stand_in_control_plane import StandInControlPlane
from tests.gateway.targets import target

REPOSITORY = Path(__file__).resolve().parents[2]
# Public names differ from the engine's, to see that they are translated.
MODEL = "aurora-chat"
VECTORS = "aurora-vectors"
ENGINE_MODEL = "demo-engine-1"


def die_with_the_test():
    """In the child: ask Linux for SIGKILL when the test run is killed itself."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """A child process whose output is kept, and which never outlives its test."""

    def __init__(self, arguments, environment, log):
        self.log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env={**os.environ, **environment},
                cwd=REPOSITORY,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_the_test,
            )

    def kill(self):
        self.popen.kill()
        self.popen.wait(60)

    def terminate(self, seconds=60):
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(seconds)

    def output(self):
        return self.log.read_text(errors="replace")


class Engine:
    """A demo engine that fails when told to."""

    def __init__(self, directory, *options, port=None, waits=True):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._options = options
        self._log = directory / f"engine-{self.port}.log"
        self.start(waits=waits)

    def start(self, *, waits=True):
        arguments = (
            "deployments.engine",
            "--port",
            str(self.port),
            "--model",
            ENGINE_MODEL,
            "--allow-faults",
        )
        self.process = Process((*arguments, "--die-with-parent", *self._options), {}, self._log)
        if waits:
            self.wait()

    def wait(self):
        wait_until(self.is_healthy, what="the engine's health")

    def is_healthy(self):
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/health").status_code == 200

    def fail_next(self, fault, calls=1):
        requests.post(f"{self.url}/faults", json={"fault": fault, "calls": calls}).raise_for_status()

    def seen(self):
        return requests.get(f"{self.url}/seen").json()

    def backend(self, **changes):
        fields = {"id": f"engine-{self.port}", "url": f"{self.url}/v1", "upstream_model": ENGINE_MODEL}
        return target(**{**fields, **changes})


class Gateway:
    """A gateway process and its state directory, which survives the process."""

    def __init__(self, control, directory, **environment):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = directory / "gateway"
        self.log = directory / "gateway.log"
        self.environment = {
            "GATEWAY_ID": "gw-test",
            "GATEWAY_TOKEN": control.token,
            "GATEWAY_CONTROL_URL": control.url,
            "GATEWAY_STATE_DIR": str(self.state),
            "GATEWAY_PORT": str(self.port),
            **environment,
        }

    def start(self, *, until_ready=True):
        self.process = Process(("gateway.proxy",), self.environment, self.log)
        ended = self.process.popen.poll
        wait_until(lambda: ended() is not None or self.status("/healthz") == 200, what="the gateway's health")
        assert ended() is None, self.process.output()
        if until_ready:
            wait_until(lambda: self.status("/readyz") == 200, what="the gateway's readiness")

    def status(self, path):
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}{path}").status_code

    def client(self, secret, **options):
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=secret, max_retries=0, timeout=60, **options)

    def metric(self, line_start):
        for line in requests.get(f"{self.url}/metrics").text.splitlines():
            if line.startswith(line_start):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def spooled(self):
        return sorted((self.state / "spool").glob("*.spool"))


class Rig:
    """Control plane, gateway and engine, and the configuration that joins them."""

    def __init__(self, directory, *engine_options, **environment):
        self.directory = directory
        self.control = StandInControlPlane()
        self.control.up()
        # It starts while the gateway does.
        self.engine = Engine(directory, *engine_options, waits=False)
        self.configure()
        self.revision = 0
        self.gateway = Gateway(self.control, directory, **environment)
        self.publish(wait=False)
        self.gateway.start()
        self.engine.wait()

    def configure(self, **backend):
        """Set the configuration to that of a new rig, without publishing it. `backend` are fields of its backend."""
        self.keys = []
        self.routes = [
            RouteConfig(model=MODEL, modes=["chat"], targets=[self.engine.backend(**backend)]),
            RouteConfig(model=VECTORS, modes=["embedding"], targets=[self.engine.backend(**backend)]),
            RouteConfig(model="nobody-serves-me", modes=["chat"], targets=[]),
        ]
        self.prices = [
            PriceConfig(model=MODEL, nano_per_unit={"input": 1000, "cache_read": 100, "output": 4000})
        ]
        self.settings = SettingsConfig(max_body_bytes=100_000)

    def publish(self, *, wait=True):
        """Make the configuration current, and wait until the gateway has it."""
        self.revision += 1
        self.control.publish(
            ConfigSnapshot(
                revision=self.revision,
                issued_at="2026-01-01T00:00:00Z",
                keys=list(self.keys),
                routes=list(self.routes),
                prices=list(self.prices),
                settings=self.settings,
            )
        )
        if wait:
            self.control.acked(self.revision)

    def new_key(self, *, limits=(), models=(MODEL, VECTORS, "nobody-serves-me"), **fields):
        """Issue a key, published and acknowledged."""
        secret = new_key_secret()
        key = KeyConfig(
            digest=digest(secret),
            key_id=str(uuid.uuid4()),
            prefix=visible_prefix(secret),
            tenant_id="0199-tenant",
            tenant_slug="aurora-bank",
            project_id="0199c0de-0000-7000-8000-00000000000a",
            project_slug="fraud",
            models=list(models),
            limits=list(limits),
            **fields,
        )
        self.keys.append(key)
        self.publish()
        return secret

    def client(self, secret=None, **options):
        return self.gateway.client(secret or self.new_key(), **options)

    def key_id(self, secret):
        return next(key.key_id for key in self.keys if key.digest == digest(secret))

    def events(self, secret, count, seconds=60.0):
        """The events of a key, once there are `count`; never more."""
        key_id = self.key_id(secret)

        def mine():
            return [event for event in list(self.control.events.values()) if event.key_id == key_id]

        wait_until(lambda: len(mine()) >= count, seconds, f"{count} events of this key")
        assert len(mine()) == count
        return sorted(mine(), key=lambda event: event.call_id)

    def close(self):
        self.gateway.process.kill()
        self.engine.process.kill()
        self.control.close()


def limit(kind, value, **fields):
    """A limit on a project, or as `fields` say."""
    scope = {"id": str(uuid.uuid4()), "scope": "project", "scope_id": "0199c0de-0000-7000-8000-00000000000a"}
    return LimitConfig(**{**scope, "kind": kind, "value": value, **fields})


def ask(client, text="Hello", **options):
    """One plain chat call."""
    return client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}], **{"max_tokens": 8, **options}
    )


@pytest.fixture(scope="session")
def shared_rig(tmp_path_factory):
    """A rig for tests that leave it as they found it."""
    rig = Rig(tmp_path_factory.mktemp("rig"))
    yield rig
    rig.close()


@pytest.fixture(scope="session")
def _rig_to_configure(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("rig"))
    yield rig
    rig.close()


@pytest.fixture
def configured_rig(_rig_to_configure):
    """A rig for tests that publish a configuration of their own, and leave its processes as they are."""
    # Another backend for the gateway, which remembers nothing of its failures.
    _rig_to_configure.configure(id=f"engine-{uuid.uuid4()}")
    return _rig_to_configure


@pytest.fixture
def new_rig(tmp_path):
    """Builds a rig of this test's own, to break it."""
    rigs = []

    def build(*engine_options, **environment):
        rigs.append(Rig(tmp_path, *engine_options, **environment))
        return rigs[-1]

    yield build
    for rig in rigs:
        rig.close()
