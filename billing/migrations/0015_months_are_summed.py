"""Sums by month, so that a year is not summed up from its days each time; and by day of a whole tenant, for its charts.

A trigger adds to them what the folded days gain, whoever folds: also a worker of before this migration.
"""
# ruff: noqa: S608

import django.db.models.manager
from django.db import migrations, models

KINDS = ("input", "cache_read", "cache_write", "output", "reasoning", "image", "audio", "request")  # of then
SUMS = (*KINDS, "calls", "amount")
NAMES = ", ".join(SUMS)
PLAIN = ", ".join(f"sum({name})" for name in SUMS)
NEGATIVE = ", ".join(f"-sum({name})" for name in SUMS)
MONTH = "date_trunc('month', day::timestamp)::date"
TARGETS = {  # the view, and what identifies a row of it
    "rollup_month": ("tenant_id", "month", "project_id", "model_id", "period", "is_unpriced"),
    "rollup_tenant_day": ("tenant_id", "day", "model_id", "period", "is_unpriced"),
}


def place(view, source=False):
    """The columns that identify a row; as they are read from days if that is the `source`."""
    return ", ".join(MONTH if source and name == "month" else name for name in TARGETS[view])


def sums_of(view, source, sums=PLAIN):
    numbers = ", ".join(str(n + 1) for n in range(len(TARGETS[view])))
    return f"SELECT {place(view, True)}, {sums} FROM {source} GROUP BY {numbers} ORDER BY {numbers}"


def added(source, sums=PLAIN):
    """Statements that add to each of them."""
    return ";\n        ".join(
        f"INSERT INTO {view}_folded ({place(view)}, {NAMES})\n        {sums_of(view, source, sums)}\n"
        f"        ON CONFLICT ({place(view)}) DO UPDATE SET "
        + ", ".join(f"{name} = {view}_folded.{name} + excluded.{name}" for name in SUMS)
        for view in TARGETS
    )


def moved(table, sign):
    days = "tenant_id, day, project_id, model_id, period, is_unpriced"
    return f"SELECT {days}, {', '.join(f'{sign}{name} AS {name}' for name in SUMS)} FROM {table}"


TABLES = """
CREATE TABLE {view}_folded (
    {kinds} bigint NOT NULL,
    calls bigint NOT NULL,
    {place},
    amount numeric(38, 14),
    CONSTRAINT {view}_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced)
) WITH (fillfactor = 90);  -- rows of past days and months never change again
"""
TYPES = {
    "tenant_id": "uuid", "project_id": "uuid", "model_id": "integer", "month": "date", "day": "date",
    "period": "date", "is_unpriced": "boolean",
}  # fmt: skip
TRIGGERS = f"""
CREATE FUNCTION add_to_rollups_of_days() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        {added("come")};
    ELSIF TG_OP = 'UPDATE' THEN
        {added(f"({moved('gone', '-')} UNION ALL {moved('come', '')}) moved")};
    ELSE
        {added("gone", NEGATIVE)};
    END IF;
    RETURN NULL;
END $$;
-- These take a lock that folding waits for until the migration is committed: no day changes while sums are filled.
CREATE TRIGGER rollup_day_came AFTER INSERT ON rollup_day_folded
    REFERENCING NEW TABLE AS come FOR EACH STATEMENT EXECUTE FUNCTION add_to_rollups_of_days();
CREATE TRIGGER rollup_day_changed AFTER UPDATE ON rollup_day_folded
    REFERENCING OLD TABLE AS gone NEW TABLE AS come FOR EACH STATEMENT EXECUTE FUNCTION add_to_rollups_of_days();
CREATE TRIGGER rollup_day_went AFTER DELETE ON rollup_day_folded
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION add_to_rollups_of_days();
"""
FILL = """
INSERT INTO {view}_folded ({place}, {names}) {sums};
ALTER TABLE {view}_folded ADD PRIMARY KEY ({place});
CREATE VIEW {view} WITH (security_invoker = on) AS
SELECT {place}, {names} FROM {view}_folded UNION ALL SELECT {of_delta}, {names} FROM rollup_delta;
"""
FORWARDS = "".join(
    [
        *(
            TABLES.format(
                view=view,
                kinds=" bigint NOT NULL, ".join(KINDS),
                place=", ".join(f"{name} {TYPES[name]} NOT NULL" for name in columns),
            )
            for view, columns in TARGETS.items()
        ),
        TRIGGERS,
        "SET LOCAL work_mem = '128MB';\nSET LOCAL jit = off;\n",
        *(
            FILL.format(
                view=view,
                place=place(view),
                names=NAMES,
                sums=sums_of(view, "rollup_day_folded"),
                of_delta=place(view, True),
            )
            for view in TARGETS
        ),
        """
RESET work_mem;
CREATE OR REPLACE FUNCTION analyze_ledger() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
BEGIN
    ANALYZE rollup_hour_folded, rollup_day_folded, rollup_month_folded, rollup_tenant_day_folded,
            rollup_estimated_folded, rollup_delta, price, sku, billed_model;
END $$;
""",
    ]
)
BACKWARDS = """
DROP TRIGGER rollup_day_came ON rollup_day_folded;
DROP TRIGGER rollup_day_changed ON rollup_day_folded;
DROP TRIGGER rollup_day_went ON rollup_day_folded;
DROP FUNCTION add_to_rollups_of_days();
DROP VIEW rollup_month, rollup_tenant_day;
DROP TABLE rollup_month_folded, rollup_tenant_day_folded;
CREATE OR REPLACE FUNCTION analyze_ledger() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
BEGIN
    ANALYZE rollup_hour_folded, rollup_day_folded, rollup_estimated_folded, rollup_delta, price, sku, billed_model;
END $$;
"""


def unchecked(to):
    return models.ForeignKey(to, models.PROTECT, db_constraint=False, db_index=False, related_name="+")


def view_of(name, *fields):
    """A model that reads the view; `fields` beside the tenant, the model and the sums."""
    view = {"RollupMonth": "rollup_month", "RollupTenantDay": "rollup_tenant_day"}[name]
    key = models.CompositePrimaryKey(
        *(column.removesuffix("_id") for column in TARGETS[view]),
        blank=True,
        editable=False,
        primary_key=True,
        serialize=False,
    )
    return migrations.CreateModel(
        name=name,
        fields=[
            *((kind, models.BigIntegerField(default=0)) for kind in KINDS),
            ("period", models.DateField()),
            ("is_unpriced", models.BooleanField()),
            ("calls", models.BigIntegerField()),
            ("amount", models.DecimalField(decimal_places=14, max_digits=38, null=True)),
            ("pk", key),
            ("model", unchecked("billing.billedmodel")),
            ("tenant", unchecked("tenants.tenant")),
            *fields,
        ],
        options={"db_table": view, "abstract": False, "managed": False},
        managers=[("unscoped", django.db.models.manager.Manager())],
    )


STATE = [
    view_of("RollupMonth", ("month", models.DateField()), ("project", unchecked("tenants.project"))),
    view_of("RollupTenantDay", ("day", models.DateField())),
]


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_rollups_are_folded")]
    operations = [migrations.SeparateDatabaseAndState([migrations.RunSQL(FORWARDS, BACKWARDS)], STATE)]
