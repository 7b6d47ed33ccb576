"""The statements of the ingest transaction (billing/ingest.py), in the order in which they run.

No statement names a kind of usage. A batch numbers its kinds from 1 on, those of tokens first; `k1` is a call's count
of the first, `p1` its price. The temporary tables with such columns exist once for each number of kinds.
"""
# ruff: noqa: S608

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from billing.usage import STAGING_COLUMNS

# Cost estimates are high enough to trigger just-in-time compilation, which would take longer than the work itself. The
# planner knows only the size of temporary tables, and would sort thousands of wide rows instead of hashing a few narrow
# ones.
PREPARE: Final = "; ".join(
    [
        "SET LOCAL jit = off",
        "SET LOCAL enable_mergejoin = off",
        "SET LOCAL work_mem = '64MB'",
        "SET LOCAL client_min_messages = warning",
        """
CREATE TEMPORARY TABLE IF NOT EXISTS usage_place (place integer NOT NULL, key_id uuid NOT NULL, days integer NOT NULL)
    ON COMMIT DELETE ROWS
""",
        """
CREATE TEMPORARY TABLE IF NOT EXISTS usage_owner (
    place integer NOT NULL, days integer NOT NULL, key_id uuid NOT NULL, tenant_id uuid NOT NULL,
    project_id uuid NOT NULL, timezone text COLLATE "C" NOT NULL, currency text COLLATE "C" NOT NULL
) ON COMMIT DELETE ROWS
""",
        # Remove rows of earlier batches in this transaction. Usually there are none; TRUNCATE would create new files.
        "DELETE FROM usage_place",
        "DELETE FROM usage_owner",
        "SELECT pg_advisory_xact_lock_shared(hashtext('billing.prices'))",
    ]
)

STAGE_PLACES: Final = "COPY usage_place (place, key_id, days) FROM STDIN (FORMAT binary)"

# Keys are looked up one by one: a hash of all existing keys would take longer than the whole batch.
OWN: Final = """
INSERT INTO usage_owner (place, days, key_id, tenant_id, project_id, timezone, currency)
SELECT p.place, p.days, p.key_id, k.tenant_id, k.project_id, t.timezone, t.currency
  FROM usage_place p
  CROSS JOIN LATERAL (SELECT tenant_id, project_id FROM tenants_apikey k WHERE k.id = p.key_id OFFSET 0) k
  JOIN tenants_tenant t ON t.id = k.tenant_id
"""
TENANT_DAYS: Final = """
SELECT tenant_id, timezone, currency, days, count(*) FROM usage_owner GROUP BY 1, 2, 3, 4
"""
UNKNOWN_PLACES: Final = """
SELECT p.place FROM usage_place p WHERE NOT EXISTS (SELECT FROM usage_owner o WHERE o.place = p.place)
"""

OPEN_PERIODS: Final = """
INSERT INTO billing_period (id, tenant_id, month, state, sha256)
SELECT gen_random_uuid(), tenant_id, month, 'open', ''
  FROM unnest(%s::uuid[], %s::date[]) AS wanted (tenant_id, month)
 WHERE NOT EXISTS (SELECT FROM billing_period p
                    WHERE p.tenant_id = wanted.tenant_id AND p.month = wanted.month)
 ORDER BY tenant_id, month
ON CONFLICT (tenant_id, month) DO NOTHING
"""

# Usage of a closed month is posted to the oldest later open month; all of those are locked, too.
LOCK_PERIODS: Final = """
SELECT p.tenant_id, p.month, p.state
  FROM billing_period p
  JOIN (SELECT tenant_id, min(month) AS month FROM unnest(%s::uuid[], %s::date[]) AS w (tenant_id, month)
         GROUP BY tenant_id) first ON first.tenant_id = p.tenant_id AND p.month >= first.month
 ORDER BY p.tenant_id, p.month
   FOR SHARE OF p
"""

NAME_MODELS: Final = """
INSERT INTO billed_model (name, created_at)
SELECT name, now() FROM unnest(%s::text[]) AS name
 WHERE NOT EXISTS (SELECT FROM billed_model m WHERE m.name = name.name)
 ORDER BY name
ON CONFLICT (name) DO NOTHING
"""

NAME_TARGETS: Final = """
INSERT INTO usage_target (name, created_at)
SELECT name, now() FROM unnest(%s::text[]) AS name
 WHERE NOT EXISTS (SELECT FROM usage_target b WHERE b.name = name.name)
 ORDER BY name
ON CONFLICT (name) DO NOTHING
"""
NUMBER_TARGETS: Final = """
SELECT b.id FROM unnest(%s::text[]) WITH ORDINALITY AS said (name, n) JOIN usage_target b USING (name) ORDER BY n
"""

IS_REPEATED: Final = "SELECT EXISTS (SELECT FROM event_key WHERE source = %s AND event_id = ANY(%s))"

# From here on, every table is small or read in full. The planner expects far fewer rows than there are.
HASH: Final = "SET LOCAL enable_nestloop = off"

# Calls that a target answered count as 1, unless the source says otherwise; `usage` holds that already.
# `slice`: the part of a day (UTC) that falls on one day of a time zone. `moved`: closed months, and the month to which
# their usage is posted.
_FACTS: Final = """
WITH slice AS MATERIALIZED (
    SELECT * FROM unnest(%(slice)s::int[], %(timezone)s::text[], %(days)s::int[], %(starts)s::timestamptz[],
                         %(ends)s::timestamptz[], %(day)s::date[], %(month)s::date[])
               AS s (slice, timezone, days, starts, ends, day, month)
), moved AS MATERIALIZED (
    SELECT * FROM unnest(%(moved_tenant)s::uuid[], %(moved_from)s::date[], %(moved_to)s::date[])
               AS m (tenant_id, month, period)
)"""
# What an event has from staging.
_OF_EVENT: Final = tuple(
    name for name in STAGING_COLUMNS if name not in ("n", "place", "tariff", "payload_sha")
)
_EVENTS: Final = """
    INSERT INTO usage_event (event_id, tenant_id, project_id, key_id, occurred_at, config_revision, latency_ms,
        first_token_ms, day, period, model_id, target_id, http_status, is_unpriced, is_exact, is_stream,
        is_long_context, is_batch, source, status, usage, amount, request_id, trace_id, trace_text, person_id,
        service_tier, asked_model)
    SELECT event_id, tenant_id, project_id, key_id, occurred_at, config_revision, latency_ms,
           nullif(first_token_ms, -1), day, period, model_id, (%(targets)s::int[])[target + 1], http_status,
           amount IS NULL, is_exact, is_stream, is_long_context, is_batch, %(source)s, status, usage, amount,
           request_id, trace_id, trace_text, person_id, service_tier, asked_model"""
_GAINED: Final = "period, tenant_id, project_id, key_id, model_id, day, hour"


@dataclass(frozen=True)
class Statements:
    """The statements of batches with a certain number of kinds."""

    prepare: str
    stage: str
    forget_places: str
    # Fast path: succeeds for every row, or is rolled back to its savepoint.
    claim_all: str
    # Slow path, if some events were sent before: staging keeps only the events that this transaction claims.
    claim_some: str
    different: str
    keep_claimed: str
    # A model's prices per unit in one hour, exact at 14 decimals.
    tariff: str
    # By whether each call gets its own additions to the rollups, and whether some months are closed.
    record: dict[tuple[bool, bool], str]


@cache
def statements(kinds: int, tokens: int) -> Statements:
    """The statements of a batch that used so many `kinds`, of which the first `tokens` are kinds of tokens."""
    staging, tariff = f"usage_staging_{kinds}", f"usage_tariff_{kinds}"
    numbers = range(1, kinds + 1)
    counts = ", ".join(f"k{n}" for n in numbers)
    return Statements(
        prepare=f"""
CREATE TEMPORARY TABLE IF NOT EXISTS {staging} (
    n integer NOT NULL, place integer NOT NULL, tariff integer NOT NULL, target integer NOT NULL,
    event_id uuid NOT NULL, occurred_at timestamptz NOT NULL, latency_ms integer NOT NULL,
    first_token_ms integer NOT NULL, config_revision bigint NOT NULL, http_status smallint NOT NULL,
    is_exact boolean NOT NULL, is_stream boolean NOT NULL, is_long_context boolean NOT NULL, is_batch boolean NOT NULL,
    status text COLLATE "C" NOT NULL, request_id text, trace_id uuid, trace_text text, person_id uuid,
    service_tier text, asked_model text, payload_sha bigint NOT NULL, usage numeric NOT NULL,
    {", ".join(f"k{n} integer NOT NULL" for n in numbers)}
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS {tariff} (
    tariff integer NOT NULL, currency text COLLATE "C" NOT NULL, model_id integer NOT NULL, hour timestamptz NOT NULL,
    {", ".join(f"p{n} numeric, e{n} bigint" for n in numbers)},
    is_small boolean NOT NULL, lacks_some boolean NOT NULL
) ON COMMIT DELETE ROWS;
DELETE FROM {staging};
DELETE FROM {tariff}
""",
        stage=f"COPY {staging} ({', '.join(STAGING_COLUMNS)}, {counts}) FROM STDIN (FORMAT binary)",
        forget_places=f"DELETE FROM {staging} WHERE place = ANY(%s) RETURNING n",
        claim_all=f"""
INSERT INTO event_key (event_id, source, payload_sha)
SELECT event_id, %s, payload_sha FROM {staging} ORDER BY event_id
""",
        claim_some=f"""
WITH first AS (
    SELECT DISTINCT ON (event_id) n, event_id, payload_sha FROM {staging} ORDER BY event_id, n
), fresh AS (
    INSERT INTO event_key (event_id, source, payload_sha)
    SELECT event_id, %s, payload_sha FROM first ORDER BY event_id
    ON CONFLICT DO NOTHING
    RETURNING event_id
)
SELECT coalesce(array_agg(n), '{{}}') FROM first JOIN fresh USING (event_id)
""",
        different=f"""
SELECT s.n FROM {staging} s JOIN event_key k ON k.source = %s AND k.event_id = s.event_id
 WHERE s.n <> ALL(%s) AND k.payload_sha <> s.payload_sha
 ORDER BY s.n
""",
        keep_claimed=f"DELETE FROM {staging} WHERE n <> ALL(%s)",
        tariff=_tariff(tariff, kinds),
        record={
            (each, is_moved): _record(kinds, tokens, each=each, is_moved=is_moved)
            for each in (True, False)
            for is_moved in (True, False)
        },
    )


def _tariff(table: str, kinds: int) -> str:
    """A kind that needs no price costs nothing without one; any other is then null: not priced."""
    numbers = range(1, kinds + 1)
    prices = [
        f"coalesce(max(p.per_million) FILTER (WHERE sku.kind = (%(kinds)s::text[])[{n}]), "
        f"CASE WHEN (%(free)s::boolean[])[{n}] THEN 0 END)"
        for n in range(1, kinds + 1)
    ]
    each = ", ".join(f"p{n} * 0.000001, (p{n} * 100000000)::bigint" for n in numbers)
    return f"""
INSERT INTO {table}
SELECT tariff, currency, model_id, hour, {each}, dearest <= 100, {" OR ".join(f"p{n} IS NULL" for n in numbers)}
  FROM (SELECT used.tariff, money.currency, m.id AS model_id, used.hour,
               {", ".join(f"{price} AS p{n}" for n, price in enumerate(prices, start=1))},
               coalesce(max(p.per_million) FILTER (WHERE sku.kind = ANY (%(kinds)s) AND sku.kind <> 'request'), 0)
                   AS dearest
          FROM unnest(%(tariff)s::int[], %(model)s::text[], %(hour)s::timestamptz[]) AS used (tariff, model, hour)
          JOIN billed_model m ON m.name = used.model
          CROSS JOIN unnest(%(currency)s::text[]) AS money (currency)
          LEFT JOIN sku ON sku.model_id = m.id
          LEFT JOIN price p ON p.sku_id = sku.id AND p.valid @> used.hour AND p.currency = money.currency
         GROUP BY used.tariff, money.currency, m.id, used.hour) prices
"""


# Kinds whose counts and prices fit 64 bits together (`_amount`).
_MOST_SMALL: Final = 12


def _cost(kinds: int, price: str) -> str:
    """SQL for the cost. It is null (unpriced) if any kind was used but has no price."""
    return " + ".join(
        f"CASE WHEN u.k{n} = 0 THEN 0 ELSE u.k{n} * t.{price}{n} END" for n in range(1, kinds + 1)
    )


def _amount(kinds: int) -> str:
    """The same sum in two ways. Integers in units of 10^-14 (`e1`: a price in 10^-8 per million) are fast, and fit 64
    bits if every count is below 2^26, every price at most 100 and there are few kinds. Numeric is right for any values.
    """
    if kinds > _MOST_SMALL:
        return _cost(kinds, "p")
    return f"""CASE WHEN t.is_small AND ({" | ".join(f"u.k{n}" for n in range(1, kinds + 1))}) < 67108864
    THEN ({_cost(kinds, "e")}) * 0.00000000000001 ELSE {_cost(kinds, "p")} END"""


def _record(kinds: int, tokens: int, *, each: bool, is_moved: bool) -> str:
    """The statement that prices and inserts staged events, adds them to the rollups, and returns their number.

    It writes the additions to `rollup_delta` (billing/folding.py moves them on): a row for `each` call, or one for all
    calls of a key, model and hour. `is_moved`: some months are closed. If none are, the statement omits a join.

    Args:
        kinds: number of kinds in the batch.
        tokens: how many of them, from the first on, are kinds of tokens.
        each: whether each call gets a row of its own.
        is_moved: whether usage of some months is posted to a later one.
    """
    numbers = range(1, kinds + 1)
    all_tokens = " + ".join(f"u.k{n}::bigint" for n in range(1, tokens + 1)) or "0"
    lacks = " OR ".join(f"(u.k{n} > 0 AND t.p{n} IS NULL)" for n in numbers)
    unpriced = f"t.lacks_some AND ({lacks})"
    used = f"""usage_staging_{kinds} u
      JOIN usage_owner o ON o.place = u.place
      JOIN slice s ON s.timezone = o.timezone AND s.days = o.days AND u.occurred_at >= s.starts
           AND u.occurred_at < s.ends
      JOIN usage_tariff_{kinds} t ON t.tariff = u.tariff AND t.currency = o.currency"""
    period = "coalesce(m.period, s.month) AS period" if is_moved else "s.month AS period"
    moved = "LEFT JOIN moved m ON m.tenant_id = o.tenant_id AND m.month = s.month" if is_moved else ""
    priced = f"""
    SELECT {", ".join(f"u.{name}" for name in _OF_EVENT)}, o.tenant_id, o.project_id, o.key_id, s.day, {period},
           t.model_id, t.hour, {all_tokens} AS tokens, {_amount(kinds)} AS amount
      FROM {used} {moved}"""
    sums = f"""
    SELECT u.place, s.slice, u.tariff, o.currency, {unpriced} AS is_unpriced, u.is_exact, count(*) AS calls,
           {", ".join(f"sum(u.k{n})::bigint AS k{n}" for n in numbers)}
      FROM {used}
     GROUP BY 1, 2, 3, 4, 5, 6"""
    # Sums of counts times prices equal the sums of the events' amounts, to the last digit. Packing the sums takes less
    # than adding up what is packed: there are far fewer.
    packed = " + ".join(f"u.k{n} * (%(places)s::numeric[])[{n}]" for n in numbers)
    summed = f"""
    SELECT {period}, o.tenant_id, o.project_id, o.key_id, t.model_id, s.day, t.hour, u.is_unpriced, u.is_exact, u.calls,
           {packed} AS usage, {all_tokens} AS tokens, CASE WHEN NOT u.is_unpriced THEN {_cost(kinds, "p")} END AS amount
      FROM used u
      JOIN usage_owner o ON o.place = u.place
      JOIN slice s ON s.slice = u.slice
      JOIN usage_tariff_{kinds} t ON t.tariff = u.tariff AND t.currency = u.currency {moved}"""
    if each:
        facts = f"gained AS MATERIALIZED ({priced}\n), event AS ({_EVENTS} FROM gained)"
        gains, calls = "amount IS NULL", "1"
    else:
        facts = f"""event AS ({_EVENTS} FROM ({priced}) priced
), used AS ({sums}\n), gained AS MATERIALIZED ({summed}\n)"""
        gains, calls = "is_unpriced", "calls"
    return f"""{_FACTS}, {facts}, rolled AS (
    INSERT INTO rollup_delta ({_GAINED}, is_unpriced, is_exact, usage, tokens, calls, amount)
    SELECT {_GAINED}, {gains}, is_exact, usage, tokens, {calls}, amount FROM gained
), unposted AS (
    -- An update where the row is there, which waits for whoever is posting that day: what they read is without us.
    INSERT INTO unposted_day (tenant_id, period, day, changed_at)
    SELECT tenant_id, period, day, now() FROM (SELECT DISTINCT tenant_id, period, day FROM gained) changed
     ORDER BY 1, 2, 3
    ON CONFLICT (tenant_id, period, day) DO UPDATE SET changed_at = excluded.changed_at
)
SELECT sum({calls})::bigint FROM gained
"""


QUARANTINE: Final = """
INSERT INTO quarantined_event (id, tenant_id, source, event_id, reason, payload, payload_sha, recorded_at)
VALUES (%s, (SELECT tenant_id FROM tenants_apikey WHERE id = %s), %s, %s, %s, %s, %s, now())
ON CONFLICT DO NOTHING
"""
