"""Sums of usage by hour and by day. Ingest writes what they gain beside them, and folding adds it within seconds.

An upsert of a sum for every call took three times as long as the call itself. So each sum is a table `…_folded` and
a view that adds `rollup_delta` to it and is right at any moment.
The order of the columns is deliberate: alignment decides how many bytes a row takes on disk.
"""
# ruff: noqa: S608

from django.db import migrations, models

# `usage` holds all kinds, packed (billing/packed_usage.py); `tokens` is the sum of the kinds that are tokens.
SUMS = "usage, tokens, calls, amount"

# What the sums gained and do not hold yet. No unique index: several rows may have the same hour and key.
DELTA = """
CREATE TABLE rollup_delta (
    hour timestamptz NOT NULL,
    tokens bigint NOT NULL,
    calls bigint NOT NULL,
    period date NOT NULL,
    day date NOT NULL,
    model_id integer NOT NULL,
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    key_id uuid NOT NULL,
    is_unpriced boolean NOT NULL,
    is_exact boolean NOT NULL,
    usage numeric NOT NULL,
    amount numeric(38, 14),
    CONSTRAINT rollup_delta_usage_fits CHECK (tokens < 10000000000000000),
    CONSTRAINT rollup_delta_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced)
);
CREATE INDEX rollup_delta_tenant_day ON rollup_delta (tenant_id, day);
"""

# Sums per project, model and hour (UTC). The index of tenant and day serves costs by kind, which read the days on which
# a price changed. Here as below, a row changes for a day and then never again: a tenth of a page is free for that.
HOURS = """
CREATE TABLE rollup_hour_folded (
    tokens bigint NOT NULL,
    period date NOT NULL,
    is_unpriced boolean NOT NULL,
    calls bigint NOT NULL,
    usage numeric NOT NULL,
    amount numeric(38, 14),
    day date NOT NULL,
    hour timestamptz NOT NULL,
    model_id integer NOT NULL,
    project_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    PRIMARY KEY (period, tenant_id, project_id, model_id, day, hour, is_unpriced),
    CONSTRAINT rollup_hour_usage_fits CHECK (tokens < 10000000000000000),
    CONSTRAINT rollup_hour_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced)
) WITH (fillfactor = 90);
CREATE INDEX rollup_hour_model_hour ON rollup_hour_folded (model_id, hour);
CREATE INDEX rollup_hour_tenant_day ON rollup_hour_folded (tenant_id, day);
"""

# Sums per key, model and day of the tenant. The foreign keys keep billed things from deletion.
DAYS = """
CREATE TABLE rollup_day_folded (
    tokens bigint NOT NULL,
    period date NOT NULL,
    is_unpriced boolean NOT NULL,
    calls bigint NOT NULL,
    usage numeric NOT NULL,
    amount numeric(38, 14),
    day date NOT NULL,
    key_id uuid NOT NULL REFERENCES tenants_apikey DEFERRABLE INITIALLY DEFERRED,
    model_id integer NOT NULL REFERENCES billed_model DEFERRABLE INITIALLY DEFERRED,
    project_id uuid NOT NULL REFERENCES tenants_project DEFERRABLE INITIALLY DEFERRED,
    tenant_id uuid NOT NULL REFERENCES tenants_tenant DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (period, tenant_id, project_id, key_id, model_id, day, is_unpriced),
    CONSTRAINT rollup_day_usage_fits CHECK (tokens < 10000000000000000),
    CONSTRAINT rollup_day_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced)
) WITH (fillfactor = 90);
CREATE INDEX rollup_day_tenant_day ON rollup_day_folded (tenant_id, day);
"""

# Sums of the calls whose tokens were estimated, in whole or in part. The other two contain these calls too.
ESTIMATED = """
CREATE TABLE rollup_estimated_folded (
    tokens bigint NOT NULL,
    period date NOT NULL,
    is_unpriced boolean NOT NULL,
    calls bigint NOT NULL,
    usage numeric NOT NULL,
    amount numeric(38, 14),
    day date NOT NULL,
    hour timestamptz NOT NULL,
    key_id uuid NOT NULL,
    model_id integer NOT NULL,
    project_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    PRIMARY KEY (period, tenant_id, project_id, key_id, model_id, day, hour, is_unpriced),
    CONSTRAINT rollup_estimated_usage_fits CHECK (tokens < 10000000000000000),
    CONSTRAINT rollup_estimated_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced)
) WITH (fillfactor = 90);
CREATE INDEX rollup_estimated_tenant_day ON rollup_estimated_folded (tenant_id, day);
"""

# What readers use. A key may appear in several rows: sum them. The row-level security of the tables applies to the
# role that reads.
VIEWS = f"""
CREATE VIEW rollup_hour WITH (security_invoker = on) AS
SELECT period, tenant_id, project_id, model_id, day, hour, is_unpriced, {SUMS} FROM rollup_hour_folded
UNION ALL
SELECT period, tenant_id, project_id, model_id, day, hour, is_unpriced, {SUMS} FROM rollup_delta;

CREATE VIEW rollup_day WITH (security_invoker = on) AS
SELECT period, tenant_id, project_id, key_id, model_id, day, is_unpriced, {SUMS} FROM rollup_day_folded
UNION ALL
SELECT period, tenant_id, project_id, key_id, model_id, day, is_unpriced, {SUMS} FROM rollup_delta;

CREATE VIEW rollup_estimated WITH (security_invoker = on) AS
SELECT period, tenant_id, project_id, key_id, model_id, day, hour, is_unpriced, {SUMS} FROM rollup_estimated_folded
UNION ALL
SELECT period, tenant_id, project_id, key_id, model_id, day, hour, is_unpriced, {SUMS} FROM rollup_delta
 WHERE NOT is_exact;
"""


def unchecked(to):
    """A reference without a foreign key: those of `rollup_day_folded` are enough."""
    return models.ForeignKey(to, models.PROTECT, db_constraint=False, db_index=False, related_name="+")


def checked(to):
    return models.ForeignKey(to, models.PROTECT, db_index=False, related_name="+")


def rollup(name, key, *fields, **options):
    """A model of sums, identified by the fields of `key`."""
    return migrations.CreateModel(
        name=name,
        fields=[
            ("pk", models.CompositePrimaryKey(*key.split(", "), serialize=False)),
            *fields,
            ("period", models.DateField()),
            ("is_unpriced", models.BooleanField()),
            ("usage", models.DecimalField(decimal_places=0, default=0, max_digits=1000)),
            ("tokens", models.BigIntegerField(default=0)),
            ("calls", models.BigIntegerField()),
            ("amount", models.DecimalField(decimal_places=14, max_digits=38, null=True)),
        ],
        options=options,
        managers=[("unscoped", models.Manager())],
    )


STATE = [
    rollup(
        "RollupDelta",
        "period, tenant, project, key, model, day, hour, is_unpriced, is_exact",
        ("tenant", unchecked("tenants.tenant")),
        ("project", unchecked("tenants.project")),
        ("key", unchecked("tenants.apikey")),
        ("model", unchecked("billing.billedmodel")),
        ("day", models.DateField()),
        ("hour", models.DateTimeField()),
        ("is_exact", models.BooleanField()),
        db_table="rollup_delta",
        indexes=[models.Index(fields=["tenant", "day"], name="rollup_delta_tenant_day")],
    ),
    rollup(
        "RollupHour",
        "period, tenant, project, model, day, hour, is_unpriced",
        ("tenant", unchecked("tenants.tenant")),
        ("project", unchecked("tenants.project")),
        ("model", unchecked("billing.billedmodel")),
        ("day", models.DateField()),
        ("hour", models.DateTimeField()),
        db_table="rollup_hour",
        managed=False,
    ),
    rollup(
        "RollupDay",
        "period, tenant, project, key, model, day, is_unpriced",
        ("tenant", checked("tenants.tenant")),
        ("project", checked("tenants.project")),
        ("key", checked("tenants.apikey")),
        ("model", checked("billing.billedmodel")),
        ("day", models.DateField()),
        db_table="rollup_day",
        managed=False,
    ),
    rollup(
        "RollupEstimated",
        "period, tenant, project, key, model, day, hour, is_unpriced",
        ("tenant", unchecked("tenants.tenant")),
        ("project", unchecked("tenants.project")),
        ("key", unchecked("tenants.apikey")),
        ("model", unchecked("billing.billedmodel")),
        ("day", models.DateField()),
        ("hour", models.DateTimeField()),
        db_table="rollup_estimated",
        managed=False,
    ),
]


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_ledger")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(DELTA),
                migrations.RunSQL(HOURS),
                migrations.RunSQL(DAYS),
                migrations.RunSQL(ESTIMATED),
                migrations.RunSQL(VIEWS),
            ],
            state_operations=STATE,
        ),
    ]
