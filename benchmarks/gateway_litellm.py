"""LiteLLM's proxy as ways of the gateway's benchmark: without limits, and with six limits in memory or in a Valkey."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gateway_ways import Way, request, run
from benchmarks.litellm_limits import MODEL, assert_limits_hold, secret_of

# LiteLLM does not start without one. Where it counts no limits, it is the key.
_MASTER_KEY = "sk-benchmark-master"
# US dollars for a token, so that there is money to count.
_PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 4e-6}
_WARM_UP_SECONDS = 3.0


@contextlib.contextmanager
def litellm(
    name: str, directory: Path, upstream_port: int, *, has_limits: bool = True, valkey_url: str = ""
) -> Iterator[Way]:
    """A LiteLLM proxy while the block runs, from the virtualenv of `tests/litellm/build.sh`, which makes it if needed.

    Its version is pinned there. Raises AssertionError if one of its limits does not hold.

    Args:
        name: of the way.
        directory: its own folder is made there.
        upstream_port: whom it calls.
        has_limits: give its key six limits; without, it only checks one key.
        valkey_url: where it counts them; in memory if empty.
    """
    script = Path(__file__).resolve().parents[1] / "tests" / "litellm" / "build.sh"
    subprocess.run(["bash", script], check=True, stdout=subprocess.DEVNULL)
    from tests.litellm.proxy import LiteLLM

    own = directory / name.replace(" ", "-")
    own.mkdir()
    proxy = LiteLLM(own, _settings(upstream_port, has_limits, valkey_url))
    proxy.start()
    try:
        if has_limits:
            assert_limits_hold(proxy.port)
        secret = secret_of("") if has_limits else _MASTER_KEY
        way = Way(name, proxy.port, secret, MODEL, proxy.popen.pid)
        # Its first calls cost more.
        run(way, request(way, 500, False), 16, _WARM_UP_SECONDS)
        yield way
    finally:
        proxy.kill()


def _settings(upstream_port: int, has_limits: bool, valkey_url: str) -> dict[str, Any]:
    """LiteLLM's configuration.

    Its checks after custom authentication enforce the budget. Its common checks would look users and teams up in a
    database, so they are off, as they are by default.
    """
    backend = {"model": "openai/up", "api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "none"}
    general: dict[str, Any] = {"master_key": _MASTER_KEY}
    lite: dict[str, Any] = {"num_retries": 0}
    if has_limits:
        general["custom_auth"] = "benchmarks.litellm_keys.authenticate"
        lite |= {"enable_post_custom_auth_checks": True, "budget_exceeded_status_code": 429}
    if valkey_url:
        general["coordination_redis"] = {"url": valkey_url}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": {**backend, **_PRICES}}],
        "general_settings": general,
        "litellm_settings": lite,
    }
