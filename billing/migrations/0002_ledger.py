"""What Django cannot say: partitions, append-only rows, price ranges that stand, and exact amounts.

Each rule holds for whoever writes, superusers and raw SQL included. `refuse_change()` is the tenants app's.
"""

from django.db import migrations

EVENTS = """
CREATE TABLE usage_event (
    event_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    key_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    input bigint NOT NULL,
    cache_read bigint NOT NULL,
    cache_write bigint NOT NULL,
    output bigint NOT NULL,
    reasoning bigint NOT NULL,
    image bigint NOT NULL,
    audio bigint NOT NULL,
    request bigint NOT NULL,
    latency_ms bigint NOT NULL,
    first_token_ms bigint,
    config_revision bigint NOT NULL,
    day date NOT NULL,
    period date NOT NULL,
    model_id integer NOT NULL,
    http_status smallint NOT NULL,
    is_unpriced boolean NOT NULL,
    is_exact boolean NOT NULL,
    is_stream boolean NOT NULL,
    source text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    amount numeric(38, 14),
    backend_id text COLLATE "C",
    request_id text COLLATE "C",
    trace_id text COLLATE "C",
    CONSTRAINT usage_event_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced)
) PARTITION BY RANGE (occurred_at);
CREATE TABLE usage_event_default PARTITION OF usage_event DEFAULT;
CREATE INDEX usage_event_occurred_at ON usage_event USING brin (occurred_at);
CREATE TRIGGER usage_event_append_only BEFORE UPDATE OR DELETE ON usage_event
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE event_key (
    event_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    source text COLLATE "C" NOT NULL,
    payload_sha bytea NOT NULL,
    PRIMARY KEY (event_id, source)  -- the id first: it decides nearly every comparison
) PARTITION BY HASH (event_id);
CREATE TRIGGER event_key_append_only BEFORE UPDATE OR DELETE ON event_key
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
DO $$ BEGIN
    FOR part IN 0..7 LOOP
        EXECUTE format('CREATE TABLE event_key_%s PARTITION OF event_key
                        FOR VALUES WITH (MODULUS 8, REMAINDER %s)', part, part);
    END LOOP;
END $$;

-- Make the partition for the UTC month of `month`, unless it is there. Attaching locks less than creating in place.
CREATE FUNCTION make_usage_partition(month date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first date := date_trunc('month', month)::date;
    part text := format('usage_event_%s', to_char(first, 'YYYY_MM'));
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('make_usage_partition'));
    -- A query, not to_regclass: that may answer from this session's cache, from before the lock was ours.
    IF EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = current_schema()::regnamespace) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE usage_event INCLUDING ALL)', part);
    EXECUTE format('ALTER TABLE usage_event ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part,
                   first || ' 00:00+00', (first + interval '1 month')::date || ' 00:00+00');
    RETURN true;
END $$;
"""
EVENTS_BACKWARDS = """
DROP FUNCTION make_usage_partition(date);
DROP TABLE usage_event, event_key;
"""

ROLLUPS = """
ALTER TABLE rollup_hour SET (fillfactor = 70),
    ADD CONSTRAINT rollup_hour_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced);
ALTER TABLE rollup_day SET (fillfactor = 70),
    ADD CONSTRAINT rollup_day_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced);
"""

PRICES = """
ALTER TABLE price
    ADD CONSTRAINT price_is_for_whole_hours CHECK (
        NOT isempty(valid) AND lower_inc(valid) AND NOT upper_inc(valid) AND NOT lower_inf(valid)
        AND extract(epoch FROM lower(valid)) % 3600 = 0
        AND (upper_inf(valid) OR extract(epoch FROM upper(valid)) % 3600 = 0)),
    ADD CONSTRAINT price_ranges_do_not_overlap
        EXCLUDE USING gist (int4range(sku_id, sku_id, '[]') WITH &&, valid WITH &&);

CREATE FUNCTION price_history_stands() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changes_from timestamptz;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'prices are never deleted: close the range and publish the next version'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF NOT upper_inf(OLD.valid) OR upper_inf(NEW.valid) OR lower(NEW.valid) IS DISTINCT FROM lower(OLD.valid)
           OR (NEW.id, NEW.sku_id, NEW.per_million, NEW.currency, NEW.same_as, NEW.reason, NEW.created_by_id,
               NEW.created_at)
              IS DISTINCT FROM (OLD.id, OLD.sku_id, OLD.per_million, OLD.currency, OLD.same_as, OLD.reason,
               OLD.created_by_id, OLD.created_at)
        THEN
            RAISE EXCEPTION 'a price is never edited: only its open end may be closed'
                USING ERRCODE = 'restrict_violation';
        END IF;
        changes_from := upper(NEW.valid);
    ELSE
        changes_from := lower(NEW.valid);
    END IF;
    -- Ingest holds this lock shared: no call is being priced while we look.
    PERFORM pg_advisory_xact_lock(hashtext('billing.prices'));
    IF EXISTS (SELECT FROM rollup_hour r JOIN sku s ON s.model_id = r.model_id
                WHERE s.id = NEW.sku_id AND NOT r.is_unpriced AND r.hour >= changes_from
                  AND (TG_OP = 'UPDATE' OR upper_inf(NEW.valid) OR r.hour < upper(NEW.valid)))
    THEN
        RAISE EXCEPTION 'usage since % is priced already: a price cannot change before the hour after it',
            changes_from USING ERRCODE = 'check_violation', CONSTRAINT = 'price_history_stands';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER price_history_stands BEFORE INSERT OR UPDATE OR DELETE ON price
    FOR EACH ROW EXECUTE FUNCTION price_history_stands();
CREATE TRIGGER sku_append_only BEFORE UPDATE OR DELETE ON sku
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER billed_model_append_only BEFORE UPDATE OR DELETE ON billed_model
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION tenant_currency_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM rollup_day WHERE tenant_id = NEW.id) THEN
        RAISE EXCEPTION 'a tenant that has been billed keeps its currency'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tenant_currency_stands';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tenant_currency_stands BEFORE UPDATE OF currency ON tenants_tenant
    FOR EACH ROW WHEN (OLD.currency IS DISTINCT FROM NEW.currency) EXECUTE FUNCTION tenant_currency_stands();
"""
PRICES_BACKWARDS = """
DROP TRIGGER tenant_currency_stands ON tenants_tenant;
DROP FUNCTION tenant_currency_stands();
DROP TRIGGER billed_model_append_only ON billed_model;
DROP TRIGGER sku_append_only ON sku;
DROP TRIGGER price_history_stands ON price;
DROP FUNCTION price_history_stands();
"""

LINES = """
ALTER TABLE cost_line
    ADD CONSTRAINT cost_line_is_quantity_times_price CHECK (amount * 1000000 = quantity * per_million);
CREATE TRIGGER cost_line_append_only BEFORE UPDATE OR DELETE ON cost_line
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION cost_line_wants_open_period() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM billing_period p
                    WHERE p.tenant_id = NEW.tenant_id AND p.month = NEW.period AND p.state = 'open')
    THEN
        RAISE EXCEPTION 'cost lines go to an open period, and % is none of this tenant', NEW.period
            USING ERRCODE = 'check_violation', CONSTRAINT = 'cost_line_wants_open_period';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER cost_line_wants_open_period BEFORE INSERT ON cost_line
    FOR EACH ROW EXECUTE FUNCTION cost_line_wants_open_period();
CREATE TRIGGER billing_period_closed_for_good BEFORE UPDATE ON billing_period
    FOR EACH ROW WHEN (OLD.state = 'closed') EXECUTE FUNCTION refuse_change();
CREATE TRIGGER billing_period_is_kept BEFORE DELETE ON billing_period
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Priced usage by kind, at the price of its hour. Its amounts sum to the rollups' exactly: an hour has one price,
-- and no price changes once usage of its hour is priced.
CREATE VIEW cost_detail AS
SELECT r.period, r.tenant_id, r.project_id, r.model_id, r.day, r.hour, s.id AS sku_id, used.kind, used.quantity,
       p.id AS price_id, p.per_million, p.currency, used.quantity * p.per_million * 0.000001 AS amount
  FROM rollup_hour r
  JOIN tenants_tenant t ON t.id = r.tenant_id
  CROSS JOIN LATERAL (VALUES ('input', r.input), ('cache_read', r.cache_read), ('cache_write', r.cache_write),
       ('output', r.output), ('reasoning', r.reasoning), ('image', r.image), ('audio', r.audio),
       ('request', r.request)) AS used (kind, quantity)
  JOIN sku s ON s.model_id = r.model_id AND s.kind = used.kind
  JOIN price p ON p.sku_id = s.id AND p.valid @> r.hour AND p.currency = t.currency
 WHERE NOT r.is_unpriced AND used.quantity <> 0;
"""
LINES_BACKWARDS = """
DROP VIEW cost_detail;
DROP TRIGGER billing_period_is_kept ON billing_period;
DROP TRIGGER billing_period_closed_for_good ON billing_period;
DROP TRIGGER cost_line_wants_open_period ON cost_line;
DROP FUNCTION cost_line_wants_open_period();
DROP TRIGGER cost_line_append_only ON cost_line;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0001_initial"),
        ("tenants", "0002_rules_of_rows"),
        ("audit", "0002_append_only"),
    ]
    operations = [
        migrations.RunSQL(EVENTS, EVENTS_BACKWARDS),
        migrations.RunSQL(ROLLUPS, migrations.RunSQL.noop),
        migrations.RunSQL(PRICES, PRICES_BACKWARDS),
        migrations.RunSQL(LINES, LINES_BACKWARDS),
    ]
