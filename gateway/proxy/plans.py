"""What holds for every call of one key to one model, in one mode: found once for each configuration."""

from typing import Final

from gateway.contract import LimitConfig, Mode
from gateway.proxy.index import Index, Key, Price, Route
from gateway.proxy.separation import Apart

# The most plans of one configuration. Only granted models that are served have one.
MOST_PLANS: Final = 4096


class Plan:
    """The facts of such calls that do not depend on the call itself. Not to be changed.

    A plan knows its key, but not its index: an index that has been replaced is freed at once.
    """

    __slots__ = ("apart", "grant_ends_at", "is_money_bounded", "key", "limits", "model", "price", "route")

    def __init__(self, index: Index, key: Key, model: str, route: Route) -> None:
        """Find the facts.

        Args:
            index: the configuration.
            key: whose calls they are.
            model: that they name, one of those that are granted to the key.
            route: the backends that may get such a call.
        """
        tenant_id = key.config.tenant_id
        self.key = key
        self.model = model
        self.route = route
        self.price: Price | None = index.price(tenant_id, model)
        # All of them belong to the key's tenant.
        self.limits: list[LimitConfig] = key.limits_on(model)
        # One of the limits refuses calls without a price.
        self.is_money_bounded = any(one.kind == "money_per_month" and one.is_hard for one in self.limits)
        # In seconds since the epoch; None: never.
        self.grant_ends_at: float | None = key.config.grant_ends.get(model)
        # Of a call with no names of users or caches.
        self.apart = Apart(index.separation.salt_of(tenant_id))


def plan_of(index: Index, key: Key, model: str, mode: Mode) -> Plan | None:
    """The plan of such calls; None if the model is not granted to the key, or no backend may take the call.

    Whether the grant has ended by now is for the caller to ask.

    Args:
        index: the configuration.
        key: whose calls they are, one of this configuration.
        model: as clients name it.
        mode: of the call.
    """
    place = (key.config.digest, model, mode)
    plan = index.plans.get(place)
    if plan is not None:
        # Its key may have been read again since: the same facts in another object.
        return plan
    if model not in key.models:
        return None
    route = index.route_of(model, key.config, mode)
    if route is None:
        return None
    if len(index.plans) >= MOST_PLANS:
        index.plans.clear()
    plan = index.plans[place] = Plan(index, key, model, route)
    return plan
