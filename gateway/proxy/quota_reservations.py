"""Reserve a part of a provider's quota for one attempt of a call.

An attempt counts as one request, however it ends, unless no connection could be made for it. Its tokens are reserved as
an upper estimate until the call settles; if another backend is asked after it, it used none.
"""

from gateway.contract import SettingsConfig
from gateway.proxy.errors import Refusal
from gateway.proxy.index import Route
from gateway.proxy.limits import EstimatedUsage, Limiter, LimitReached, Reservation
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.quotas import Quota


async def reserve_quota(
    limiter: Limiter,
    quota: Quota | None,
    before: Reservation | None,
    parsed: ParsedRequest,
    route: Route,
    settings: SettingsConfig,
) -> tuple[Reservation | None, float]:
    """Release what the attempt before reserved, and reserve for the next one: the reservation, and seconds to wait.

    The wait is 0 unless the quota is used up. While limits cannot be checked, the call goes to the provider, which
    refuses what is too much by itself.

    Args:
        limiter: counts.
        quota: of the next backend's provider; None: it has none.
        before: what the attempt before reserved.
        parsed: the call.
        route: the route of the model.
        settings: settings of the configuration.
    """
    if before is not None:
        await limiter.settle(before, 0, 0)
    if quota is None:
        return None, 0.0
    most = parsed.estimate(route, None, settings.default_output_tokens)
    tokens = min(most.input_tokens + most.output_tokens, quota.most_tokens)
    estimate = EstimatedUsage(input_tokens=tokens, output_tokens=0, is_output_named=True)
    try:
        return await limiter.admit(quota.limits, estimate, quota.owner), 0.0
    except LimitReached as reached:
        return None, reached.wait_seconds
    except Refusal:
        return None, 0.0


async def settle_with_quota(
    limiter: Limiter, own: Reservation, quota: Reservation | None, tokens: int, nano: int
) -> None:
    """Settle what a call and its last attempt have reserved: the quota too if the client leaves meanwhile.

    Args:
        limiter: counts.
        own: what the call reserved under the limits of its key.
        quota: what the attempt reserved of its provider's quota, if anything.
        tokens: that the call used.
        nano: its cost in billionths of the currency.
    """
    try:
        await limiter.settle(own, tokens, nano)
    finally:
        if quota is not None:
            await limiter.settle(quota, tokens, 0)
