"""What routes cost: the console reads all of them at each change of a key, since gateways compare those every time."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks.figures import Figure, Figures
from benchmarks.large_tenant import LARGE

# Models with a route of two targets each.
COUNTS = (100, 1000)
_ROUNDS = 5
_TARGET_MILLISECONDS = 1000


def rows() -> Iterator[Figures]:
    """Yield a further part of item 13: one changed key and everything, with routes that are gone afterwards."""
    for count in COUNTS:
        yield Figures("13", f"{count:,} routes", lambda count=count: with_routes(count))


def with_routes(count: int) -> Iterator[Figure]:
    """Compile with so many routes; then with one of them that cannot be proved."""
    from django.db import transaction

    from deployments.models import Provider
    from gateway.changes import compile_changes
    from gateway.compile import compile_everything, state_of
    from gateway.contract import CONTRACT_VERSION
    from gateway.publishing import routing_now
    from tenants.models import ApiKey, Tenant
    from tenants.revision import current_revision, mark_of, raise_revision

    unit = "ms of processor time, of the console"
    with transaction.atomic():
        make_routes(count)
        after = raise_revision()
        state = state_of(mark_of(after), routing_now(), CONTRACT_VERSION)
        key = ApiKey.objects.in_tenant(Tenant.objects.get(slug=LARGE)).order_by("pk").first()
        raise_revision(keys=[key.pk])
        assert current_revision() == after + 1

        def change() -> None:
            assert compile_changes(after, state) is not None, "it is told as everything"

        yield Figure(
            f"{count:,} routes: the change of one key", _milliseconds(change), unit, _TARGET_MILLISECONDS
        )
        everything = _milliseconds(lambda: sum(1 for _ in compile_everything()), rounds=1)
        yield Figure(f"{count:,} routes: everything", everything, unit)
        # Gateways could not read its routes. Each compilation says so.
        logging.disable(logging.ERROR)
        Provider.objects.filter(name="benchmark-broken").update(base_url="ftp://nowhere.example/v1")
        yield Figure(
            f"{count:,} routes, of which one cannot be proved: the change of one key",
            _milliseconds(change),
            unit,
            _TARGET_MILLISECONDS,
        )
        logging.disable(logging.NOTSET)
        transaction.set_rollback(True)


def make_routes(count: int) -> None:
    """Route so many models of the catalog that chat, each to two providers; the first to a third one, too."""
    from catalog.models import CatalogModel
    from deployments.models import Provider, ProviderModel, Route, RouteEntry, Target

    models = list(CatalogModel.objects.filter(mode="chat", route=None).order_by("name")[:count])
    assert len(models) == count, f"the catalog has only {len(models)} such models"
    names = ("benchmark-one", "benchmark-two", "benchmark-broken")
    one, two, broken = Provider.objects.bulk_create(
        Provider(name=name, title=name, dialect="openai", base_url=f"https://{name}.example/v1")
        for name in names
    )
    listed = ProviderModel.objects.bulk_create(
        ProviderModel(provider=provider, model=model, name=model.name)
        for number, model in enumerate(models)
        for provider in ((one, two) if number else (one, two, broken))
    )
    routes = {
        route.model_id: route for route in Route.objects.bulk_create(Route(model=model) for model in models)
    }
    targets = Target.objects.bulk_create(Target(provider_model=each) for each in listed)
    RouteEntry.objects.bulk_create(
        RouteEntry(route=routes[target.provider_model.model_id], target=target) for target in targets
    )


def _milliseconds(work: Callable[[], object], rounds: int = _ROUNDS) -> float:
    """The processor time of this process, the median of the rounds after one that warms up."""
    work()
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append((time.process_time() - began) * 1000)
    return statistics.median(times)
