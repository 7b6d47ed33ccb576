"""What the console's role, which owns no table, still must have done: partitions, statistics, guards that see all rows."""

from django.db import migrations

FORWARDS = """
ALTER FUNCTION make_usage_partition(date) SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION price_history_stands() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION tenant_currency_stands() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION cost_line_wants_open_period() SECURITY DEFINER SET search_path = public, pg_temp;

-- Renew the planner's statistics after a bulk load.
CREATE FUNCTION analyze_ledger() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    ANALYZE rollup_hour, rollup_day, price, sku, billed_model;
END $$;

-- Months whose events lie in the default partition, which the console's role does not reach by itself.
CREATE FUNCTION months_without_usage_partition() RETURNS SETOF date LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp AS
$$ SELECT DISTINCT date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date FROM usage_event_default $$;
"""
BACKWARDS = """
DROP FUNCTION months_without_usage_partition();
DROP FUNCTION analyze_ledger();
ALTER FUNCTION make_usage_partition(date) SECURITY INVOKER RESET search_path;
ALTER FUNCTION price_history_stands() SECURITY INVOKER RESET search_path;
ALTER FUNCTION tenant_currency_stands() SECURITY INVOKER RESET search_path;
ALTER FUNCTION cost_line_wants_open_period() SECURITY INVOKER RESET search_path;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_ledger")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
