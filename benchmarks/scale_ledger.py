"""The ledger's part of the table: recording usage of many keys (item 15), and the hourly posting (item 16)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, Figures, Row
from benchmarks.large_tenant import LARGE, ORDINARY
from benchmarks.scratch import CHECKOUT

# Target share of a bare COPY, by the number of keys.
SHARES = {9: 0.50, 100: 0.50, 8000: 0.35}
# Target size of a call on disk, with everything.
BYTES = 400
FEW = 20  # tenants


def rows() -> Iterator[Row | Figures]:
    yield Figures("15", "usage recorded", recorded)
    yield from posted()


def recorded() -> Iterator[Figure]:
    """Run benchmarks/ingest.py on the same server, in its own database and process."""
    for keys, share in SHARES.items():
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "found.json"
            command = [sys.executable, "-m", "benchmarks.ingest", "--keys", str(keys), "--save", str(file)]
            command += ["--calls", "200000", "--rounds", "2"]
            environment = {**os.environ, "DATABASE_URL": os.environ["DATABASE_OWNER_URL"]}
            subprocess.run(command, cwd=CHECKOUT, env=environment, check=True, capture_output=True)
            found = json.loads(file.read_text())
        by = f"{keys:,} keys: " + "{}"
        yield Figure(
            by.format("of a bare COPY, processor time"), found["server"], "", share, more_is_better=True
        )
        yield Figure(by.format("of a bare COPY, by the clock"), found["wall"], "")
        yield Figure(by.format("folded afterwards, server"), found["folding"], "µs a call")
        yield Figure(by.format("on disk"), found["bytes"], "bytes a call", BYTES)


def posted() -> Iterator[Row]:
    """Yield the hourly posting: with no changes, with usage of a few tenants, and over all months as it used to be."""
    from billing import periods, tasks
    from tenants.models import Tenant

    def task() -> bytes:
        tasks.post_all_cost_lines()
        return b""

    few = [f"tenant-{number}" for number in range(FEW)]
    yield Row("16", "hourly posting: nothing changed", task, prepare=settle)
    yield Row("16", f"hourly posting: {FEW} of 2,000 tenants used something yesterday", task,
              prepare=lambda: (settle(), change(few, days=1)))  # fmt: skip
    for slug in (LARGE, ORDINARY):
        tenant = Tenant.objects.get(slug=slug)
        yield Row("16", f"{slug}: all its months, which was read every hour",
                  lambda tenant=tenant: b"." * periods.post_cost_lines(tenant),
                  prepare=lambda slug=slug: change([slug], days=400))  # fmt: skip


def settle() -> None:
    """Post everything that is due, so that the next posting finds nothing."""
    from billing import tasks

    tasks.post_all_cost_lines()


def change(slugs: list[str], days: int) -> None:
    """Mark the usage of these tenants as changed on their newest `days` days, as recording usage does."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO unposted_day (tenant_id, period, day, changed_at)
            SELECT DISTINCT r.tenant_id, r.period, r.day, now()
              FROM rollup_day r JOIN tenants_tenant t ON t.id = r.tenant_id
             WHERE t.slug = ANY (%s) AND r.day > (SELECT max(day) - %s FROM rollup_tenant_day)
            ON CONFLICT DO NOTHING
            """,
            # The newest day is incomplete.
            [slugs, days + 1],
        )
        if not cursor.rowcount:
            raise SystemExit("The ledger has no such days; nothing would be measured.")
