"""A snapshot, compiled for fast lookups. Immutable: a new revision is a new index."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.regions import distance
from deployments.engine_controls import NEVER, fold, folded
from deployments.providers.dialects import DIALECTS, Dialect
from gateway.contract import (
    ConfigSnapshot,
    ContractError,
    DataClass,
    HandlingConfig,
    KeyConfig,
    Mode,
    RouteConfig,
    SettingsConfig,
    TargetConfig,
)
from gateway.contract.versions import may_receive, may_stand_in, require_readable
from gateway.proxy.prices import Price, compile_price
from gateway.proxy.quotas import Quota, quota_of
from gateway.proxy.records import Key, Keys, WholeKeys
from gateway.proxy.separation import Separation

if TYPE_CHECKING:
    from gateway.proxy.plans import Plan

__all__ = ["Backend", "Index", "Key", "Price", "Route"]

# Routes of one model for tenants with different policies.
_MOST_PERMITTED = 10_000
_DEFAULT_HANDLING = HandlingConfig()


@dataclass(frozen=True, slots=True)
class Backend:
    """One address of a target, with precomputed values."""

    config: TargetConfig
    # Up to and including `/v1`.
    url: str
    allowed_controls: frozenset[str] = frozenset()  # as gateway.proxy.controls compares them
    separating_field: str = ""  # likewise
    # Of a provider.
    dialect: Dialect | None = None
    # In which it takes calls; None: in all of its route.
    modes: frozenset[str] | None = None
    # Of its route.
    handling: HandlingConfig = _DEFAULT_HANDLING
    # Ours at its provider.
    quota: Quota | None = None
    # Of the target.
    id: str = field(init=False, compare=False)
    # The id and the URL: what the router knows it by.
    name: tuple[str, str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        # Of a frozen class.
        object.__setattr__(self, "id", self.config.id)
        object.__setattr__(self, "name", (self.config.id, self.url))

    @property
    def is_translated(self) -> bool:
        """Whether it speaks another dialect than the gateway's own."""
        return self.dialect is not None and self.dialect.speech != "openai"

    @property
    def probes(self) -> str:
        """When it is probed: off, ejected or idle. A provider's requests may cost something, or count."""
        return self.handling.probes or ("off" if self.config.provider else "ejected")

    def connect_seconds(self, settings: SettingsConfig) -> float:
        """The longest wait for a connection."""
        own, provider = self.handling.connect_timeout_seconds, self.config.provider
        if own is not None:
            return own
        return provider.connect_timeout_seconds if provider else settings.connect_timeout_seconds

    def first_byte_seconds(self, settings: SettingsConfig) -> float:
        """The longest wait for the beginning of an answer."""
        own, provider = self.handling.first_byte_timeout_seconds, self.config.provider
        if own is not None:
            return own
        return provider.first_byte_timeout_seconds if provider else settings.response_timeout_seconds

    def idle_seconds(self, settings: SettingsConfig) -> float:
        """The longest silence in the middle of an answer."""
        own, provider = self.handling.idle_timeout_seconds, self.config.provider
        if own is not None:
            return own
        return provider.idle_timeout_seconds if provider else settings.idle_timeout_seconds

    @property
    def share(self) -> float:
        """Its part of the target's weight."""
        return self.config.weight / len(self.config.addresses)


@dataclass(frozen=True, slots=True)
class Route:
    """A public model and the addresses of its targets, ordered by which to try first."""

    config: RouteConfig
    groups: tuple[tuple[Backend, ...], ...]
    # None if there are others.
    only_backend: Backend | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        is_one = list(map(len, self.groups)) == [1]
        object.__setattr__(self, "only_backend", self.groups[0][0] if is_one else None)

    @property
    def separating_fields(self) -> frozenset[str]:
        """The fields, as folded names, in which the gateway itself sends a value to one of the backends."""
        fields = {one.separating_field for group in self.groups for one in group}
        return frozenset(fields - {""})

    def for_calls(
        self, tenant_id: str, regions: list[str], data_class: DataClass | None, mode: Mode | None = None
    ) -> "Route | None":
        """The route with only the targets that may receive such a call; None if none is left.

        Args:
            tenant_id: whose call it is. Some targets serve one tenant only.
            regions: where this tenant's calls may be answered; empty: anywhere.
            data_class: the highest class of data that the call may contain; None: not known, from an old console.
            mode: of the call; None: any.
        """
        return self.only(
            lambda one: (
                one.config.only_tenant in (None, tenant_id)
                and may_receive(one.config, regions, data_class)
                and (mode is None or one.modes is None or mode in one.modes)
            )
        )

    @property
    def modes(self) -> frozenset[str]:
        """The modes in which one of its backends takes calls."""
        own = frozenset(self.config.modes)
        return own & frozenset().union(*(one.modes or own for group in self.groups for one in group))

    def nearest_first(self, here: str, order: Sequence[str]) -> "Route":
        """The route with the nearest targets of each priority in a group of their own, before the farther ones.

        Args:
            here: the gateway's region; empty: unknown.
            order: operators' order of other regions.
        """
        if not here and not order:
            return self
        groups: list[tuple[Backend, ...]] = []
        for group in self.groups:
            steps = [distance(one.config.regions, here, order) for one in group]
            groups += (
                tuple(one for one, far in zip(group, steps, strict=True) if far == step)
                for step in sorted(set(steps))
            )
        return Route(self.config, tuple(groups))

    def only(self, serves: Callable[[Backend], bool]) -> "Route | None":
        """The route with only the backends for which `serves` is true; None if there are none."""
        groups = tuple(tuple(filter(serves, group)) for group in self.groups)
        return Route(self.config, tuple(filter(None, groups))) if any(groups) else None


class Index:
    """Everything of one revision, indexed for the lookups that calls make."""

    routes: Mapping[str, Route]
    backends: frozenset[tuple[str, str]]
    _prices: Mapping[tuple[str | None, str], Price | None]

    def __init__(
        self,
        snapshot: ConfigSnapshot,
        *,
        keys: Keys | None = None,
        state: str = "",
        before: "Index | None" = None,
    ) -> None:
        """Compile a snapshot. Raises ContractError if it is well-formed but makes no sense.

        Args:
            keys: used instead of those in the snapshot; changes can be applied to these.
            state: sent back with the next request (gateway/contract/stream.py).
            before: the index in force, whose unchanged routes are reused.
        """
        require_readable(snapshot.contract_version, snapshot.requires)
        self.revision: int = snapshot.revision
        self._permitted: dict[tuple[object, ...], Route | None] = {}
        # Tells it from every other index, for whoever remembers what follows from it but shall not keep it.
        self.mark = object()
        # Of `gateway.proxy.plans`, by digest of a key, model and mode.
        self.plans: dict[tuple[str, str, Mode], Plan] = {}
        self.issued_at: str = snapshot.issued_at
        self.state = state
        # Of this gateway (`serve_from`).
        self.region = ""
        self.snapshot = snapshot
        self.settings: SettingsConfig = snapshot.settings
        self.separation = Separation(snapshot.settings.separation_key)
        self.media_hosts = frozenset(host.lower() for host in snapshot.settings.media_hosts)
        if not snapshot.settings.separation_key:
            _require_no_salt(snapshot.routes)
        self.keys: Keys | WholeKeys = WholeKeys(snapshot.keys) if keys is None else keys
        self.limit_ids: Container[str] = self.keys.limit_ids
        self.gone_limits = self.keys.gone_limits
        if before is not None and before.snapshot.routes is snapshot.routes:
            self.routes, self.backends = before.routes, before.backends
        else:
            self._compile_routes(snapshot.routes, before.routes if before else {})
        if before is not None and before.snapshot.prices is snapshot.prices:
            self._prices = before._prices
        else:
            self._prices = {(price.tenant_id, price.model): compile_price(price) for price in snapshot.prices}

    def _compile_routes(self, routes: list[RouteConfig], known: Mapping[str, Route]) -> None:
        self.routes = {
            route.model: known[route.model]
            if route.model in known and known[route.model].config == route
            else compile_route(route)
            for route in routes
        }
        self.backends = frozenset(
            (target.id, url) for route in routes for target in route.targets for url in target.addresses
        )

    def route(self, model: str) -> Route | None:
        """The route of a model, or None if no backend serves it."""
        route = self.routes.get(model)
        return route if route is not None and route.groups else None

    def route_of(self, model: str, key: KeyConfig, mode: Mode | None = None) -> Route | None:
        """The route of a model for calls with this key, of one mode or of any; None if no target may serve them."""
        route = self.route(model)
        if route is None or (mode is not None and mode not in route.config.modes):
            return None
        data_class = key.data_classes.get(model)
        place = (model, key.tenant_id, tuple(key.regions), data_class, mode)
        if place not in self._permitted:
            if len(self._permitted) >= _MOST_PERMITTED:
                self._permitted.clear()
            permitted = route.for_calls(key.tenant_id, key.regions, data_class, mode)
            order = self.settings.region_order
            self._permitted[place] = permitted and permitted.nearest_first(self.region, order)
        return self._permitted[place]

    def serve_from(self, region: str) -> None:
        """Say in which region this gateway is, before any call uses the index."""
        self.region = region

    def price(self, tenant_id: str, model: str) -> Price | None:
        """What a tenant pays for a model, or None if it has no price, which does not mean free."""
        return self._prices.get((tenant_id, model)) or self._prices.get((None, model))

    def stand_ins(self, route: Route, key: Key, mode: Mode, now: float) -> Iterator[Route]:
        """The routes of models that may answer a call to `route` in its place, in order.

        Args:
            route: of the model that the client asked for.
            key: whose call it is. Each of the models must be granted to it, for no lower class of data.
            mode: of the call.
            now: in seconds.
        """
        for model in route.config.fallbacks:
            other = self.stand_in(model, route, key, mode, now)
            if other is not None:
                yield other

    def stand_in(self, model: str, route: Route, key: Key, mode: Mode, now: float) -> Route | None:
        """The route of `model` for a call to `route`, if that one may answer it: see `stand_ins`; else None.

        Args:
            model: the other model.
            route: of the model that the client asked for.
            key: whose call it is.
            mode: of the call.
            now: in seconds.
        """
        classes = key.config.data_classes
        if not key.may_call(model, now) or not may_stand_in(
            classes.get(route.config.model), classes.get(model)
        ):
            return None
        return self.route_of(model, key.config, mode)

    def callable_models(self, key: Key, now: float) -> list[Route]:
        """The models that a key may call now and that are served for its tenant, in the order of its grants."""
        routes = (self.route_of(model, key.config) for model in key.config.models if key.may_call(model, now))
        return [route for route in routes if route is not None]


def compile_route(route: RouteConfig) -> Route:
    """The route with the addresses of its targets in groups. Raises ContractError for an impossible address."""
    groups: dict[int, list[Backend]] = {}
    for config in route.targets:
        if any(not url.startswith(("http://", "https://")) for url in config.addresses):
            raise ContractError(f"Target {config.id} of {route.model} has no http(s) address.")
        dialect = DIALECTS.get(config.provider.dialect) if config.provider else None
        if config.provider is not None and dialect is None:
            # A newer console knows more of them.
            continue
        if config.weight > 0:
            allowed = folded(" ".join(config.allowed_controls)) - NEVER
            field = fold(config.cache_key_field or "")
            modes = _modes_of(config, route, dialect)
            quota = quota_of(config)
            groups.setdefault(config.priority, []).extend(
                Backend(config, url, allowed, field, dialect, modes, route.handling, quota)
                for url in config.addresses
            )
    return Route(
        config=route,
        groups=tuple(tuple(groups[priority]) for priority in sorted(groups) if groups[priority]),
    )


def _modes_of(config: TargetConfig, route: RouteConfig, dialect: Dialect | None) -> frozenset[str] | None:
    named = config.modes or route.modes
    if dialect is not None:
        return frozenset(mode for mode in named if dialect.takes(mode))
    return frozenset(named) if config.modes else None


def _require_no_salt(routes: list[RouteConfig]) -> None:
    """Raises ContractError if a backend needs the separation key for its caches."""
    for route in routes:
        for target in route.targets:
            if target.cache_key_field is not None:
                raise ContractError(
                    f"Target {target.id} of {route.model} separates tenants, but the snapshot has no key."
                )
