"""Time the audit log: pages over ten million entries, checkpoints, and verification.

    python -m benchmarks.audit [--entries 10000000]

Fills an audit log of 2,000 tenants with 50 people each. One tenant has a tenth of the entries, and one entry in fifty
thousand has a rare action. The test client requests the pages as an owner of that tenant and as an auditor, first over
10,000 entries and then over all of them. The ratio of the two is comparable between machines. Checkpoints and
verification are measured over the first 200,000 entries. The benchmark needs about 800 bytes of disk for each entry,
and frees them at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
from time import perf_counter
from unittest import mock

from benchmarks.scratch import prepare

FEW, COVERED = 10_000, 200_000
ROUNDS = 41
TENANTS, PEOPLE = 2_000, 50
BAR_MILLISECONDS = 100

PEOPLE_SQL = """
INSERT INTO tenants_tenant (id, slug, name, status, currency, timezone, cost_centre, highest_data_class, regions,
                            suspended_reason, answer_storage, created_at)
SELECT md5('tenant' || t)::uuid, 'tenant-' || t, 'Tenant ' || t, 'active', 'USD', 'UTC', '', 'internal', '{}', '',
       'off', now()
  FROM generate_series(0, %(tenants)s - 1) t;
INSERT INTO accounts_user
    (id, password, is_superuser, is_staff, is_active, date_joined, email, name, external_id, language)
SELECT md5('user' || u)::uuid, '', false, false, true, now(), 'person-' || u || '@example.com', 'Person ' || u, '', ''
  FROM generate_series(0, %(tenants)s * %(people)s - 1) u;
"""

# About one entry every 3 seconds, over a year. One in ten belongs to tenant 0. The verb `tenant.renamed` is rare.
ENTRIES_SQL = """
INSERT INTO audit_auditentry
    (id, tenant_id, at, actor_id, actor_label, acting_as, verb, subject_type, subject_id, subject_label, details,
     changes, request_id, trace_id, address, user_agent)
SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid,
       md5('tenant' || t)::uuid, to_timestamp(ms / 1000.0),
       CASE WHEN i %% 7 = 0 THEN NULL ELSE md5('user' || (t * 50 + i %% 50))::uuid END,
       CASE WHEN i %% 7 = 0 THEN 'platform' ELSE 'person-' || (t * 50 + i %% 50) || '@example.com' END,
       CASE WHEN i %% 7 = 0 THEN 'platform' ELSE 'self' END,
       CASE WHEN i %% 50000 = 1 THEN 'tenant.renamed' ELSE 'thing_' || i %% 39 || '.done' END,
       'tenants.project', md5('object' || i %% 500000)::uuid::text, 'Project ' || i %% 500000,
       jsonb_build_object('note', 'letter ' || i, 'count', i %% 100), '{"value": ["1", "2"]}',
       md5('request' || i)::uuid::text, md5('trace' || i), '192.0.2.1', 'Mozilla/5.0 (X11; Linux x86_64)'
  FROM (SELECT i, CASE WHEN i %% 10 = 0 THEN 0 ELSE i %% %(tenants)s END AS t,
               (extract(epoch FROM now())::bigint - 31536000) * 1000 + i * (31536000000 / %(whole)s) AS ms
          FROM generate_series(%(first)s::bigint, %(last)s::bigint - 1) i) g
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--entries", type=int, default=10_000_000, help=f"more than {FEW:,}")
    options = parser.parse_args()
    if options.entries <= FEW:
        parser.error(
            f"--entries must be above {FEW:,}: the pages over the first {FEW:,} entries are what the pages over all "
            f"of them are compared with. Try --entries {10 * FEW}."
        )
    with contextlib.ExitStack() as stack:
        prepare(stack)
        from core.scope import platform_scope

        with platform_scope("benchmark"):
            sys.exit(run(options.entries))


def run(entries: int) -> int:
    from django.db import connection

    from tests.databases import as_owner

    with as_owner(), connection.cursor() as cursor:
        cursor.execute(PEOPLE_SQL, {"tenants": TENANTS, "people": PEOPLE})
    client, auditor = people()
    load(0, FEW, entries)
    few = measure(client, auditor)
    load(FEW, min(COVERED, entries), entries, waiting=True)
    checkpoint_and_prove()
    load(COVERED, entries, entries)
    many = measure(client, auditor)
    print(
        f"\n{'page':42}{'p50':>8}{'p95':>8}{'work':>8}{'10k p50':>9}{'10k work':>9}{'ratio':>7}   milliseconds"
    )
    worst = 0.0
    for name, (median, high, work) in many.items():
        first, _, first_work = few[name]
        print(
            f"{name:42}{median:>8.1f}{high:>8.1f}{work:>8.1f}{first:>9.1f}{first_work:>9.1f}{work / first_work:>7.2f}"
        )
        worst = max(worst, high)
    print(f"worst p95 {worst:.1f} ms over {entries:,} entries (bar: {BAR_MILLISECONDS})")
    look_for_somebody(entries)
    return worst > BAR_MILLISECONDS


def look_for_somebody(entries: int) -> None:
    """Time how long an erasure reads before it locks anything."""
    from accounts.models import User
    from audit.redaction import Person, look_for

    begun = perf_counter()
    found = look_for(Person.of(User.objects.get(email="person-1@example.com")))
    print(
        f"{len(found.ids):,} of {entries:,} entries are about a person: {perf_counter() - begun:.0f} s to find"
    )


def people():
    """Return two signed-in clients: an owner of the busiest tenant, and an auditor."""
    from django.test import Client

    from accounts.actions import make_staff
    from accounts.models import User
    from tenants import actions
    from tenants.models import Tenant

    owner = User.objects.get(email="person-1@example.com")
    actions.add_member(Tenant.objects.get(slug="tenant-0"), owner, "owner", by=None)
    auditor = User.objects.create_user("auditor@example.com")
    make_staff(auditor, "auditor", by=None)
    clients = Client(), Client()
    for client, user in zip(clients, (owner, auditor), strict=True):
        client.force_login(user)
    return clients


def load(first: int, last: int, whole: int, *, waiting: bool = False) -> None:
    """Add entries, with triggers disabled as in a restore. For many entries, drop the indexes and create them again."""
    from tests.databases import as_owner

    if last > first:
        with as_owner():
            load_as_owner(first, last, whole, waiting)


def load_as_owner(first: int, last: int, whole: int, waiting: bool) -> None:
    from django.db import connection

    from audit.models import AuditEntry

    begun = perf_counter()
    values = {"first": first, "last": last, "whole": whole, "tenants": TENANTS}
    is_large = last - first > 500_000
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SET maintenance_work_mem = '512MB'")
        if is_large:
            for index in AuditEntry._meta.indexes:
                cursor.execute(f"DROP INDEX {index.name}")
        step = 500_000
        for start in range(first, last, step):
            cursor.execute(ENTRIES_SQL, values | {"first": start, "last": min(start + step, last)})
        if waiting:
            cursor.execute(
                "INSERT INTO audit_auditpending SELECT id FROM audit_auditentry ON CONFLICT DO NOTHING"
            )
        cursor.execute("SET session_replication_role = origin")
    if is_large:
        with connection.schema_editor() as editor:
            for index in AuditEntry._meta.indexes:
                editor.add_index(AuditEntry, index)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE audit_auditentry")
        cursor.execute("SELECT pg_total_relation_size('audit_auditentry')")
        size = cursor.fetchone()[0]
    print(
        f"{last:,} entries after {perf_counter() - begun:.0f} s more, {size / 1e9:.2f} GB with indexes",
        flush=True,
    )


def checkpoint_and_prove() -> None:
    from django.db import connection

    from audit import checkpoints
    from audit.checkpoints import checkpoint_pending_entries
    from audit.verify import verify
    from tests.databases import as_owner

    begun = perf_counter()
    # Date the checkpoints as if they had been made during the year. The database rejects a checkpoint of another time,
    # so its triggers are disabled.
    with as_owner(), mock.patch.object(checkpoints, "time_of_checkpoint", lambda cursor, rows: rows[-1].at):
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
        covered = checkpoint_pending_entries(checkpoints=10_000)
    took = perf_counter() - begun
    print(f"checkpoints for {covered:,} entries in {took:.1f} s: {covered / took:,.0f} a second", flush=True)
    begun = perf_counter()
    proof = verify()
    took = perf_counter() - begun
    print(
        f"proved {proof.entries:,} entries in {took:.1f} s: {proof.entries / took:,.0f} a second", flush=True
    )


def pages() -> dict[str, tuple[str, str]]:
    """Return `{name: (who asks, address)}`: broad and narrow filters, alone and combined, on first and later pages."""
    from datetime import timedelta
    from uuid import UUID

    from django.utils.timezone import now

    from audit.models import AuditEntry
    from core.ids import smallest_id

    own, all_of_it, api = "/t/tenant-0/audit/", "/admin/audit/auditentry/", "/api/v1/audit/"
    middle = smallest_id(now() - timedelta(days=180))
    person, other = "person-1@example.com", "person-20@example.com"
    thing = AuditEntry.unscoped.filter(tenant__slug="tenant-0").earliest("pk").subject_id
    march = f"start={now() - timedelta(days=240):%Y-%m-%d}&end={now() - timedelta(days=210):%Y-%m-%d}"
    assert isinstance(middle, UUID)
    return {
        "tenant: newest": ("owner", own),
        "tenant: half a year back": ("owner", f"{own}?before={middle}"),
        "tenant: newer than half a year back": ("owner", f"{own}?after={middle}"),
        "tenant: a person": ("owner", f"{own}?person={other}"),
        "tenant: a person, a month": ("owner", f"{own}?person={other}&{march}"),
        "tenant: a person who did nothing there": ("owner", f"{own}?person={person}"),
        "tenant: the platform": ("owner", f"{own}?person=platform"),
        "tenant: a frequent action": ("owner", f"{own}?action=thing_10.done"),
        "tenant: a rare action": ("owner", f"{own}?action=tenant.renamed"),
        "tenant: a person and a rare action": ("owner", f"{own}?person={other}&action=tenant.renamed"),
        "tenant: an object": ("owner", f"{own}?object={thing}"),
        "tenant: a month": ("owner", f"{own}?{march}"),
        "all: newest": ("auditor", all_of_it),
        "all: a person": ("auditor", f"{all_of_it}?person={other}"),
        "all: a rare action": ("auditor", f"{all_of_it}?action=tenant.renamed"),
        "all: the platform and a rare action": (
            "auditor",
            f"{all_of_it}?person=platform&action=tenant.renamed",
        ),
        "all: an object, a month": ("auditor", f"{all_of_it}?object={thing}&{march}"),
        "API: newest": ("owner", api),
        "API: a person and an action": ("owner", f"{api}?person={other}&verb=thing_20.done"),
    }


def measure(owner, auditor) -> dict[str, tuple[float, float, float]]:
    """Measure each page in milliseconds: median and 95th percentile by the clock, and the median of processor time.

    Processor time is that of this process and of its database connection's server process. It shows how much work a
    page is, whatever else the machine does.
    """
    from benchmarks.ingest import Measured

    clients = {"owner": owner, "auditor": auditor}
    found = {}
    for name, (who, address) in pages().items():
        times, worked = [], []
        for _ in range(ROUNDS + 1):  # the first warms up
            before = Measured.now()
            answer = clients[who].get(address)
            took = Measured.now().since(before)
            times.append(took.wall * 1000)
            worked.append((took.server + took.client) * 1000)
            assert answer.status_code == 200, (address, answer.status_code)
        found[name] = (
            statistics.median(times[1:]),
            statistics.quantiles(times[1:], n=20, method="inclusive")[-1],
            statistics.median(worked[1:]),
        )
    return found


if __name__ == "__main__":
    main()
