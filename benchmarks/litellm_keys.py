"""The keys of the benchmark's LiteLLM, which imports this as its `custom_auth`; only LiteLLM's virtualenv can.

LiteLLM looks keys and their limits up in its database, or asks such a module for them.
"""

from __future__ import annotations

from typing import Any

from litellm.proxy._types import ProxyException, UserAPIKeyAuth

from benchmarks.litellm_limits import LIMITS, MODEL, UNREACHED, secret_of


def _key(small: str) -> UserAPIKeyAuth:
    """A key with all limits out of reach but `small`, and with a user and a team of its own."""
    values: dict[str, Any] = {
        name: limit.small if name == small else UNREACHED for name, limit in LIMITS.items()
    }
    budget = {"budget_limit": values.pop("model_max_budget"), "time_period": "30d"}
    return UserAPIKeyAuth(
        api_key=secret_of(small),
        user_id=f"user-{small}",
        team_id=f"team-{small}",
        model_max_budget={MODEL: budget},
        **values,
    )


_KEYS = {secret_of(small): _key(small) for small in ("", *LIMITS)}


async def authenticate(request: object, api_key: str) -> UserAPIKeyAuth:
    """The key. Raises ProxyException (401) for any other."""
    key = _KEYS.get(api_key)
    if key is None:
        raise ProxyException("Unknown key.", "auth_error", None, 401)
    # LiteLLM writes into it.
    return key.model_copy()
