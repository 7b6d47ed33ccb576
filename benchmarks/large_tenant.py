"""The large database: 2,000 tenants, one of them with 20,000 keys and a fifth of all usage, kept between runs.

The server creates the rows itself by INSERT … SELECT FROM generate_series, with triggers disabled as in a restore. They
are consistent: rollups are the sums of the events, amounts are quantities at the price of their hour, and every key
that can call has a grant. The server and its databases are in `.local/scale`; removing that directory removes them.
"""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.large_server import is_current, remember, start_server

# The slugs of the large tenant and of an ordinary one.
LARGE = "tenant-0"
ORDINARY = "tenant-1"


@dataclass(frozen=True)
class Size:
    """The number of rows of each kind. The server keeps one database for each size."""

    events: int = 20_000_000
    tenants: int = 2_000
    keys: int = 20_000  # of the large tenant
    # Of each other tenant; 328,000 usable keys in total.
    other_keys: int = 154
    projects: int = 1_000  # of the large tenant
    members: int = 5_000  # of the large tenant
    # Of the large tenant, in addition to those that became grants.
    requests: int = 20_000
    audit_entries: int = 500_000
    days: int = 400

    @property
    def database(self) -> str:
        numbers = (self.events // 1000, self.tenants, self.keys, self.other_keys, self.projects)
        return "large_" + "_".join(map(str, numbers))


def open_large(stack: contextlib.ExitStack, size: Size, directory: Path, major: int | None = None) -> None:
    """Set Django up on the large database, as the console's role. Build the database if it does not exist yet.

    Pending migrations run first, as on a large installation, and their times are printed. Only one process at a time
    can use `directory`. For a new directory, `major` chooses the version of PostgreSQL; the default is the machine's.
    """
    start_server(stack, directory, major)
    from tests.services import prepare_environment

    prepare_environment(stack.callback)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.test")
    os.environ["LOG_LEVEL"] = "ERROR"
    import django

    django.setup()
    from core.scope import Scope, current_scope

    current_scope.set(Scope(platform_reason="a benchmark"))
    _use(size)


def _use(size: Size) -> None:
    from django.core.management import call_command

    from tests.databases import as_owner, execute, maintenance, use

    is_built = is_current(size.database)
    if not is_built:
        with maintenance() as server:
            execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", size.database)
            execute(server, "CREATE DATABASE {}", size.database)
    use(size.database)
    begun = perf_counter()
    with as_owner():
        with contextlib.redirect_stdout(io.StringIO()) as said:
            call_command("migrate", verbosity=2, interactive=False)
        if is_built:
            _print_applied(said.getvalue())
        else:
            build(size)
            print(f"built {size.database} in {perf_counter() - begun:.0f} s", flush=True)
    remember(size.database)


def _print_applied(said: str) -> None:
    """Print the migrations that were applied to an existing database, and how long each took."""
    for line in said.splitlines():
        if line.lstrip().startswith("Applying"):
            print(line.rstrip(), flush=True)


FUNCTIONS = """
CREATE FUNCTION pg_temp.id7(ms bigint, seed text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(md5(seed), 1, 3) || '8' || substr(md5(seed), 4, 15))::uuid $$;
CREATE FUNCTION pg_temp.id(seed text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_temp.id7((extract(epoch FROM date_trunc('month', now()) - interval '14 months') * 1000)::bigint
                       + ('x' || substr(md5(seed), 25, 7))::bit(28)::int, seed) $$;
"""

# Temporary: who owns which keys and projects. Project 0 of the large tenant has 5,000 keys; the others share the rest.
CAST = """
CREATE TEMPORARY TABLE large_project AS
SELECT t, p, pg_temp.id('tenant' || t) AS tenant_id, pg_temp.id('project' || t || ':' || p) AS id
  FROM generate_series(0, {tenants} - 1) t,
       generate_series(0, CASE WHEN t = 0 THEN {projects} - 1 ELSE 2 END) p;
CREATE TEMPORARY TABLE large_key AS
SELECT k.*, pg_temp.id('key' || t || ':' || k) AS id, pg_temp.id('tenant' || t) AS tenant_id,
       pg_temp.id('project' || t || ':' || p) AS project_id
  FROM (SELECT t, k, CASE WHEN t > 0 THEN k % 3 WHEN k < {keys} / 4 THEN 0 ELSE 1 + k % ({projects} - 1) END AS p
          FROM generate_series(0, {tenants} - 1) t,
               generate_series(0, CASE WHEN t = 0 THEN {keys} - 1 ELSE {other_keys} - 1 END) k) k;
CREATE TEMPORARY TABLE large_model AS
SELECT (row_number() OVER (ORDER BY b.name))::int - 1 AS m, b.id, b.name, c.id AS catalog_id,
       (3000 * prices[1] + 1000 * prices[2] + 400 * prices[3]) * 0.000001 AS amount
  FROM (SELECT s.model_id, array_agg(p.per_million ORDER BY s.kind = 'output', s.kind = 'cache_read') AS prices
          FROM sku s JOIN price p ON p.sku_id = s.id AND upper_inf(p.valid) AND p.currency = 'USD'
         WHERE s.kind IN ('input', 'cache_read', 'output') GROUP BY 1 HAVING count(*) = 3) priced
  JOIN billed_model b ON b.id = priced.model_id JOIN catalog_catalogmodel c ON c.name = b.name AND c.mode = 'chat'
   AND c.lifecycle = 'published' ORDER BY b.name LIMIT 12;
-- One key's calls of one day and model, all of one hour: {{n}} cells of a key, spread evenly over the days.
CREATE TEMPORARY TABLE large_cell AS
SELECT k.tenant_id, k.project_id, k.id AS key_id, m.id AS model_id, m.amount, k.t, k.k, c, cells.calls,
       today.day - ((c * ({days} / cells.n) + k.k * 37) % {days}) AS day, (k.k * 7 + c * 5) % 22 AS hour
  FROM large_key k
  JOIN LATERAL (SELECT greatest(1, CASE WHEN k.t = 0 THEN {events} / 5 / {keys}
                                        ELSE {events} / 5 * 4 / ({tenants} - 1) / {other_keys} END) AS each) e ON true
  JOIN LATERAL (SELECT least({days}, greatest(1, e.each / 4)) AS n) number ON true
  JOIN LATERAL (SELECT number.n, greatest(1, e.each / number.n) AS calls) cells ON true
  CROSS JOIN (SELECT (now() AT TIME ZONE 'UTC')::date - 1 AS day) today
  CROSS JOIN LATERAL generate_series(0, cells.n - 1) c
  JOIN large_model m ON m.m = (k.p * 5 + c % 3 * 4) % 12;
ANALYZE large_project, large_key, large_model, large_cell;
"""

# What each call used, packed.
USED = (
    "(SELECT sum(place * CASE name WHEN 'input' THEN 3000 WHEN 'cache_read' THEN 1000 WHEN 'output' THEN 400 "
    "WHEN 'request' THEN 1 ELSE 0 END) FROM usage_kind)"
)
TOKENS = 4400


def build(size: Size) -> None:
    """Fill an empty migrated database, as the owner of its tables."""
    from datetime import timedelta

    from django.db import connection
    from django.utils.timezone import now

    from catalog.actions import accept_entries, start_import
    from catalog.models import CatalogModel
    from catalog.price_map.vendor import VENDORED, read_text

    begins = (now() - timedelta(days=size.days + 40)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    imported = start_import(read_text(VENDORED), file_name=VENDORED.name, by=None)
    accept_entries(imported.pk, by=None, may_take_held=True, prices_from=begins)
    CatalogModel.objects.filter(lifecycle="draft").update(lifecycle="published")
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SET work_mem = '256MB'")
        cursor.execute("SET maintenance_work_mem = '256MB'")
        cursor.execute(FUNCTIONS)
        cursor.execute(CAST.format(**vars(size)))
        for fill in (_people, _catalog, _usage, _audit):
            begun = perf_counter()
            fill(cursor, size)
            print(f"  {fill.__name__.strip('_')}: {perf_counter() - begun:.0f} s", flush=True)
        cursor.execute("SET session_replication_role = origin")
        _owners()
        cursor.execute("VACUUM ANALYZE")


def insert(cursor: Any, table: str, rows: str, /, **values: str) -> None:
    """INSERT INTO table SELECT values FROM rows; other NOT NULL columns without a default get an empty value.

    A column that is added later therefore does not break the benchmark.
    """
    cursor.execute(
        """
        SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
         WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attnotnull AND NOT atthasdef
           AND attidentity = ''
        """,
        [table],
    )
    nothing = {"boolean": "false", "jsonb": "'{}'", "uuid": "gen_random_uuid()", "bytea": "''"}
    for column, kind in cursor.fetchall():
        if kind.endswith("[]"):
            default = "'{}'"
        elif "time zone" in kind:
            default = "now()"
        else:
            default = nothing.get(kind, "''" if "char" in kind or kind == "text" else "0")
        values.setdefault(column, default)
    cursor.execute(
        f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())} FROM {rows}"
    )


def _owners() -> None:
    """Create an owner for the large and for the ordinary tenant, and staff, with the actions that give the roles."""
    from accounts.actions import make_staff
    from accounts.models import User
    from tenants import actions
    from tenants.models import Tenant

    for slug in (LARGE, ORDINARY):
        person = User.objects.create_user(f"owner@{slug}.example")
        actions.add_member(Tenant.objects.get(slug=slug), person, "owner", by=None)
    for role in ("operator", "auditor", "controller", "security-reviewer"):
        make_staff(User.objects.create_user(f"{role}@staff.example"), role, by=None)


def _people(cursor: Any, size: Size) -> None:
    insert(
        cursor, "tenants_tenant", f"generate_series(0, {size.tenants} - 1) t",
        id="pg_temp.id('tenant' || t)", slug="'tenant-' || t", name="'Tenant ' || t", status="'active'",
        currency="'USD'", timezone="'UTC'", highest_data_class="'confidential'",
        created_at="now() - interval '420 days'",
    )  # fmt: skip
    people = (
        f"generate_series(0, {size.tenants} - 1) t, "
        f"generate_series(0, CASE WHEN t = 0 THEN {size.members} ELSE 5 END - 1) u"
    )
    insert(
        cursor, "accounts_user", people,
        id="pg_temp.id('user' || t || ':' || u)", email="'person-' || u || '@tenant-' || t || '.example'",
        name="'Person ' || u || ' of ' || t", is_active="true",
    )  # fmt: skip
    insert(
        cursor, "tenants_membership", people,
        id="pg_temp.id('member' || t || ':' || u)", tenant_id="pg_temp.id('tenant' || t)",
        user_id="pg_temp.id('user' || t || ':' || u)", source="'person'",
        role="CASE WHEN u = 0 THEN 'owner' WHEN u % 10 = 1 THEN 'admin' WHEN u % 10 = 2 THEN 'finance' "
        "WHEN u % 10 = 3 THEN 'viewer' ELSE 'developer' END",
    )  # fmt: skip
    insert(
        cursor, "tenants_project", "large_project", id="id", tenant_id="tenant_id", slug="'project-' || p",
        name="'Project ' || p", owner_id="pg_temp.id('user' || t || ':' || p % 5)",
        created_at="now() - interval '410 days'",
    )  # fmt: skip
    insert(
        cursor, "tenants_apikey", "large_key", id="id", tenant_id="tenant_id", project_id="project_id",
        name="'service ' || md5(k::text)", state="'active'", prefix="'qm_' || substr(md5(id::text), 1, 5)",
        digest="md5('a' || id::text) || md5('b' || id::text)", claimed_at="now() - interval '400 days'",
        created_at="now() - interval '400 days' + k * interval '1 minute'",
        owner_id="pg_temp.id('user' || t || ':' || k % 5)", claimed_by_id="pg_temp.id('user' || t || ':' || k % 5)",
        last_used_at="now() - k % 1000 * interval '1 minute'",
        model_names="ARRAY(SELECT name FROM large_model m WHERE (m.m - p * 5) % 4 = 0)",
    )  # fmt: skip
    created = "now() - interval '390 days'"
    insert(
        cursor, "tenants_limit", "large_project WHERE p = 0", id="pg_temp.id('money' || t)", tenant_id="tenant_id",
        kind="'money_per_month'", value="1000000", is_hard="true", created_at=created,
    )  # fmt: skip
    insert(
        cursor, "tenants_limit", "large_key", id="pg_temp.id('tokens' || t || ':' || k)", tenant_id="tenant_id",
        key_id="id", kind="'tokens_per_month'", value="50000000", is_hard="true",
        created_at=created,
    )  # fmt: skip
    # Nine limits for each key of one project.
    insert(
        cursor, "tenants_limit",
        "large_key k JOIN large_model m ON m.m IN (0, 4, 8) CROSS JOIN (VALUES ('requests_per_minute', 600), "
        "('tokens_per_day', 5000000), ('concurrent_calls', 20)) kinds (kind, value) WHERE k.t = 0 AND k.p = 0",
        id="pg_temp.id('limit' || k.k || ':' || m.m || kinds.kind)", tenant_id="k.tenant_id",
        key_id="k.id", model="m.name", kind="kinds.kind", value="kinds.value",
        is_hard="true", created_at=created,
    )  # fmt: skip


def _catalog(cursor: Any, size: Size) -> None:
    granted = "large_project p JOIN large_model m ON (m.m - p.p * 5) % 4 = 0"
    request = {
        "purpose": "'Answer letters of customers; a person reads each answer.'", "duration_days": "730",
    }  # fmt: skip
    item = {
        "data_class": "'internal'", "expected_tokens_per_day": "100000", "limits": "'{}'", "currency": "'USD'",
        "expected_monthly_cost": "100",
    }  # fmt: skip
    insert(
        cursor, "catalog_accessrequest", granted, **request, id="pg_temp.id('granted' || p.t || ':' || p.p || m.name)",
        tenant_id="p.tenant_id", state="'approved'",
        requested_by_id="pg_temp.id('user' || p.t || ':' || p.p % 5)", decided_at="now() - interval '400 days'",
        created_at="now() - interval '401 days'",
    )  # fmt: skip
    insert(
        cursor, "catalog_requestitem", granted, **item, id="pg_temp.id('granted' || p.t || ':' || p.p || m.name)",
        access_request_id="pg_temp.id('granted' || p.t || ':' || p.p || m.name)", tenant_id="p.tenant_id",
        project_id="p.id", model_id="m.catalog_id", key_id="pg_temp.id('key' || p.t || ':' || p.p)",
        is_open="false",
    )  # fmt: skip
    insert(
        cursor, "catalog_grant", granted, id="pg_temp.id('grant' || p.t || ':' || p.p || m.name)",
        tenant_id="p.tenant_id", project_id="p.id", model_id="m.catalog_id",
        item_id="pg_temp.id('granted' || p.t || ':' || p.p || m.name)", valid_from="now() - interval '400 days'",
        valid_until="now() + interval '330 days'", created_at="now() - interval '400 days'",
    )  # fmt: skip
    # Requests for models that the project has no grant for. In the large tenant one in forty is open; an ordinary
    # tenant has two open ones.
    asked = (
        "(SELECT p.*, r, (p.p * 5 + 1 + r % 3) % 12 AS wanted, "
        "CASE WHEN r >= 2 THEN 'withdrawn' WHEN r = 0 AND p.p % 2 = 0 THEN 'pending' ELSE 'rejected' END AS state "
        "FROM large_project p, "
        f"generate_series(0, CASE WHEN t = 0 THEN {size.requests} / {size.projects} - 1 ELSE 0 END) r"
        ") p JOIN large_model m ON m.m = p.wanted"
    )
    at = "now() - (p.p * 7 + p.r * 11) % 390 * interval '1 day' - p.p * interval '1 second'"
    asked_id = (
        f"pg_temp.id7((extract(epoch FROM {at}) * 1000)::bigint, 'asked' || p.t || ':' || p.p || ':' || p.r)"
    )
    insert(
        cursor, "catalog_accessrequest", asked, **request, tenant_id="p.tenant_id", id=asked_id, state="p.state",
        requested_by_id="pg_temp.id('user' || p.t || ':' || p.p % 5)",
        decided_at=f"CASE WHEN p.state = 'rejected' THEN {at} + interval '1 hour' END", created_at=at,
    )  # fmt: skip
    insert(
        cursor, "catalog_requestitem", asked, **item, tenant_id="p.tenant_id", id=asked_id,
        access_request_id=asked_id, project_id="p.id", model_id="m.catalog_id", is_open="p.state = 'pending'",
    )  # fmt: skip
    insert(
        cursor, "catalog_review",
        "catalog_accessrequest a CROSS JOIN (VALUES ('security'), ('cost')) tracks (track)",
        id="pg_temp.id7((extract(epoch FROM a.created_at) * 1000)::bigint, a.id || tracks.track)",
        tenant_id="a.tenant_id", access_request_id="a.id", track="tracks.track",
        reason="'Every new model is looked at.'",
        quorum="1", created_at="a.created_at", due_at="a.created_at + interval '2 days'", decided_at="a.decided_at",
        state="CASE a.state WHEN 'withdrawn' THEN 'cancelled' ELSE a.state END",
    )  # fmt: skip


def _usage(cursor: Any, size: Size) -> None:
    cursor.execute("SELECT DISTINCT date_trunc('month', day)::date FROM large_cell")
    months = sorted(month for (month,) in cursor.fetchall())
    for month in months:
        cursor.execute("SELECT make_usage_partition(%s)", [month])
    period = "date_trunc('month', day)::date"
    cursor.execute(f"SELECT {USED}")
    used = cursor.fetchone()[0]
    sums = f"sum(calls * {used}), sum(calls * {TOKENS})::bigint"
    columns = "usage, tokens, calls, amount"
    cursor.execute(
        f"INSERT INTO rollup_day_folded (period, tenant_id, project_id, key_id, model_id, day, is_unpriced, {columns}) "
        f"SELECT {period}, tenant_id, project_id, key_id, model_id, day, false, {sums}, sum(calls), "
        "sum(calls * amount) FROM large_cell GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6"
    )
    cursor.execute(
        f"INSERT INTO rollup_hour_folded (period, tenant_id, project_id, model_id, day, hour, is_unpriced, {columns}) "
        f"SELECT {period}, tenant_id, project_id, model_id, day, (day + hour * interval '1 hour') AT TIME ZONE 'UTC', "
        f"false, {sums}, sum(calls), sum(calls * amount) FROM large_cell "
        "GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6"
    )
    # What the trigger of days would have added if it were not disabled.
    for table, place in (
        ("rollup_month", "tenant_id, period, project_id, model_id, month"),
        ("rollup_tenant_day", "tenant_id, period, model_id, day"),
        ("rollup_tenant_month", "tenant_id, period, month"),
        ("rollup_key_month", "tenant_id, period, project_id, key_id, model_id, month"),
    ):
        read = place.replace("month", "date_trunc('month', day::timestamp)::date")
        summed = ", ".join(f"sum({name})" for name in columns.split(", "))
        cursor.execute(
            f"INSERT INTO {table}{'' if table == 'rollup_key_month' else '_folded'} ({place}, is_unpriced, {columns}) "
            f"SELECT {read}, is_unpriced, {summed} FROM rollup_day_folded GROUP BY {read}, is_unpriced ORDER BY 2, 1"
        )
    cursor.execute(
        "INSERT INTO key_months_summed (tenant_id, through) "
        "SELECT tenant_id, max(day) FROM rollup_day_folded GROUP BY tenant_id"
    )
    insert(
        cursor, "billing_period",
        "(SELECT DISTINCT tenant_id, date_trunc('month', day)::date AS month FROM large_cell) c",
        tenant_id="tenant_id", month="month", state="'open'", sha256="''",
    )  # fmt: skip
    at = "((day + hour * interval '1 hour' + (k % 3000 + n) * interval '1 second') AT TIME ZONE 'UTC')"
    for month in months:
        insert(
            cursor, "usage_event",
            "(SELECT c.*, n FROM large_cell c, generate_series(1, c.calls) n "
            f"WHERE date_trunc('month', c.day) = '{month}' ORDER BY c.day, c.hour, c.k, n) c",
            event_id=f"pg_temp.id7((extract(epoch FROM {at}) * 1000)::bigint, key_id::text || c || ':' || n)",
            tenant_id="tenant_id", project_id="project_id", key_id="key_id", occurred_at=at,
            usage=str(used), is_long_context="false", is_batch="false", latency_ms="900",
            first_token_ms="80", day="day",
            period=f"'{month}'", model_id="model_id", http_status="200", is_exact="true", is_stream="true",
            source="'gateway'", status="'ok'", amount="amount",
        )  # fmt: skip


def _audit(cursor: Any, size: Size) -> None:
    at = f"now() - interval '395 days' + i * (interval '394 days' / {size.audit_entries})"
    insert(
        cursor, "audit_auditentry",
        f"(SELECT i, CASE WHEN i % 5 = 0 THEN 0 ELSE i % {size.tenants} END AS t FROM "
        f"generate_series(0, {size.audit_entries} - 1) i) g",
        id=f"pg_temp.id7((extract(epoch FROM {at}) * 1000)::bigint, 'audit' || i)", at=at,
        tenant_id="pg_temp.id('tenant' || t)", actor_id="pg_temp.id('user' || t || ':' || i % 5)",
        actor_label="'person-' || i % 5 || '@tenant-' || t || '.example'", acting_as="'self'",
        verb="'thing_' || i % 39 || '.done'", subject_type="'tenants.project'",
        subject_id="pg_temp.id('project' || t || ':' || i % 3)::text", subject_label="'Project ' || i % 3",
        salt="uuid_send(gen_random_uuid())",
    )  # fmt: skip
