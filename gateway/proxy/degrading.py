"""Smaller models that answer on purpose: when a limit on money is used up to a share, or a route begins too late.

The call is then one to the smaller model, as with `gateway.proxy.fallbacks`. Only routes with `RouteConfig.degrading`,
and only keys of tenants that allow it, come here.
"""

import random
import time
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from gateway.contract import LimitConfig
from gateway.proxy.errors import Refusal
from gateway.proxy.index import Index, Key, Price, Route
from gateway.proxy.limits import LimitReached
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.state import State

# The part of the streams that go to a route's own model although it is too slow: they show when it is not any more.
MEASURED: Final = 0.05


@dataclass(frozen=True, slots=True)
class Smaller:
    """The route of a smaller model for one call, and why the call goes there, as the answer says it."""

    route: Route
    reason: str


async def smaller_model(
    state: State, index: Index, key: Key, parsed: ParsedRequest, route: Route
) -> Smaller | None:
    """The smaller model that shall answer a call; None if its own model shall.

    Args:
        state: of this process.
        index: the configuration.
        key: whose call it is.
        parsed: the call.
        route: the backends of its model that may receive it.
    """
    degrading = route.config.degrading
    if degrading is None or not key.config.may_degrade:
        return None
    other = index.stand_in(degrading.model, route, key, parsed.mode, time.time())
    if other is None:
        return None
    own, price = _price(index, key, parsed, parsed.model), _price(index, key, parsed, degrading.model)
    if price is None and own is not None:
        # Its calls would not be billed.
        return None
    percent, most = degrading.money_percent, degrading.first_token_ms
    if percent is not None and own is not None and price is not None:
        output_tokens = index.settings.default_output_tokens
        is_cheaper = _cost(parsed, other, price, output_tokens) < _cost(parsed, route, own, output_tokens)
        if is_cheaper and (limit := await _limit_passed(state, key, parsed.model, percent)) is not None:
            return Smaller(other, f"money; percent={percent}; limit={limit.id}")
    if most is not None:
        targets = {one.id for group in route.groups for one in group}
        median = state.first_tokens.median(*targets)
        if median is not None and median[0] * 1000 > most and not _is_measured(parsed):
            return Smaller(other, f"latency; ms={round(median[0] * 1000)}; streams={median[1]}")
    return None


async def _limit_passed(state: State, key: Key, model: str, percent: int) -> LimitConfig | None:
    """A limit on money of calls to `model`, of which that share is used or reserved; None if there is none.

    While limits cannot be checked, none is known.
    """
    shares = shares_of(key, model, percent)
    if not shares:
        return None
    try:
        await state.limiter.look(shares, key.config.tenant_id)
    except LimitReached as reached:
        return reached.limit
    except Refusal:
        pass
    return None


def shares_of(key: Key, model: str, percent: int) -> list[LimitConfig]:
    """The limits on money of calls to `model` as if they ended at a share: one is reached when that much is used.

    They have the counters of the limits themselves. The list is made once for each key, because limiters know lists
    by their identity.
    """
    # No model has such a name.
    name = f"{model}\0{percent}"
    found = key.found_limits.get(name)
    if found is None:
        found = key.found_limits[name] = [
            replace(limit, value=limit.value * percent // 100, is_hard=True)
            for limit in key.limits_on(model)
            if limit.kind == "money_per_month"
        ]
    return found


def _price(index: Index, key: Key, parsed: ParsedRequest, model: str) -> Price | None:
    """The price of such a call to a model; None without one, or with half of one."""
    price = index.price(key.config.tenant_id, model)
    return price if price is not None and parsed.is_priced_by(price) else None


def _cost(parsed: ParsedRequest, route: Route, price: Price, default_output_tokens: int) -> int:
    """The most that a call may cost there, in nano-units."""
    estimate = parsed.estimate(route, price, default_output_tokens)
    return estimate.input_nano + estimate.output_nano


def _is_measured(parsed: ParsedRequest) -> bool:
    return parsed.is_stream and random.random() < MEASURED  # noqa: S311
