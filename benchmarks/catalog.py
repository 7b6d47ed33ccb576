"""Time the catalog over the whole public price map.

    python -m benchmarks.catalog

Imports the vendored price map into an empty database, twice: the second import changes nothing. Then it requests
searches and facets from the catalog page and the API as a member of a tenant. It prints the time of each import, and
the median and 95th percentile of the answers.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
from time import perf_counter

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
]
ROUNDS = 20


def main() -> None:
    with contextlib.ExitStack() as stack:
        prepare(stack)
        run()


def run() -> None:
    from django.db import connection, reset_queries
    from django.test import Client

    from accounts.models import User
    from catalog.actions import import_price_map
    from catalog.price_map.vendor import VENDORED, read_text
    from tenants import actions

    text = read_text(VENDORED)
    for name in ("first import", "same file again"):
        begun = perf_counter()
        report = import_price_map(text, file_name=VENDORED.name)
        print(
            f"{name:<16} {perf_counter() - begun:6.2f} s  {report.added} added, {report.unchanged} unchanged"
        )

    tenant = actions.create_tenant(by=None, slug="benchmark-catalog", name="Benchmark")
    user = User.objects.create_user("benchmark-catalog@example.com")
    actions.add_member(tenant, user, "developer", by=None)
    client = Client()
    client.force_login(user)
    worst = 0.0
    for kind, path in (("page", f"/t/{tenant.slug}/models/"), ("api", "/api/v1/models/")):
        times: list[float] = []
        for number in range(ROUNDS * len(QUERIES)):
            query = QUERIES[number % len(QUERIES)]
            if kind == "api" and ("access" in query or "sort" in query):
                query = query.split("&sort")[0].replace("?access=requestable", "")
            begun = perf_counter()
            response = client.get(path + query)
            times.append((perf_counter() - begun) * 1000)
            assert response.status_code == 200, (query, response.status_code)
        p95 = statistics.quantiles(times, n=20)[-1]
        worst = max(worst, p95)
        print(
            f"{kind:<16} median {statistics.median(times):5.0f} ms, p95 {p95:5.0f} ms over {len(times)} answers"
        )
    reset_queries()
    connection.force_debug_cursor = True
    client.get(f"/t/{tenant.slug}/models/?q=gpt")
    print(f"queries a page   {len(connection.queries)}")
    sys.exit(worst > 100)


if __name__ == "__main__":
    main()
