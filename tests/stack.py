"""The whole product as processes, against the database under test: what `make demo` starts, without its data.

`running_stack` serves all tests of a module, because starting it takes seconds. Its tests commit, and share
what they commit; each makes tenants, models and keys of its own. The database is made anew afterwards.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import openai
import pytest
import requests

from core.secrets import GATEWAY_TOKEN, new_secret
from launcher.demo import Ports, services
from launcher.ports import LOOPBACK, free_port
from launcher.processes import spawn, stop
from launcher.running import RunningServer
from launcher.valkey import EmbeddedValkey
from tests.patience import overload

STARTED_WITHIN_SECONDS = 180
GATEWAY = "local"


@pytest.fixture(scope="module")
def running_stack(django_db_setup, django_db_blocker):
    """A `Stack` with console, engine host, worker, beat and gateway, all ready."""
    from tests.databases import renew_clone

    with django_db_blocker.unblock():
        stack = Stack()
        try:
            stack.start_all()
            yield stack
        finally:
            stack.close()
            renew_clone()


class Stack:
    """The processes, by the names the demo gives them, and ways to talk to them."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="quartermaster-stack-"))
        self.ports = Ports(console=free_port(), gateway=free_port())
        self.console = f"http://{LOOPBACK}:{self.ports.console}"
        self.gateway = f"http://{LOOPBACK}:{self.ports.gateway}"
        self.processes = {}
        self._logs = {}
        # A queue of its own: workers of several stacks must not take each other's tasks.
        queue = EmbeddedValkey(
            self.directory / "queue", port=free_port(), password=secrets.token_urlsafe(16), durable=False
        )
        self._queue_log = (self.directory / "queue.log").open("wb")
        self._queue = RunningServer(queue, self._queue_log)
        self.broker = queue.url()
        self.gateway_token = new_secret(GATEWAY_TOKEN)
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings.test",
            "CELERY_BROKER_URL": self.broker,
            "LOCAL_DIR": str(self.directory),
            "ENGINE_STATE_DIR": str(self.directory / "engines"),
            "EXPORT_DIR": str(self.directory / "exports"),
            # So that the console stops soon.
            "CONFIG_POLL_SECONDS": "1",
            "CONSOLE_URL": self.console,
            "CONSOLE_PORT": str(self.ports.console),
            "GATEWAY_URL": f"{self.gateway}/v1",
            "GATEWAY_ID": GATEWAY,
            "GATEWAY_TOKEN": self.gateway_token,
            "GATEWAY_CONTROL_URL": self.console,
            "GATEWAY_STATE_DIR": str(self.directory / "gateway"),
            "GATEWAY_HOST": LOOPBACK,
            "GATEWAY_PORT": str(self.ports.gateway),
        }
        (self.directory / "exports").mkdir()
        self.services = {service.name: service for service in services(self.environment, self.ports)}

    def start_all(self, *names):
        """Register the gateway, raise the first revision, and start every process (or those named) at once."""
        from gateway.actions import register_gateway
        from gateway.signing import pins
        from tenants.revision import raise_revision

        register_gateway(GATEWAY, by=None, secret=self.gateway_token)
        self.environment["GATEWAY_CONFIG_KEYS"] = ",".join(map(str, pins()))
        raise_revision()
        names = names or tuple(self.services)
        for name in names:
            self._spawn(name)
        for name in names:
            self._await(name)

    def start(self, name):
        """Start one process again and wait until it is ready."""
        self._spawn(name)
        self._await(name)

    def stop(self, name):
        """Ask one process to end, and wait until it has."""
        service = self.services[name]
        process = self.processes.pop(name)
        stop(process, service.command.stop_signal, timeout_seconds=service.stop_seconds)

    def kill(self, name):
        """Kill one process, and what it had started, as the kernel would."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self):
        for name in reversed(list(self.processes)):
            self.stop(name)
        self._queue.stop()
        for log in (self._queue_log, *self._logs.values()):
            log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self, name):
        """What a process has said so far."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def wait_until(self, claim, seconds=60.0, what="it"):
        """Return the first true answer of `claim`; fail, with the last words of all, if there is none in time.

        `seconds` are those of a machine that is not overloaded.
        """
        began = time.monotonic()
        while time.monotonic() < began + seconds * overload():
            if answer := claim():
                return answer
            time.sleep(0.02)
        words = "\n".join(f"--- {name}\n{self.log(name)[-1500:]}" for name in self._logs)
        raise AssertionError(f"{what} did not happen within {seconds} s\n{words}")

    def acknowledged(self, revision=None, seconds=60.0):
        """Wait until the gateway says that it serves `revision`, or the newest."""
        from gateway.models import Gateway
        from tenants.revision import current_revision

        wanted = revision or current_revision()

        def serves():
            return Gateway.objects.get(name=GATEWAY).acknowledged_revision >= wanted

        self.wait_until(serves, seconds, f"the acknowledgement of revision {wanted}")

    def client(self, secret, **options):
        """The official client, holding a key, speaking to the gateway."""
        return openai.OpenAI(
            api_key=secret, base_url=f"{self.gateway}/v1", **({"max_retries": 0, "timeout": 60} | options)
        )

    def api(self, user):
        """A session of the HTTP API, signed in as `user` by a token of theirs."""
        from tenants.actions import issue_personal_access_token

        _, secret = issue_personal_access_token(user, name="test", life=timedelta(hours=1))
        session = Api(f"{self.console}/api/v1/")
        session.headers["Authorization"] = f"Bearer {secret}"
        return session

    def _spawn(self, name):
        if name not in self._logs:
            self._logs[name] = (self.directory / f"{name}.log").open("ab")
        self.processes[name] = spawn(self.services[name].command, output=self._logs[name])

    def _await(self, name):
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS
        while not self.services[name].is_ready():
            ended = self.processes[name].poll() is not None
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"{name} did not start:\n{self.log(name)[-4000:]}")
            time.sleep(0.05)


class Api(requests.Session):
    """Paths are below /api/v1/."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def request(self, method, path, **options):
        return super().request(method, self.base + path, **({"timeout": 60} | options))

    def add_to_route(self, deployment_id):
        """Give a new deployment calls to its model, as its operator must before it gets any."""
        deployment = self.get(f"deployments/{deployment_id}/").json()
        [route] = self.get("routes/", params={"model__name": deployment["model"]}).json()["results"]
        entries = [{"target": entry["target"], "weight": entry["weight"]} for entry in route["entries"]]
        wanted = {"generation": route["generation"], "entries": [*entries, {"target": deployment["target"]}]}
        answer = self.put(f"routes/{route['id']}/", json=wanted)
        assert answer.status_code == 200, answer.text


__all__ = ["Stack", "running_stack"]
