"""A real LiteLLM proxy, from the virtualenv that `build.sh` makes."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import requests

from launcher.ports import free_port
from tests.gateway.proxy_fixtures import REPOSITORY, die_with_the_test, wait_until

_LOCK = Path(__file__).with_name("requirements.lock")
# It fetches nothing and tells nobody.
_ALONE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "NO_DOCS": "True",
    "DISABLE_ADMIN_UI": "True",
    "PYTHONUNBUFFERED": "1",
}


def virtualenv():
    """The virtualenv with LiteLLM; skips the test if nobody has made it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quartermaster"
    folder = cache / f"litellm-{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]}"
    if not (folder / "complete").exists():
        pytest.skip("LiteLLM is not installed: run tests/litellm/build.sh")
    return folder


class LiteLLM:
    """One LiteLLM process. `start` waits until it answers."""

    def __init__(self, directory, settings, **environment):
        self.program = virtualenv() / "bin" / "litellm"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / f"litellm-{self.port}.log"
        self._config = directory / f"litellm-{self.port}.yaml"
        # JSON is YAML.
        self._config.write_text(json.dumps(settings))
        # Nothing of the tests' own environment: a DATABASE_URL would be taken for LiteLLM's.
        home = {"PATH": os.environ["PATH"], "HOME": str(directory)}
        self._environment = {**home, **_ALONE, "PYTHONPATH": str(REPOSITORY), **environment}

    def begin(self):
        """Start without waiting."""
        arguments = ["--config", str(self._config), "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                [str(self.program), *arguments],
                env=self._environment,
                stdout=output,
                stderr=output,
                cwd=self.log.parent,
                preexec_fn=die_with_the_test,
            )

    def wait(self):
        """Wait until it answers."""
        wait_until(lambda: self.popen.poll() is not None or self._is_alive(), 180, "LiteLLM's health")
        assert self.popen.poll() is None, self.log.read_text()

    def start(self):
        self.begin()
        self.wait()

    def kill(self):
        self.popen.kill()
        self.popen.wait(60)

    def terminate(self):
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(60)

    def _is_alive(self):
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/health/liveliness").status_code == 200
