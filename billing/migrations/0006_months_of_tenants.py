"""Sums of a whole tenant's month, so that a page about all tenants reads one or two rows of each, not its projects and
models. Triggers of the folded days keep them, whoever writes those, as the other sums of days (0004).
"""
# ruff: noqa: S608

from django.db import migrations, models

SUMS = ("usage", "tokens", "calls", "amount")
NAMES = ", ".join(SUMS)
PLACE = "month, tenant_id, period, is_unpriced"
# Of a row with a `day`.
MONTH = "date_trunc('month', day::timestamp)::date"

# The month comes first: such a page reads two months of all tenants.
TABLE = """
CREATE TABLE rollup_tenant_month_folded (
    tokens bigint NOT NULL,
    calls bigint NOT NULL,
    month date NOT NULL,
    tenant_id uuid NOT NULL,
    period date NOT NULL,
    is_unpriced boolean NOT NULL,
    usage numeric NOT NULL,
    amount numeric(38, 14),
    PRIMARY KEY (month, tenant_id, period, is_unpriced),
    CONSTRAINT rollup_tenant_month_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced)
) WITH (fillfactor = 70);
"""

VIEW = f"""
CREATE VIEW rollup_tenant_month WITH (security_invoker = on) AS
SELECT month, tenant_id, period, is_unpriced, {NAMES} FROM rollup_tenant_month_folded
UNION ALL
SELECT {MONTH}, tenant_id, period, is_unpriced, {NAMES} FROM rollup_delta;
"""


def add(source, sign=""):
    """A statement that adds the days of `source`, or subtracts them if `sign` is a minus. In the order of the key."""
    sums = ", ".join(f"{sign}sum({name})" for name in SUMS)
    added = ", ".join(f"{name} = rollup_tenant_month_folded.{name} + excluded.{name}" for name in SUMS)
    return f"""
        INSERT INTO rollup_tenant_month_folded ({PLACE}, {NAMES})
        SELECT {MONTH}, tenant_id, period, is_unpriced, {sums} FROM {source} d GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
        ON CONFLICT ({PLACE}) DO UPDATE SET {added};"""


def days(table, sign=""):
    sums = ", ".join(f"{sign}{name} AS {name}" for name in SUMS)
    return f"SELECT tenant_id, day, period, is_unpriced, {sums} FROM {table}"


TRIGGERS = f"""
CREATE FUNCTION add_to_months_of_tenants() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN{add("come")}
    ELSIF TG_OP = 'UPDATE' THEN{add(f"({days('gone', '-')} UNION ALL {days('come')})")}
    ELSE{add("gone", "-")}
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tenant_day_came AFTER INSERT ON rollup_day_folded
    REFERENCING NEW TABLE AS come FOR EACH STATEMENT EXECUTE FUNCTION add_to_months_of_tenants();
CREATE TRIGGER tenant_day_changed AFTER UPDATE ON rollup_day_folded
    REFERENCING OLD TABLE AS gone NEW TABLE AS come FOR EACH STATEMENT EXECUTE FUNCTION add_to_months_of_tenants();
CREATE TRIGGER tenant_day_went AFTER DELETE ON rollup_day_folded
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION add_to_months_of_tenants();
"""

# No day may be folded between the sums and the triggers. Recording goes on: it writes deltas.
FILL = f"""
LOCK TABLE rollup_day_folded IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO rollup_tenant_month_folded ({PLACE}, {NAMES})
SELECT {PLACE}, {", ".join(f"sum({name})" for name in SUMS)} FROM rollup_month_folded GROUP BY 1, 2, 3, 4;
"""

# Renewing the planner's statistics after a bulk load (0005), of this table, too.
STATISTICS = """
CREATE OR REPLACE FUNCTION analyze_ledger() RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    ANALYZE rollup_hour_folded, rollup_day_folded, rollup_month_folded, rollup_tenant_day_folded,
            rollup_tenant_month_folded, rollup_key_month, rollup_estimated_folded, rollup_delta, price, sku, billed_model;
END $$;
"""

MODEL = migrations.CreateModel(
    name="RollupTenantMonth",
    fields=[
        (
            "pk",
            models.CompositePrimaryKey("month", "tenant", "period", "is_unpriced", serialize=False),
        ),
        ("month", models.DateField()),
        (
            "tenant",
            models.ForeignKey(
                "tenants.tenant", models.PROTECT, db_constraint=False, db_index=False, related_name="+"
            ),
        ),
        ("period", models.DateField()),
        ("is_unpriced", models.BooleanField()),
        ("usage", models.DecimalField(decimal_places=0, default=0, max_digits=1000)),
        ("tokens", models.BigIntegerField(default=0)),
        ("calls", models.BigIntegerField()),
        ("amount", models.DecimalField(decimal_places=14, max_digits=38, null=True)),
    ],
    options={"db_table": "rollup_tenant_month", "managed": False},
    managers=[("unscoped", models.Manager())],
)


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_prices_periods_and_lines")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(TABLE),
                migrations.RunSQL(VIEW),
                migrations.RunSQL(FILL),
                migrations.RunSQL(TRIGGERS),
                migrations.RunSQL(STATISTICS),
            ],
            state_operations=[MODEL],
        ),
    ]
