"""The statements of the ingest transaction (billing/ingest.py), in the order in which they run.

Column names come from billing.kinds; values are always parameters.
"""
# ruff: noqa: S608

from __future__ import annotations

from typing import Final

from billing.kinds import KINDS, TOKEN_KINDS
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
CREATE TEMPORARY TABLE IF NOT EXISTS usage_staging (
    n integer NOT NULL, place integer NOT NULL, tariff integer NOT NULL, backend integer NOT NULL,
    event_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL, input integer NOT NULL, cache_read integer NOT NULL,
    cache_write integer NOT NULL, output integer NOT NULL, reasoning integer NOT NULL, image integer NOT NULL,
    audio integer NOT NULL, latency_ms integer NOT NULL, first_token_ms integer NOT NULL,
    config_revision bigint NOT NULL, http_status smallint NOT NULL, is_exact boolean NOT NULL,
    is_stream boolean NOT NULL, status text COLLATE "C" NOT NULL, request_id text, trace_id uuid,
    trace_text text, payload_sha bigint NOT NULL
) ON COMMIT DELETE ROWS
""",
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
        f"""
CREATE TEMPORARY TABLE IF NOT EXISTS usage_tariff (
    tariff integer NOT NULL, currency text COLLATE "C" NOT NULL, model_id integer NOT NULL, hour timestamptz NOT NULL,
    {" numeric, ".join(KINDS)} numeric, {"_e8 bigint, ".join(KINDS)}_e8 bigint, is_small boolean NOT NULL,
    lacks_some boolean NOT NULL
) ON COMMIT DELETE ROWS
""",
        # Remove rows of earlier batches in this transaction. Usually there are none; TRUNCATE would create new files.
        *(
            f"DELETE FROM {table}"
            for table in ("usage_staging", "usage_place", "usage_owner", "usage_tariff")
        ),
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

NAME_BACKENDS: Final = """
INSERT INTO usage_backend (name, created_at)
SELECT name, now() FROM unnest(%s::text[]) AS name
 WHERE NOT EXISTS (SELECT FROM usage_backend b WHERE b.name = name.name)
 ORDER BY name
ON CONFLICT (name) DO NOTHING
"""
NUMBER_BACKENDS: Final = """
SELECT b.id FROM unnest(%s::text[]) WITH ORDINALITY AS said (name, n) JOIN usage_backend b USING (name) ORDER BY n
"""

STAGE: Final = f"COPY usage_staging ({', '.join(STAGING_COLUMNS)}) FROM STDIN (FORMAT binary)"

FORGET_PLACES: Final = "DELETE FROM usage_staging WHERE place = ANY(%s) RETURNING n"

IS_REPEATED: Final = "SELECT EXISTS (SELECT FROM event_key WHERE source = %s AND event_id = ANY(%s))"

# Fast path: succeeds for every row, or is rolled back to its savepoint.
CLAIM_ALL: Final = """
INSERT INTO event_key (event_id, source, payload_sha)
SELECT event_id, %s, payload_sha FROM usage_staging ORDER BY event_id
"""

# Slow path, if some events were sent before: staging keeps only the events that this transaction claims.
CLAIM_SOME: Final = """
WITH first AS (
    SELECT DISTINCT ON (event_id) n, event_id, payload_sha FROM usage_staging ORDER BY event_id, n
), fresh AS (
    INSERT INTO event_key (event_id, source, payload_sha)
    SELECT event_id, %s, payload_sha FROM first ORDER BY event_id
    ON CONFLICT DO NOTHING
    RETURNING event_id
)
SELECT coalesce(array_agg(n), '{}') FROM first JOIN fresh USING (event_id)
"""
DIFFERENT: Final = """
SELECT s.n FROM usage_staging s JOIN event_key k ON k.source = %s AND k.event_id = s.event_id
 WHERE s.n <> ALL(%s) AND k.payload_sha <> s.payload_sha
 ORDER BY s.n
"""
KEEP_CLAIMED: Final = "DELETE FROM usage_staging WHERE n <> ALL(%s)"

_KINDS: Final = ", ".join(KINDS)
_RARE: Final = ("cache_write", "reasoning", "image", "audio")
_COMMON: Final = tuple(kind for kind in TOKEN_KINDS if kind not in _RARE)


def _cost(kinds: tuple[str, ...], unit: str = "") -> str:
    """SQL for the cost. It is null (unpriced) if any kind has tokens but no price."""
    return " + ".join(f"CASE WHEN u.{kind} = 0 THEN 0 ELSE u.{kind} * t.{kind}{unit} END" for kind in kinds)


# Calls that a backend answered.
_REQUEST: Final = "CASE WHEN u.status = 'error' THEN 0 ELSE 1 END"
_BITS: Final = " | ".join(f"u.{kind}" for kind in TOKEN_KINDS)

# The same sum in two ways. Integers in units of 10^-14 (`_e8`: prices in 10^-8 per million) are fast, and fit 64 bits
# if every count is below 2^26 and every price is at most 100. Numeric is right for any values.
_AMOUNT: Final = f"""CASE WHEN t.is_small AND ({_BITS}) < 67108864
    THEN ({_cost(_COMMON, "_e8")}
        + CASE WHEN {" | ".join(f"u.{kind}" for kind in _RARE)} = 0 THEN 0 ELSE {_cost(_RARE, "_e8")} END
        + CASE WHEN t.request_e8 IS NULL THEN 0 ELSE {_REQUEST} * t.request_e8 END) * 0.00000000000001
    ELSE {_cost(TOKEN_KINDS)} + {_REQUEST} * coalesce(t.request, 0) END"""
_UNPRICED: Final = (
    f"""t.lacks_some AND ({" OR ".join(f"(u.{kind} > 0 AND t.{kind} IS NULL)" for kind in TOKEN_KINDS)})"""
)

_PRICES: Final = [(kind, f"max(p.per_million) FILTER (WHERE sku.kind = '{kind}')") for kind in KINDS]
_RATES: Final = ",\n       ".join(
    [f"{price} * 0.000001" for kind, price in _PRICES]
    + [f"({price} * 100000000)::bigint" for kind, price in _PRICES]
    + [
        "coalesce(max(p.per_million) FILTER (WHERE sku.kind <> 'request'), 0) <= 100",
        f"count(p.id) FILTER (WHERE sku.kind <> 'request') < {len(TOKEN_KINDS)}",
    ]
)

# A model's prices per unit in one hour, exact at 14 decimals.
TARIFF: Final = f"""
INSERT INTO usage_tariff (tariff, currency, model_id, hour, {", ".join(KINDS)}, {", ".join(f"{k}_e8" for k in KINDS)},
       is_small, lacks_some)
SELECT used.tariff, money.currency, m.id, used.hour,
       {_RATES}
  FROM unnest(%(tariff)s::int[], %(model)s::text[], %(hour)s::timestamptz[]) AS used (tariff, model, hour)
  JOIN billed_model m ON m.name = used.model
  CROSS JOIN unnest(%(currency)s::text[]) AS money (currency)
  LEFT JOIN sku ON sku.model_id = m.id
  LEFT JOIN price p ON p.sku_id = sku.id AND p.valid @> used.hour AND p.currency = money.currency
 GROUP BY used.tariff, money.currency, m.id, used.hour
"""

# From here on, every table is small or read in full. The planner expects far fewer rows than there are.
HASH: Final = "SET LOCAL enable_nestloop = off"

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
_USED: Final = """usage_staging u
      JOIN usage_owner o ON o.place = u.place
      JOIN slice s ON s.timezone = o.timezone AND s.days = o.days AND u.occurred_at >= s.starts
           AND u.occurred_at < s.ends
      JOIN usage_tariff t ON t.tariff = u.tariff AND t.currency = o.currency"""
_EVENTS: Final = f"""
    INSERT INTO usage_event (event_id, tenant_id, project_id, key_id, occurred_at, {_KINDS}, latency_ms,
        first_token_ms, config_revision, day, period, model_id, http_status, is_unpriced, is_exact, is_stream,
        source, status, amount, backend_id, request_id, trace_id, trace_text)
    SELECT event_id, tenant_id, project_id, key_id, occurred_at, {_KINDS}, latency_ms,
           nullif(first_token_ms, -1), config_revision, day, period, model_id, http_status, amount IS NULL,
           is_exact, is_stream, %(source)s, status, amount, (%(backends)s::int[])[backend + 1], request_id,
           trace_id, trace_text"""
_GAINED: Final = "period, tenant_id, project_id, key_id, model_id, day, hour"


def record(*, each: bool, is_moved: bool) -> str:
    """The statement that prices and inserts staged events, adds them to the rollups, and returns their number.

    It writes the additions to `rollup_delta` (billing/folding.py moves them on): a row for `each` call, or one for all
    calls of a key, model and hour. `is_moved`: some months are closed. If none are, the statement omits a join.
    """
    period = "coalesce(m.period, s.month) AS period" if is_moved else "s.month AS period"
    moved = "LEFT JOIN moved m ON m.tenant_id = o.tenant_id AND m.month = s.month" if is_moved else ""
    priced = f"""
    SELECT u.*, o.tenant_id, o.project_id, o.key_id, s.day, {period}, t.model_id, t.hour, {_REQUEST} AS request,
           {_AMOUNT} AS amount
      FROM {_USED} {moved}"""
    sums = f"""
    SELECT u.place, s.slice, u.tariff, o.currency, {_UNPRICED} AS is_unpriced, u.is_exact, count(*) AS calls,
           {", ".join(f"sum(u.{kind})::bigint AS {kind}" for kind in TOKEN_KINDS)},
           count(*) FILTER (WHERE u.status <> 'error') AS request
      FROM {_USED}
     GROUP BY 1, 2, 3, 4, 5, 6"""
    # Sums of tokens times prices equal the sums of the events' amounts, to the last digit.
    summed = f"""
    SELECT {period}, o.tenant_id, o.project_id, o.key_id, t.model_id, s.day, t.hour, u.is_unpriced, u.is_exact, u.calls,
           {", ".join(f"u.{kind}" for kind in KINDS)}, CASE WHEN NOT u.is_unpriced THEN
           ({_cost(TOKEN_KINDS)} + coalesce(u.request * t.request, 0)) END AS amount
      FROM used u
      JOIN usage_owner o ON o.place = u.place
      JOIN slice s ON s.slice = u.slice
      JOIN usage_tariff t ON t.tariff = u.tariff AND t.currency = u.currency {moved}"""
    if each:
        facts = f"gained AS MATERIALIZED ({priced}\n), event AS ({_EVENTS} FROM gained)"
        gains, calls = "amount IS NULL", "1"
    else:
        facts = f"""event AS ({_EVENTS} FROM ({priced}) priced
), used AS ({sums}\n), gained AS MATERIALIZED ({summed}\n)"""
        gains, calls = "is_unpriced", "calls"
    return f"""{_FACTS}, {facts}, rolled AS (
    INSERT INTO rollup_delta ({_GAINED}, is_unpriced, is_exact, {_KINDS}, calls, amount)
    SELECT {_GAINED}, {gains}, is_exact, {_KINDS}, {calls}, amount FROM gained
), unposted AS (
    -- An update where the row is there, which waits for whoever is posting that day: what they read is without us.
    INSERT INTO unposted_day (tenant_id, period, day, changed_at)
    SELECT tenant_id, period, day, now() FROM (SELECT DISTINCT tenant_id, period, day FROM gained) changed
     ORDER BY 1, 2, 3
    ON CONFLICT (tenant_id, period, day) DO UPDATE SET changed_at = excluded.changed_at
)
SELECT sum({calls})::bigint FROM gained
"""


RECORD: Final = {
    (each, is_moved): record(each=each, is_moved=is_moved)
    for each in (True, False)
    for is_moved in (True, False)
}

QUARANTINE: Final = """
INSERT INTO quarantined_event (id, tenant_id, source, event_id, reason, payload, payload_sha, recorded_at)
VALUES (%s, (SELECT tenant_id FROM tenants_apikey WHERE id = %s), %s, %s, %s, %s, %s, now())
ON CONFLICT DO NOTHING
"""
