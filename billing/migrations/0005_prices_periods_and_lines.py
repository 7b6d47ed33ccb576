"""Rules that Django cannot express for prices, periods, cost lines and cost reports.

They hold for every writer, superusers and raw SQL included. Functions that look at other rows run with their owner's
rights, because they must see all rows.
"""

from django.db import migrations

# A price covers whole hours, and a SKU has at most one price at any moment.
PRICE_RANGES = """
ALTER TABLE price
    ADD CONSTRAINT price_is_for_whole_hours CHECK (
        NOT isempty(valid) AND lower_inc(valid) AND NOT upper_inc(valid) AND NOT lower_inf(valid)
        AND extract(epoch FROM lower(valid)) % 3600 = 0
        AND (upper_inf(valid) OR extract(epoch FROM upper(valid)) % 3600 = 0)),
    ADD CONSTRAINT price_ranges_do_not_overlap
        EXCLUDE USING gist (int4range(sku_id, sku_id, '[]') WITH &&, valid WITH &&);
"""

# A price is closed and followed by the next, never edited. None changes what is already priced. SKUs and model names
# stay as they are.
PRICE_HISTORY = """
CREATE FUNCTION price_history_stands() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
"""

# A tenant with usage keeps its currency.
CURRENCY = """
CREATE FUNCTION tenant_currency_stands() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
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

# A closed period never changes, and no period is deleted.
PERIODS = """
CREATE TRIGGER billing_period_closed_for_good BEFORE UPDATE ON billing_period
    FOR EACH ROW WHEN (OLD.state = 'closed') EXECUTE FUNCTION refuse_change();
CREATE TRIGGER billing_period_is_kept BEFORE DELETE ON billing_period
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

# A cost line is exactly quantity times price, goes to an open period, and never changes.
LINES = """
ALTER TABLE cost_line
    ADD CONSTRAINT cost_line_is_quantity_times_price CHECK (amount * 1000000 = quantity * per_million);
CREATE TRIGGER cost_line_append_only BEFORE UPDATE OR DELETE ON cost_line
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION cost_line_wants_open_period() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
"""

# A cost line reverses a line of its own tenant. Lines never change, so one check on insert is enough. A foreign key over
# both columns would need another index on a table that only grows, and reversals are rare.
REVERSALS = """
CREATE FUNCTION cost_line_reverses_its_own() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM cost_line WHERE id = NEW.reverses_id AND tenant_id = NEW.tenant_id) THEN
        RAISE EXCEPTION 'a cost line reverses a line of its own tenant, and % is none', NEW.reverses_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'cost_line_reverses_its_own';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER cost_line_reverses_its_own BEFORE INSERT ON cost_line
    FOR EACH ROW WHEN (NEW.reverses_id IS NOT NULL) EXECUTE FUNCTION cost_line_reverses_its_own();
"""

# A cost line belongs to the tenant of its project.
SAME_TENANT = """
ALTER TABLE cost_line ADD CONSTRAINT cost_line_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
"""

# A cost report is of one tenant, and a finished one says what its rows sum to.
COST_REPORTS = """
ALTER TABLE exports_export
    ADD CONSTRAINT export_of_costs_has_a_tenant CHECK (kind <> 'costs' OR tenant_id IS NOT NULL),
    ADD CONSTRAINT export_of_costs_has_its_total CHECK (kind <> 'costs' OR state <> 'done' OR total IS NOT NULL);
"""

# A view of priced usage by kind, at the price of its hour. Its amounts sum exactly to those of the rollups: an hour has
# one price, and no price changes once usage of its hour is priced.
COST_DETAIL = """
CREATE VIEW cost_detail WITH (security_invoker = on) AS
SELECT r.period, r.tenant_id, r.project_id, r.model_id, r.day, r.hour, s.id AS sku_id, s.kind, used.quantity,
       p.id AS price_id, p.per_million, p.currency, used.quantity * p.per_million * 0.000001 AS amount
  FROM rollup_hour r
  JOIN tenants_tenant t ON t.id = r.tenant_id
  JOIN sku s ON s.model_id = r.model_id
  JOIN usage_kind k ON k.name = s.kind
  CROSS JOIN LATERAL (SELECT mod(div(r.usage, k.place), 1e16)::bigint AS quantity) used
  JOIN price p ON p.sku_id = s.id AND p.valid @> r.hour AND p.currency = t.currency
 WHERE NOT r.is_unpriced AND used.quantity <> 0;
"""

# Renewing the planner's statistics after a bulk load, which only the owner of the tables may do.
STATISTICS = """
CREATE FUNCTION analyze_ledger() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    ANALYZE rollup_hour_folded, rollup_day_folded, rollup_month_folded, rollup_tenant_day_folded, rollup_key_month,
            rollup_estimated_folded, rollup_delta, price, sku, billed_model;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0001_functions"),
        ("tenants", "0001_initial"),
        ("exports", "0001_initial"),
        ("billing", "0004_sums_of_days"),
    ]

    operations = [
        migrations.RunSQL(PRICE_RANGES),
        migrations.RunSQL(PRICE_HISTORY),
        migrations.RunSQL(CURRENCY),
        migrations.RunSQL(PERIODS),
        migrations.RunSQL(LINES),
        migrations.RunSQL(REVERSALS),
        migrations.RunSQL(SAME_TENANT),
        migrations.RunSQL(COST_REPORTS),
        migrations.RunSQL(COST_DETAIL),
        migrations.RunSQL(STATISTICS),
    ]
