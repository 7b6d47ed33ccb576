"""The gateway of a trial: a process of its own, with a folder that is deleted afterwards."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from socket import create_server
from tempfile import TemporaryDirectory

# What a gateway needs of our own environment; it gets no secret of the console.
_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "PYTHONPATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GATEWAY_CREDENTIALS_DIR",
)
_START_SECONDS = 60.0


class DidNotStart(Exception):
    """The gateway did not start. The message has its last words."""


class TrialGateway:
    """A running gateway. `url` is its address, `folder` has all that it writes."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def status(self, path: str) -> int:
        """The status with which it answers a GET; 0: it does not answer."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:  # noqa: S310  our own, by http
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metric(self, name: str, *labels: str) -> float:
        """The sum of a metric's samples that have all of these labels, such as `reason="credentials"`."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as answer:  # noqa: S310  our own, by http
            lines = answer.read().decode().splitlines()
        found = [
            line for line in lines if line.startswith(f"{name}{{") and all(one in line for one in labels)
        ]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def written(self) -> Iterator[bytes]:
        """The content of each file that it has written."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                yield path.read_bytes()


@contextlib.contextmanager
def running_gateway(
    code: Path, console_url: str, token: str, environment: Mapping[str, str]
) -> Iterator[TrialGateway]:
    """A gateway that serves the console's configuration, until the end of the block. Raises DidNotStart.

    Args:
        code: the folder from which Python imports the gateway.
        console_url: who configures it.
        token: what it shows there.
        environment: further variables.
    """
    with TemporaryDirectory(prefix="try-provider-") as name:
        folder, port = Path(name), _free_port()
        log = folder / "gateway.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway.proxy"],
                cwd=code,
                stdout=output,
                stderr=output,
                env={
                    **_passed_on(),
                    "GATEWAY_ID": "try-provider",
                    "GATEWAY_TOKEN": token,
                    "GATEWAY_CONTROL_URL": console_url,
                    "GATEWAY_STATE_DIR": str(folder / "state"),
                    "GATEWAY_HOST": "127.0.0.1",
                    "GATEWAY_PORT": str(port),
                    "GATEWAY_DRAIN_SECONDS": "0",
                    **environment,
                },
            )
        gateway = TrialGateway(f"http://127.0.0.1:{port}", folder)
        try:
            until = time.monotonic() + _START_SECONDS
            while gateway.status("/readyz") != 200:
                if process.poll() is not None or time.monotonic() > until:
                    raise DidNotStart(log.read_text(errors="replace")[-500:])
                time.sleep(0.1)
            yield gateway
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _passed_on() -> dict[str, str]:
    """The part of our environment that it gets, with the variables of providers' credentials."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith("PROVIDER_")
    }


def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
