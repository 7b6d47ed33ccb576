"""Measure what row-level security costs: the same work with and without it, for a large and an ordinary tenant.

    python -m benchmarks.rls [--events 2000000] [--rounds 5] [--postgres 18 --directory .local/scale18]

Runs statements and pages of a tenant with 20,000 keys and of one with 154, among 2,000 tenants with 328,000 keys
(benchmarks/large_tenant.py). "With" is production: the console's role, policies on every table of tenants' rows, the
scope sent to the server, and a connection from a pool for each request. "Without" connects as the owner of the tables,
to whom no policy applies, and neither looks up nor sends a scope. Both do the same work in the same database, in
alternating blocks. The benchmark prints medians of processor time, of the console and of its database connection, in
milliseconds, and their ratio; at the end it prints the geometric mean of the ratios of each tenant.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.large_tenant import LARGE, ORDINARY, Size, open_large
from benchmarks.scale import DIRECTORY, Row, asked, places_of, statements

# Measured runs in a block, before the other side's block.
BLOCK = 8
# Unmeasured runs at the start of a block, which warm the connections and their caches.
WARMING = 4
BAR = 1.10
PAGES = ["", "cost/", "keys/", "requests/", "members/", "models/", "exports/"]
API = [
    "keys/",
    "projects/",
    "access-requests/",
    "costs/?tenant={tenant}&start={start}&end={end}&group_by=day,model",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5, help=f"blocks of {BLOCK} of each side, of each row")
    parser.add_argument("--match", default="", help="rows whose name contains this")
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    parser.add_argument("--postgres", type=int, help="major version, for a new --directory")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        open_large(stack, Size(events=options.events), options.directory, options.postgres)
        run(options)


def run(options: argparse.Namespace) -> None:
    connect_by_pools()
    print(f"{'':66} {'without':>9} {'with':>9} {'ratio':>7}")
    ratios: dict[str, list[float]] = {LARGE: [], ORDINARY: []}
    for tenant, row in rows():
        if options.match not in row.name:
            continue
        times: dict[str, list[float]] = {"with": [], "without": []}
        for _ in range(options.rounds):
            for side, mode in (("with", contextlib.nullcontext), ("without", without_policies)):
                with mode():
                    times[side] += [work_of(row) for _ in range(WARMING + BLOCK)][WARMING:]
        plain, guarded = statistics.median(times["without"]), statistics.median(times["with"])
        ratios[tenant].append(guarded / plain)
        print(f"{row.name[:66]:<66} {plain:9.2f} {guarded:9.2f} {guarded / plain:7.3f}", flush=True)
    for tenant, found in ratios.items():
        if found:
            print(
                f"geometric mean of the ratios, {tenant}: {statistics.geometric_mean(found):.3f} (bar: {BAR:.2f})"
            )


def rows() -> Iterator[tuple[str, Row]]:
    for row in statements():
        if not row.name.startswith("platform"):
            yield row.name.partition(":")[0], row
    for slug in (LARGE, ORDINARY):
        for page in PAGES:
            yield slug, asked(f"owner@{slug}.example", f"/t/{slug}/{page}", {})
        places = places_of(slug)
        for page in API:
            yield slug, asked(f"owner@{slug}.example", f"/api/v1/{page}".format(**places), {})


def connect_by_pools() -> None:
    """Use a connection pool, as a console with DATABASE_POOL_SIZE does."""
    from django.db import connection

    connection.close()
    connection.settings_dict["OPTIONS"]["pool"] = {"min_size": 2, "max_size": 2, "timeout": 10}


def work_of(row: Row) -> float:
    """Return milliseconds of processor time. The connection then goes back to the pool, as after every request."""
    from django.db import connection

    from benchmarks.ingest import Measured

    before = Measured.now()
    row.work()
    took = Measured.now().since(before)
    connection.close()
    return (took.server + took.client) * 1000


@contextlib.contextmanager
def without_policies() -> Iterator[None]:
    """Connect as the owner of the tables, without looking up, sending or resetting a scope."""
    from unittest.mock import patch

    from core.database import base
    from core.scope import person_scope
    from tests.databases import as_owner

    found: Callable[..., Any] = lambda wrapper, person, **_: person_scope(person, [])  # noqa: E731
    with (
        as_owner(),
        patch.object(base.DatabaseWrapper, "carry_scope", lambda wrapper: None),
        patch.object(base.DatabaseWrapper, "enter_person_scope", found),
        patch.object(base, "forget_scope", lambda connection: None),
    ):
        yield


if __name__ == "__main__":
    main()
