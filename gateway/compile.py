"""From rows to what gateways must know: one snapshot, of one moment, in a constant number of queries."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast, get_args
from uuid import UUID

import structlog
from django.db import connection, transaction

from catalog.models import Grant
from deployments.models import Backend, Route
from gateway.contract import (
    NANO,
    BackendConfig,
    ConfigSnapshot,
    KeyConfig,
    LimitConfig,
    LimitKind,
    LimitScope,
    Mode,
    RouteConfig,
    encode,
)
from gateway.prices import prices_of
from gateway.used import Used, used_of
from tenants.models import ApiKey, Limit
from tenants.revision import current_revision

log = structlog.get_logger(__name__)

MODES = frozenset(get_args(Mode))
SHARED_FOR_SECONDS = 1.0

KEY_COLUMNS = (
    "pk",
    "digest",
    "prefix",
    "tenant_id",
    "tenant__slug",
    "project_id",
    "project__slug",
    "model_names",
    "networks",
    "expires_at",
)

GrantEnds = dict[UUID, dict[str, datetime]]  # project → model → end


def compile_snapshot() -> ConfigSnapshot:
    """Everything a gateway needs to know at the current revision.

    Reads within one REPEATABLE READ transaction, so that the revision and the rows are of the same moment: a
    change committed meanwhile is in neither, and its own revision brings it. Makes eight queries, whatever
    the number of tenants, keys and routes. Called inside a transaction it reads what that one sees.
    """
    with one_moment():
        revision = current_revision()
        usable = ApiKey.objects.across_tenants().usable()
        grants = _grants_in_force(usable)
        limits = _limits(usable)
        keys = [
            _key(key, grants.get(key.project_id, {}), limits)
            for key in usable.order_by("pk").values_list(*KEY_COLUMNS, named=True)
        ]
        routes = _routes()
        models = {model for key in keys for model in key.models} | {route.model for route in routes}
        return ConfigSnapshot(
            revision=revision,
            issued_at=datetime.now(UTC).isoformat(),
            keys=keys,
            routes=routes,
            prices=prices_of(models),
        )


@contextmanager
def one_moment() -> Iterator[None]:
    """A read-only transaction in which every query sees the same committed state."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _grants_in_force(keys: Any) -> GrantEnds:
    """What the projects of `keys` may use now, and until when; the latest end where grants overlap."""
    ends: GrantEnds = defaultdict(dict)
    rows = (
        Grant.objects.across_tenants()
        .in_force()
        .filter(project__in=keys.values("project"))
        .values_list("project_id", "model__name", "valid_until")
    )
    for project, model, end in rows:
        ends[project][model] = max(end, ends[project].get(model, end))
    return ends


class _Limits:
    """Limits by what they are set on; the same object under each key that they bind."""

    def __init__(self, limits: Iterable[Limit], used: Used) -> None:
        self._by_scope: dict[UUID, list[LimitConfig]] = defaultdict(list)
        for limit in limits:
            self._by_scope[limit.key_id or limit.project_id or limit.tenant_id].append(_limit(limit, used))

    def of(self, key: Any, models: Iterable[str]) -> list[LimitConfig]:
        """All limits that can bind a call with `key`, tenant's first."""
        callable_models = {None, *models}
        return [
            limit
            for scope in (key.tenant_id, key.project_id, key.pk)
            for limit in self._by_scope.get(scope, ())
            if limit.model in callable_models
        ]


def _limits(keys: Any) -> _Limits:
    limits = list(
        Limit.objects.across_tenants()
        .filter(tenant__in=keys.values("tenant"))
        .select_related("tenant")
        .order_by("pk")
    )
    return _Limits(limits, used_of(limits))


def _limit(limit: Limit, used: Used) -> LimitConfig:
    scope = "key" if limit.key_id else "project" if limit.project_id else "tenant"
    unit = NANO if limit.kind == Limit.Kind.MONEY_PER_MONTH else 1
    seen = used.get(limit.pk)
    return LimitConfig(
        id=str(limit.pk),
        scope=cast(LimitScope, scope),
        scope_id=str(limit.key_id or limit.project_id or limit.tenant_id),
        kind=cast(LimitKind, limit.kind),
        value=int(limit.value * unit),  # exact: money has eight decimals, counts are whole
        model=limit.model or None,
        is_hard=limit.is_hard,
        time_zone=limit.tenant.timezone,
        used=seen.amount if seen else None,
        used_as_of=seen.as_of if seen else None,
    )


def _key(key: Any, ends: dict[str, datetime], limits: _Limits) -> KeyConfig:
    models = sorted(set(key.model_names) & ends.keys())
    return KeyConfig(
        digest=key.digest,
        key_id=str(key.pk),
        prefix=key.prefix,
        tenant_id=str(key.tenant_id),
        tenant_slug=key.tenant__slug,
        project_id=str(key.project_id),
        project_slug=key.project__slug,
        models=models,
        limits=limits.of(key, models),
        expires_at=_second(key.expires_at) if key.expires_at else None,
        networks=key.networks,
        grant_ends={model: _second(ends[model]) for model in models},
    )


def _second(moment: datetime) -> int:
    """The second in which `moment` falls: from its beginning on, what ends then is refused."""
    return int(moment.timestamp())


def _routes() -> list[RouteConfig]:
    backends: dict[UUID, list[BackendConfig]] = defaultdict(list)
    answered: dict[UUID, set[str]] = defaultdict(set)
    for backend in Backend.objects.select_related("deployment__cluster", "deployment__version").order_by(
        "priority", "pk"
    ):
        answered[backend.route_id].update(backend.deployment.version.endpoints)
        backends[backend.route_id].append(
            BackendConfig(
                id=str(backend.pk),
                url=backend.url.rstrip("/"),
                upstream_model=backend.upstream_model,
                weight=backend.weight,
                priority=backend.priority,
                region=backend.deployment.cluster.region,
            )
        )
    routes = []
    for route in Route.objects.select_related("model").order_by("model__name"):
        if route.model.mode not in MODES:
            log.warning("route.not_servable", model=route.model.name, mode=route.model.mode)
            continue
        routes.append(
            RouteConfig(
                model=route.model.name,
                modes=cast(
                    list[Mode],
                    [route.model.mode, *sorted((answered[route.pk] & MODES) - {route.model.mode})],
                ),
                backends=backends.get(route.pk, []),
                max_output_tokens=route.model.max_output_tokens,
                owned_by=route.model.maker or "quartermaster",
                created=_second(route.model.created_at),
            )
        )
    return routes


class SharedSnapshot:
    """One compilation for all gateways that one change has woken, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: tuple[object, float] = (None, 0.0)
        self._revision, self._body = 0, b""

    def newest(self) -> tuple[int, bytes]:
        """The revision and the encoded snapshot: of now, or of at most a second ago at the same revision."""
        wanted = (connection.settings_dict["NAME"], current_revision())
        with self._lock:
            made_for, made_at = self._made
            if made_for != wanted or time.monotonic() - made_at > SHARED_FOR_SECONDS:
                snapshot = compile_snapshot()
                self._revision, self._body = snapshot.revision, encode(snapshot)
                self._made = ((wanted[0], snapshot.revision), time.monotonic())
            return self._revision, self._body


shared_snapshot = SharedSnapshot()
