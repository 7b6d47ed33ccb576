"""What PostgreSQL's wall costs a page: the same pages with row-level security and without, in turns.

    python -m benchmarks.rls [--tenants 2000] [--rounds 40]

"With" is production: the console's role, policies on every table of tenants' rows, the scope sent to the server, a
connection from a pool for each request. "Without" connects as the owner of the tables, for whom no policy counts, and
neither finds nor sends a scope. Both ask the same pages of the same tenant in the same database, a block of each in
turn; printed are medians in milliseconds and their ratio, and at the end the geometric mean of the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from benchmarks.scratch import prepare

BLOCK = 8  # answers in a row before the other side's turn
WARMING = 6  # answers before those that count: the connections, and what is remembered on each
PAGES = [
    "/t/measured/",
    "/t/measured/keys/",
    "/t/measured/requests/",
    "/t/measured/cost/",
    "/t/measured/members/",
    "/t/measured/models/",
    "/t/measured/exports/",
    "/api/v1/keys/",
    "/api/v1/projects/",
    "/api/v1/access-requests/",
    "/api/v1/costs/?tenant=measured&start=2026-10-01&end=2026-10-31",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tenants", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=40, help="answers of each side, of each page")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        prepare(stack)
        run(options.tenants, options.rounds)


def run(tenants: int, rounds: int) -> None:
    from django.test import Client

    person = fill(tenants)
    connect_by_pools()
    client = Client()
    client.force_login(person)
    print(f"{tenants} tenants; {'page':<66} {'without':>9} {'with':>9} {'ratio':>7}")
    ratios = []
    for page in PAGES:
        times: dict[str, list[float]] = {"with": [], "without": []}
        for _ in range(rounds // BLOCK):
            for side, mode in (("with", contextlib.nullcontext), ("without", without_the_wall)):
                with mode():
                    for _ in range(WARMING):
                        ask(client, page)
                    times[side] += [ask(client, page) for _ in range(BLOCK)]
        plain, walled = statistics.median(times["without"]), statistics.median(times["with"])
        ratios.append(walled / plain)
        print(f"{'':<14} {page:<66} {plain:9.2f} {walled:9.2f} {walled / plain:7.3f}")
    print(f"geometric mean of the ratios: {statistics.geometric_mean(ratios):.3f}")


def connect_by_pools() -> None:
    """Serve as a console with DATABASE_POOL_SIZE does."""
    from django.db import connection

    connection.close()
    connection.settings_dict["OPTIONS"]["pool"] = {"min_size": 2, "max_size": 2, "timeout": 10}


def ask(client: Any, page: str) -> float:
    """Milliseconds until the answer; the connection goes back to the pool after it, as after every request."""
    from django.db import connection

    begun = perf_counter()
    response = client.get(page)
    taken = (perf_counter() - begun) * 1000
    connection.close()
    assert response.status_code == 200, (page, response.status_code)
    return taken


@contextlib.contextmanager
def without_the_wall() -> Iterator[None]:
    """Connect as the owner of the tables, tell the server of no scope, and forget none."""
    from unittest.mock import patch

    from tenants.database import base
    from tenants.scope import person_scope
    from tests.databases import as_owner

    with (
        as_owner(),
        patch.object(base.DatabaseWrapper, "carry_scope", lambda wrapper: None),
        patch.object(
            base.DatabaseWrapper, "enter_person_scope", lambda wrapper, person, **_: person_scope(person, [])
        ),
        patch.object(base, "forget_scope", lambda connection: None),
    ):
        yield


def fill(tenants: int) -> Any:
    """One tenant with a month of usage among many others of the same size; returns its owner."""
    from datetime import UTC, datetime, timedelta

    from billing.ingest import record_usage
    from billing.usage import UsageRecord
    from catalog.actions import import_price_map
    from catalog.price_map.vendor import VENDORED, read_text
    from tenants import actions
    from tenants.ids import uuid7
    from tenants.models import ApiKey, Membership, Project, Tenant, User
    from tests.databases import as_owner
    from tests.factories import AccessRequestFactory, ApiKeyFactory

    begins = datetime(2026, 10, 1, tzinfo=UTC)
    import_price_map(read_text(VENDORED), file_name=VENDORED.name, prices_from=begins)
    measured = actions.create_tenant(by=None, slug="measured", name="Measured")
    person = User.objects.create_user("owner@measured.example")
    actions.add_member(measured, person, "owner", by=None)
    project = actions.create_project(measured, by=None, slug="letters", name="Letters")
    keys = [ApiKeyFactory(tenant=measured, project=project) for _ in range(40)]
    for _ in range(40):
        AccessRequestFactory(tenant=measured, project=project, requested_by=person)
    record_usage(
        "gateway",
        (
            UsageRecord(
                event_id=uuid7(), key_id=keys[number % 40].pk, model="gpt-4o",
                occurred_at=begins + timedelta(minutes=number * 14), input=1000, output=200,
            )
            for number in range(3000)
        ),
    )  # fmt: skip
    others = Tenant.objects.bulk_create(
        Tenant(slug=f"other-{number}", name=f"Other {number}") for number in range(tenants - 1)
    )
    people = User.objects.bulk_create(
        User(email=f"person{number}@example.com") for number in range(len(others))
    )
    Membership.objects.bulk_create(
        [Membership(tenant=t, user=u, role="owner") for t, u in zip(others, people, strict=True)]
    )
    projects = Project.objects.bulk_create(
        [Project(tenant=t, slug="letters", name="Letters") for t in others]
    )
    ApiKey.objects.bulk_create(
        [ApiKey(tenant=p.tenant, project=p, name=f"key {n}") for p in projects for n in range(20)],
        batch_size=5000,
    )
    from django.db import connection

    with as_owner(), connection.cursor() as cursor:
        columns = _columns(cursor, "rollup_day")
        chosen = ", ".join(
            {"tenant_id": "p.tenant_id", "project_id": "p.id"}.get(name, f"r.{name}") for name in columns
        )
        cursor.execute(
            f"INSERT INTO rollup_day ({', '.join(columns)}) SELECT {chosen} FROM rollup_day r, tenants_project p "
            "WHERE r.tenant_id = %s AND p.tenant_id <> %s AND r.key_id = %s",
            [measured.pk, measured.pk, keys[0].pk],
        )
        cursor.execute("ANALYZE")
    return person


def _columns(cursor: Any, table: str) -> list[str]:
    cursor.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped "
        "AND attgenerated = '' AND attidentity = ''",
        [table],
    )
    return [name for (name,) in cursor.fetchall()]


if __name__ == "__main__":
    main()
