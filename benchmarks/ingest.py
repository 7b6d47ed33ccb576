"""Measure how fast usage is recorded, as a share of a bare COPY of the same rows into the same table.

    python -m benchmarks.ingest [--keys 9,100,8000] [--calls N] [--rounds N] [--batch N] [--writers 1,2,4] [--demo]

Both sides write the same rows on the same server, alternating, and the best round of each counts: other work on the
machine slows both. The table also shows processor time, which is the steadier measure on a busy machine. The bare COPY
sends text from memory in one transaction and checks nothing. It runs as the owner of the tables, to whom row-level
security does not apply. Recording runs as the console's role, starts from Python records, and ends with everything
committed: identities claimed, every call priced, all rollups written and the periods locked. The calls are those of the
ServeGen trace with their own times over one day, as a gateway reports them: with ids that grow by time, a target, a
request id, and for every second call a trace. With `--demo` they are spread over months, as `import_usage` does, which
makes many more rollup rows. `--keys` distributes them over so many keys, twenty of each project: with thousands of keys
nearly every call of a batch has its own rollup row. In production a task folds rollups every few seconds; the benchmark
times folding separately, after all calls are recorded. At the end it prints the bytes a call takes on disk, everything
included.

The benchmark uses the server of DATABASE_URL (in its own database, dropped afterwards), or starts an embedded one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.scratch import prepare

TRACE = Path(__file__).resolve().parent.parent / "billing" / "data" / "servegen_deepseek-r1_events.csv.xz"
MIDNIGHT = datetime(2026, 10, 14, tzinfo=UTC)
TABLES = (
    "usage_event, event_key, rollup_delta, rollup_hour_folded, rollup_day_folded, rollup_estimated_folded, "
    "rollup_month_folded, rollup_tenant_day_folded, rollup_tenant_month_folded, rollup_key_month, key_months_summed, "
    "cost_line, billing_period, quarantined_event, unposted_day"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=350_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--keys", default="9,100,8000", help="comma-separated numbers of keys")
    parser.add_argument("--writers", default="1", help="comma-separated numbers of writers at once")
    parser.add_argument("--demo", action="store_true", help="spread over months as the demo does")
    parser.add_argument("--save", type=Path, help="write what was measured of one writer to this file")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        prepare(stack)
        calls = make_records(options)
        for keys in (int(number) for number in options.keys.split(",")):
            run(options, dealt_out(calls, keys), keys)


def run(options: argparse.Namespace, records: list, keys: int) -> None:
    from django.db import connection

    from tests.databases import as_owner

    count = len(records)
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        print(
            cursor.fetchone()[0].split(" on ")[0],
            f"· {os.cpu_count()} cores · {count:,} calls · {keys:,} keys · batches of {options.batch:,}",
            flush=True,
        )
    writers = [int(number) for number in options.writers.split(",")]
    best: dict[str, Measured] = {}

    def note(name: str, work: Callable[[], object]) -> None:
        before = Measured.now()
        work()
        best[name] = Measured.now().since(before).better_of(best.get(name))

    for _ in range(options.rounds):
        for number in writers:
            empty()
            note(f"recorded, {number} writer(s)", lambda n=number: record(records, options.batch, n))
            check(count)
        note("folded afterwards", fold)
        check(count)
        size = on_disk()
        text, binary = copied_out("text"), copied_out("binary")
        for form, rows in (("text", text), ("binary", binary)):
            empty()
            with as_owner():
                note(f"bare COPY, {form}", lambda form=form, rows=rows: copy_in(rows, form))
    bare = best["bare COPY, text"]
    print(
        f"{'':24}{'calls/s':>10}{'of bare COPY':>14}{'server us/call':>16}{'of bare COPY':>14}{'client us/call':>16}"
    )
    for name, took in sorted(best.items()):
        server = (
            f"{took.server / count * 1e6:>16.2f}{bare.server / took.server:>14.2f}"
            if took.server
            else " " * 30
        )
        clock = f"{count / took.wall:>10,.0f}{bare.wall / took.wall:>14.2f}"
        print(f"{name:24}{clock}{server}{took.client / count * 1e6:>16.2f}")
    each = " + ".join(f"{name} {taken / count:.0f}" for name, taken in size.items())
    print(f"on disk: {sum(size.values()) / count:.0f} bytes a call ({each})", flush=True)
    if options.save and (one := best.get("recorded, 1 writer(s)")):
        found = {
            "server": bare.server / one.server if one.server else 0,
            "wall": bare.wall / one.wall,
            "folding": best["folded afterwards"].server / count * 1e6,
            "bytes": sum(size.values()) / count,
        }
        options.save.write_text(json.dumps(found) + "\n")


class Measured(NamedTuple):
    """Seconds: by the clock, of the server process of this thread's connection, and of this process.

    Processor time shows the amount of work, whatever else the machine does. With several writers other server
    processes do the work, and on machines without /proc it is unknown: then `server` is 0.
    """

    wall: float
    server: float
    client: float

    @classmethod
    def now(cls) -> Measured:
        from django.db import connection

        connection.ensure_connection()
        try:
            spent = Path(f"/proc/{connection.connection.info.backend_pid}/schedstat").read_text().split()[0]
        except OSError:
            spent = "0"
        return cls(time.perf_counter(), int(spent) / 1e9, time.process_time())

    def since(self, before: Measured) -> Measured:
        return Measured(*(now - then for now, then in zip(self, before, strict=True)))

    def better_of(self, other: Measured | None) -> Measured:
        return Measured(*map(min, self, other)) if other else self


def make_records(options: argparse.Namespace) -> list:
    """Return the trace's calls, with the keys of nine projects and five priced models."""
    from uuid import UUID

    from billing.demo_rule import DEMO_MODELS, DemoRule
    from billing.imports import demo_projects, import_key
    from billing.ingest import make_partitions
    from billing.prices import publish_price_book
    from billing.traces import read_trace
    from billing.usage import UsageRecord, encode

    keys = {place: import_key(project).pk for place, project in demo_projects().items()}
    prices = {"input": Decimal("0.55"), "cache_read": Decimal("0.14"), "output": Decimal("2.19")}
    publish_price_book(
        [(model, prices) for model in DEMO_MODELS],
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        reason="Benchmark",
    )
    rows = list(islice(read_trace(TRACE, "servegen"), options.calls))
    rule = DemoRule(until=MIDNIGHT, first_moment=rows[0].moment, last_moment=rows[-1].moment)
    chance = random.Random(7)
    targets = [str(UUID(int=chance.getrandbits(128), version=4)) for _ in range(20)]
    records = []
    for row in rows:
        tenant, project, model = rule.place(row)
        at = rule.moment(row) if options.demo else MIDNIGHT + timedelta(microseconds=row.moment)
        records.append(UsageRecord(UUID(int=0), keys[tenant, project], model, at, row.usage, latency_ms=900,
                                   first_token_ms=80, is_stream=True, config_revision=7))  # fmt: skip
    records.sort(key=lambda record: record.occurred_at)
    for n, record in enumerate(records):
        milliseconds = int(record.occurred_at.timestamp() * 1000)
        value = milliseconds << 80 | 0x7 << 76 | 0x2 << 62 | chance.getrandbits(62)
        call_id = UUID(int=value)
        trace = f"{chance.getrandbits(128):032x}" if n % 2 else None
        records[n] = record._replace(
            event_id=call_id, request_id=str(call_id), target_id=chance.choice(targets), trace_id=trace
        )
    make_partitions(encode(records))
    return records


def dealt_out(records: list, keys: int) -> list:
    """Return the same calls with `keys` keys instead of nine: twenty per project, ten projects per tenant."""
    from core.ids import uuid7
    from tenants.models import ApiKey, Project, Tenant

    if keys <= len({record.key_id for record in records}):
        return records
    projects = []
    for number in range(-(-keys // 200)):
        name = f"bench-{keys}-{number}"
        tenant = Tenant.objects.create(slug=name, name=name)
        projects += Project.objects.bulk_create(
            Project(tenant=tenant, slug=f"p{each}", name=f"Project {each}") for each in range(10)
        )
    made = ApiKey.objects.bulk_create(
        ApiKey(
            id=uuid7(), tenant_id=project.tenant_id, project=project, name="bench", state="active",
            claimed_at=MIDNIGHT, prefix="qm_bench", digest=f"{keys:032x}{number:032x}", model_names=[],
        )
        for number, project in enumerate(projects[each % len(projects)] for each in range(keys))
    )  # fmt: skip
    chance = random.Random(8)
    return [record._replace(key_id=chance.choice(made).pk) for record in records]


def fold() -> None:
    """Fold the rollups, as a task does every few seconds."""
    from billing.folding import fold_rollups

    fold_rollups()


def on_disk() -> dict[str, int]:
    """Return the bytes of the tables that grow with calls, including indexes and partitions."""
    from django.db import connection

    sizes = {}
    with connection.cursor() as cursor:
        for table in (
            "usage_event", "event_key", "rollup_hour_folded", "rollup_day_folded", "rollup_month_folded",
            "rollup_tenant_day_folded", "rollup_tenant_month_folded",
        ):  # fmt: skip
            cursor.execute(
                "SELECT coalesce((SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(%s)), "
                "pg_total_relation_size(%s))",
                [table, table],
            )
            sizes[table] = int(cursor.fetchone()[0])
    return sizes


def record(records: list, batch: int, writers: int) -> None:
    """Record all calls in batches, distributed over `writers` concurrent writers."""
    from django.db import connection

    from billing.imports import record_all

    if writers == 1:
        for _ in record_all("gateway", records, batch_size=batch):
            pass
        return

    def write(part: int) -> None:
        mine = [
            record
            for start in range(part * batch, len(records), batch * writers)
            for record in records[start : start + batch]
        ]
        for _ in record_all("gateway", mine, batch_size=batch):
            pass
        connection.close()

    threads = [threading.Thread(target=copy_context().run, args=[write, part]) for part in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check(count: int) -> None:
    """Check that the ledger holds every call and that the rollups are the sums of the events."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), sum(amount), sum(usage) FROM usage_event")
        events = cursor.fetchone()
        for table in (
            "rollup_hour",
            "rollup_day",
            "rollup_month",
            "rollup_tenant_day",
            "rollup_tenant_month",
        ):
            cursor.execute(f"SELECT sum(calls), sum(amount), sum(usage) FROM {table}")
            if cursor.fetchone() != events or events[0] != count:
                raise SystemExit(f"{table} is not the sum of {count} events")


def empty() -> None:
    from django.db import connection

    from tests.databases import as_owner

    with as_owner(), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {TABLES}")
        cursor.execute("CHECKPOINT")


def copied_out(form: str) -> bytes:
    from django.db import connection

    with (
        connection.cursor() as cursor,
        cursor.copy(
            f"COPY (SELECT * FROM usage_event ORDER BY occurred_at) TO STDOUT (FORMAT {form})"
        ) as copy,
    ):
        return b"".join(copy)


def copy_in(rows: bytes, form: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor, cursor.copy(f"COPY usage_event FROM STDIN (FORMAT {form})") as copy:
        copy.write(rows)


if __name__ == "__main__":
    main()
