"""The limits of the benchmark's LiteLLM: as many as our gateways have, and proof that each of them holds."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from typing import NamedTuple

MODEL = "bench"
UNREACHED = 10**12


class Limit(NamedTuple):
    """A value that is soon reached, and the words of LiteLLM's refusal then."""

    small: float
    refusal: tuple[str, ...]


# By LiteLLM's names. Money is in US dollars; 0 would refuse the first call, too.
LIMITS = {
    "rpm_limit": Limit(1, ("api_key", "requests")),
    "tpm_limit": Limit(300, ("api_key", "tokens")),
    "max_parallel_requests": Limit(1, ("api_key", "max_parallel_requests")),
    "user_tpm_limit": Limit(300, ("user", "tokens")),
    "team_tpm_limit": Limit(300, ("team", "tokens")),
    "model_max_budget": Limit(1e-9, ("budget",)),
}


def secret_of(small: str) -> str:
    """The key whose limit `small` is small; an empty name means the key that never reaches its limits."""
    return f"sk-benchmark-{small.replace('_', '-')}" if small else "sk-benchmark"


def assert_limits_hold(port: int, seconds: float = 30.0) -> None:
    """Call a LiteLLM until each limit is reached, by a key that has the others out of reach.

    Raises AssertionError if a first call is not answered, or if a limit holds nobody back within `seconds`.
    """
    for name, limit in LIMITS.items():
        if name == "max_parallel_requests":
            with _stream(port, secret_of(name)):
                status, text = _call(port, secret_of(name))
        else:
            status, text = _call(port, secret_of(name))
            assert status == 200, f"the first call under a small {name}: {status} {text}"
            until = time.monotonic() + seconds
            while status == 200 and time.monotonic() < until:
                status, text = _call(port, secret_of(name))
        assert status == 429, f"{name} of {limit.small} holds nobody back: {status} {text}"
        missing = [word for word in limit.refusal if word not in text.lower()]
        assert not missing, f"another limit than {name}: {text}"
    status, text = _call(port, secret_of(""))
    assert status == 200, f"the key that is measured: {status} {text}"


def _call(port: int, secret: str) -> tuple[int, str]:
    """A plain call: its status, and its answer as text."""
    with contextlib.closing(_ask(port, secret, "Hello", is_stream=False)) as connection:
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@contextlib.contextmanager
def _stream(port: int, secret: str) -> Iterator[None]:
    """A stream that goes on while the block runs."""
    with contextlib.closing(_ask(port, secret, "paced", is_stream=True)) as connection:
        answer = connection.getresponse()
        assert answer.status == 200, f"a single stream: {answer.status} {answer.read()!r}"
        answer.read(1)
        yield


def _ask(port: int, secret: str, text: str, *, is_stream: bool) -> http.client.HTTPConnection:
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 100}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    connection.request(
        "POST", "/v1/chat/completions", json.dumps({**body, "stream": is_stream}), headers=headers
    )
    return connection
