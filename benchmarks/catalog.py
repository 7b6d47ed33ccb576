"""Time the catalog at 10,000 models and 40,000 offers.

    python -m benchmarks.catalog

Imports the vendored price map into an empty database, twice: the second import changes nothing. Then it publishes its
models, copies them and their offers under other names until there are 10,000 and 40,000, and requests searches and
facets from the catalog page and the API as a member of a tenant. It prints the time of each import, the median and 95th
percentile of the answers and of the database's part in them, the slowest search, and the machine's load.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
from time import perf_counter
from typing import Any

from benchmarks.scratch import prepare

QUERIES = [
    "",
    "?q=gpt-4o",
    "?q=llama+3.3",
    "?q=claude+sonnet&sort=price",
    "?mode=chat&capability=vision&capability=reasoning",
    "?data_class=internal&provider=bedrock&sort=context",
    "?access=requestable&sort=newest&view=table",
    "?q=o",
    "?q=gtp-4o",
    "?q=%E9%80%9A%E4%B9%89%E5%8D%83%E9%97%AE+%E5%AF%B9%E8%AF%9D",
]
ROUNDS = 20
MODELS, OFFERS = 10_000, 40_000

# Copies have the facts, prices and words of an imported model, and a name of their own.
COPY_MODELS = """
    INSERT INTO catalog_catalogmodel ({columns}, id, name)
    SELECT {columns}, gen_random_uuid(), name || '-copy' || copy
      FROM catalog_catalogmodel, generate_series(1, 20) copy ORDER BY copy, name LIMIT {wanted}
"""
COPY_OFFERS = """
    INSERT INTO catalog_offer ({columns}, id, model_id, source_key, is_primary)
    SELECT {columns}, gen_random_uuid(), target.id, o.source_key || '-copy' || row_number() OVER (), false
      FROM catalog_offer o JOIN catalog_catalogmodel m ON m.id = o.model_id
      JOIN catalog_catalogmodel target ON target.name LIKE m.name || '-copy%', generate_series(1, 2) LIMIT {wanted}
"""


def main() -> None:
    with contextlib.ExitStack() as stack:
        prepare(stack)
        run()


def run() -> None:
    from django.db import connection, reset_queries
    from django.test import Client

    from accounts.models import User
    from catalog.actions import accept_entries, publish_models, start_import
    from catalog.models import CatalogModel
    from catalog.price_map.vendor import VENDORED, read_text
    from tenants import actions

    text = read_text(VENDORED)
    for name in ("first import", "same file again"):
        begun = perf_counter()
        run = start_import(text, file_name=VENDORED.name, by=None)
        compared = perf_counter()
        if run.state == run.State.OPEN:
            accept_entries(run.pk, by=None, may_take_held=True)
        print(
            f"{name:<16} compared in {compared - begun:.2f} s, accepted in {perf_counter() - compared:.2f} s:  "
            f"{run.counts['added']} added, {run.counts['unchanged']} unchanged"
        )
    publish_models(CatalogModel.objects.values_list("pk", flat=True), by=None, despite="benchmark")

    grow()
    tenant = actions.create_tenant(by=None, slug="benchmark-catalog", name="Benchmark")
    user = User.objects.create_user("benchmark-catalog@example.com")
    actions.add_member(tenant, user, "developer", by=None)
    client = Client()
    client.force_login(user)
    worst = 0.0
    for kind, path in (("page", f"/t/{tenant.slug}/models/"), ("api", "/api/v1/models/")):
        times: dict[str, list[float]] = {query: [] for query in QUERIES}
        in_database: list[float] = []
        clock = Clock(in_database)
        with connection.execute_wrapper(clock):
            for number in range(ROUNDS * len(QUERIES)):
                query = QUERIES[number % len(QUERIES)]
                # The API has no views, and says nothing of what a person may request.
                asked = (
                    query
                    if kind == "page"
                    else query.replace("access=requestable&", "").replace("&view=table", "")
                )
                in_database.append(0.0)
                begun = perf_counter()
                response = client.get(path + asked)
                times[query].append((perf_counter() - begun) * 1000)
                assert response.status_code == 200, (query, response.status_code)
        everything = [one for some in times.values() for one in some]
        p95 = statistics.quantiles(everything, n=20)[-1]
        worst = max(worst, p95)
        slowest = max(times, key=lambda query: statistics.median(times[query]))
        print(
            f"{kind:<16} {spread(everything)} over {len(everything)} answers; in the database {spread(in_database)}"
        )
        print(
            f"{'':<16} slowest: {slowest or 'all models'}, median {statistics.median(times[slowest]):.0f} ms"
        )
    print(f"load             {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    reset_queries()
    connection.force_debug_cursor = True
    client.get(f"/t/{tenant.slug}/models/?q=gpt")
    print(f"queries a page   {len(connection.queries)}")
    sys.exit(worst > 100)


def spread(times: list[float]) -> str:
    return f"median {statistics.median(times):.0f} ms, p95 {statistics.quantiles(times, n=20)[-1]:.0f} ms"


class Clock:
    """Adds the time of each database query to the last number of `totals`, in milliseconds."""

    def __init__(self, totals: list[float]) -> None:
        self.totals = totals

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        begun = perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.totals[-1] += (perf_counter() - begun) * 1000


def grow() -> None:
    """Copy the imported models and offers until there are `MODELS` and `OFFERS` of them."""
    from django.db import connection

    from catalog.models import CatalogModel, Offer

    # An import publishes nothing; these have to be found.
    CatalogModel.objects.filter(lifecycle=CatalogModel.Lifecycle.DRAFT).update(
        lifecycle=CatalogModel.Lifecycle.PUBLISHED
    )
    own = {CatalogModel: {"id", "name"}, Offer: {"id", "model_id", "source_key", "is_primary"}}
    with connection.cursor() as cursor:
        for model, copy, size in ((CatalogModel, COPY_MODELS, MODELS), (Offer, COPY_OFFERS, OFFERS)):
            columns = [
                field.column
                for field in model._meta.concrete_fields
                if field.column not in own[model] and not field.generated
            ]
            prefix = "o." if model is Offer else ""
            names, values = ", ".join(columns), ", ".join(prefix + column for column in columns)
            sql = copy.replace("SELECT {columns}", f"SELECT {values}")
            cursor.execute(sql.format(columns=names, wanted=size - model.objects.count()))
        cursor.execute("ANALYZE catalog_catalogmodel")
        cursor.execute("ANALYZE catalog_offer")
    print(f"{'size':<16} {CatalogModel.objects.count()} models, {Offer.objects.count()} offers")


if __name__ == "__main__":
    main()
