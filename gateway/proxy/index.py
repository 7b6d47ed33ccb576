"""A snapshot, compiled for looking things up. Immutable: a new revision is a new index."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

from deployments.engine_controls import NEVER, fold, folded
from gateway.contract import (
    CONTRACT_VERSION,
    BackendConfig,
    ConfigSnapshot,
    ContractError,
    Mode,
    PriceConfig,
    PriceKind,
    RouteConfig,
    SettingsConfig,
    TokenCounts,
)
from gateway.proxy.records import Key, Keys, WholeKeys
from gateway.proxy.separation import Separation

__all__ = ["Backend", "Index", "Key", "Price", "Route"]

_FALLBACKS: dict[PriceKind, PriceKind] = {
    "cache_read": "input",
    "cache_write": "input",
    "reasoning": "output",
}


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend and what is prepared for it."""

    config: BackendConfig
    allowed_controls: frozenset[str] = frozenset()  # as gateway.proxy.controls compares them
    separating_field: str = ""  # likewise

    @property
    def id(self) -> str:
        return self.config.id


@dataclass(frozen=True, slots=True)
class Route:
    """A public model and its backends, those to try first in front."""

    config: RouteConfig
    groups: tuple[tuple[Backend, ...], ...]

    @property
    def separating_fields(self) -> frozenset[str]:
        """The fields, as names are compared, in which the gateway itself sends something to one of its backends."""
        fields = {one.separating_field for group in self.groups for one in group}
        return frozenset(fields - {""})

    def of_tenant(self, tenant_id: str) -> "Route | None":
        """The route without the backends of other tenants; None if none is left."""
        if all(one.config.only_tenant is None for group in self.groups for one in group):
            return self
        return self.only(lambda one: one.config.only_tenant in (None, tenant_id))

    def only(self, serves: Callable[[Backend], bool]) -> "Route | None":
        """The route with those backends alone that serve; None if none does."""
        groups = tuple(tuple(filter(serves, group)) for group in self.groups)
        return Route(self.config, tuple(filter(None, groups))) if any(groups) else None


@dataclass(frozen=True, slots=True)
class Price:
    """Whole nano-units per token; for limits only, so whoever asks gets an upper bound."""

    nano: Mapping[PriceKind, int]
    currency: str

    def covers(self, mode: Mode) -> bool:
        """Whether all that a call of this mode always uses has a price."""
        return mode == "embedding" or "output" in self.nano

    @property
    def per_call(self) -> int:
        return self.nano.get("request", 0)

    @property
    def per_input_token(self) -> int:
        """The dearest way in which a token of the prompt can be billed."""
        return max(self._of("input"), self._of("cache_read"), self._of("cache_write"))

    @property
    def per_output_token(self) -> int:
        """The dearest way in which a token of the answer can be billed."""
        return max(self._of("output"), self._of("reasoning"))

    def cost(self, tokens: TokenCounts) -> int:
        """What these tokens cost, in nano-units."""
        return (
            self.per_call
            + tokens.input * self._of("input")
            + tokens.cache_read * self._of("cache_read")
            + tokens.cache_write * self._of("cache_write")
            + tokens.output * self._of("output")
            + tokens.reasoning * self._of("reasoning")
            + tokens.image * self._of("image")
            + tokens.audio * self._of("audio")
        )

    def _of(self, kind: PriceKind) -> int:
        return self.nano.get(kind, self.nano.get(_FALLBACKS.get(kind, kind), 0))


class Index:
    """Everything of one revision, by what calls ask for."""

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
        """Compile a snapshot. Raises ContractError for one that is well-formed but makes no sense.

        Args:
            keys: instead of those of the snapshot; changes can be applied to these.
            state: what to send back with the next question (gateway/config_stream.py).
            before: the index in force, for routes that are the same.
        """
        if snapshot.contract_version != CONTRACT_VERSION:
            raise ContractError(
                f"The control plane speaks version {snapshot.contract_version} of the contract, this gateway "
                f"{CONTRACT_VERSION}: upgrade gateways first."
            )
        self.revision: int = snapshot.revision
        self.issued_at: str = snapshot.issued_at
        self.state = state
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
            self._prices = {
                (price.tenant_id, price.model): _compile_price(price) for price in snapshot.prices
            }

    def _compile_routes(self, routes: list[RouteConfig], known: Mapping[str, Route]) -> None:
        self.routes = {
            route.model: known[route.model]
            if route.model in known and known[route.model].config == route
            else _compile_route(route)
            for route in routes
        }
        self.backends = frozenset((backend.id, backend.url) for route in routes for backend in route.backends)

    def route(self, model: str) -> Route | None:
        """What serves a model, or None if nothing does."""
        route = self.routes.get(model)
        return route if route is not None and route.groups else None

    def route_of(self, model: str, tenant_id: str) -> Route | None:
        """What serves a model for a tenant, or None if nothing does: some backends serve one tenant alone."""
        route = self.route(model)
        return None if route is None else route.of_tenant(tenant_id)

    def price(self, tenant_id: str, model: str) -> Price | None:
        """What a tenant pays for a model, or None if it has no price, which is not the same as free."""
        return self._prices.get((tenant_id, model)) or self._prices.get((None, model))

    def callable_models(self, key: Key, now: float) -> list[Route]:
        """What a key may call now and something serves for its tenant, in the order of its grants."""
        tenant_id = key.config.tenant_id
        routes = (self.route_of(model, tenant_id) for model in key.config.models if key.may_call(model, now))
        return [route for route in routes if route is not None]


def _compile_route(route: RouteConfig) -> Route:
    groups: dict[int, list[Backend]] = {}
    for config in route.backends:
        if not config.url.startswith(("http://", "https://")):
            raise ContractError(f"Backend {config.id} of {route.model} has no http(s) address.")
        if config.weight > 0:
            groups.setdefault(config.priority, []).append(
                Backend(
                    config,
                    folded(" ".join(config.allowed_controls)) - NEVER,
                    fold(config.cache_key_field or ""),
                )
            )
    return Route(
        config=route,
        groups=tuple(tuple(groups[priority]) for priority in sorted(groups)),
    )


def _require_no_salt(routes: list[RouteConfig]) -> None:
    """Raises ContractError for a backend that cannot be served without the key of its caches."""
    for route in routes:
        for backend in route.backends:
            if backend.cache_key_field is not None:
                raise ContractError(
                    f"Backend {backend.id} of {route.model} separates tenants, but the snapshot has no key."
                )


def _compile_price(price: PriceConfig) -> Price | None:
    """None unless at least the prompt is priced."""
    return Price(price.nano_per_token, price.currency) if "input" in price.nano_per_token else None
