"""Sums of the folded days: by month, so that a year is not added up from its days each time, by day of a whole tenant,
for its charts, and by key and month. A trigger of the folded days keeps all three, whoever writes those.
"""
# ruff: noqa: S608

from django.db import migrations, models

# `usage` holds all kinds, packed (billing/packed_usage.py); `tokens` is the sum of the kinds that are tokens.
SUMS = ("usage", "tokens", "calls", "amount")
NAMES = ", ".join(SUMS)
# Of a row with a `day`.
MONTH = "date_trunc('month', day::timestamp)::date"

# Sums per project, model and month, and per model and day of a tenant. Rows of past days and months no longer change.
TABLES = """
CREATE TABLE rollup_month_folded (
    tokens bigint NOT NULL,
    calls bigint NOT NULL,
    tenant_id uuid NOT NULL,
    month date NOT NULL,
    project_id uuid NOT NULL,
    model_id integer NOT NULL,
    period date NOT NULL,
    is_unpriced boolean NOT NULL,
    usage numeric NOT NULL,
    amount numeric(38, 14),
    PRIMARY KEY (tenant_id, month, project_id, model_id, period, is_unpriced),
    CONSTRAINT rollup_month_usage_fits CHECK (tokens < 10000000000000000),
    CONSTRAINT rollup_month_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced)
) WITH (fillfactor = 90);

CREATE TABLE rollup_tenant_day_folded (
    tokens bigint NOT NULL,
    calls bigint NOT NULL,
    tenant_id uuid NOT NULL,
    day date NOT NULL,
    model_id integer NOT NULL,
    period date NOT NULL,
    is_unpriced boolean NOT NULL,
    usage numeric NOT NULL,
    amount numeric(38, 14),
    PRIMARY KEY (tenant_id, day, model_id, period, is_unpriced),
    CONSTRAINT rollup_tenant_day_usage_fits CHECK (tokens < 10000000000000000),
    CONSTRAINT rollup_tenant_day_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced)
) WITH (fillfactor = 90);
"""

# Sums per key, model and month. Writing them with each day that is folded would double the work of folding, so a task
# adds a tenant's days when they are over (billing/key_months.py). `key_months_summed` says up to which day it did. From
# then on the trigger keeps them. Readers add the days after that one, and the deltas.
KEY_MONTHS = """
CREATE TABLE rollup_key_month (
    tokens bigint NOT NULL,
    calls bigint NOT NULL,
    tenant_id uuid NOT NULL,
    month date NOT NULL,
    model_id integer NOT NULL,
    key_id uuid NOT NULL,
    project_id uuid NOT NULL,
    period date NOT NULL,
    is_unpriced boolean NOT NULL,
    usage numeric NOT NULL,
    amount numeric(38, 14),
    PRIMARY KEY (tenant_id, month, key_id, model_id, project_id, period, is_unpriced),
    CONSTRAINT rollup_key_month_usage_fits CHECK (tokens < 10000000000000000),
    CONSTRAINT rollup_key_month_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced)
) WITH (fillfactor = 90);

CREATE TABLE key_months_summed (
    tenant_id uuid PRIMARY KEY REFERENCES tenants_tenant DEFERRABLE INITIALLY DEFERRED,
    through date NOT NULL
);
"""

# What readers use: the table, and what the folded days do not hold yet.
VIEWS = f"""
CREATE VIEW rollup_month WITH (security_invoker = on) AS
SELECT tenant_id, month, project_id, model_id, period, is_unpriced, {NAMES} FROM rollup_month_folded
UNION ALL
SELECT tenant_id, {MONTH}, project_id, model_id, period, is_unpriced, {NAMES} FROM rollup_delta;

CREATE VIEW rollup_tenant_day WITH (security_invoker = on) AS
SELECT tenant_id, day, model_id, period, is_unpriced, {NAMES} FROM rollup_tenant_day_folded
UNION ALL
SELECT tenant_id, day, model_id, period, is_unpriced, {NAMES} FROM rollup_delta;
"""


def added(table):
    return ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in SUMS)


def add(source, sign=""):
    """Statements that add the days of `source` to the three tables, or subtract them if `sign` is a minus."""
    sums = ", ".join(f"{sign}sum({name})" for name in SUMS)
    of_days = ", ".join(f"{sign}sum(d.{name})" for name in SUMS)
    return f"""\
        INSERT INTO rollup_month_folded (tenant_id, month, project_id, model_id, period, is_unpriced, {NAMES})
        SELECT tenant_id, {MONTH}, project_id, model_id, period, is_unpriced, {sums}
          FROM {source} d GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (tenant_id, month, project_id, model_id, period, is_unpriced)
        DO UPDATE SET {added("rollup_month_folded")};
        INSERT INTO rollup_tenant_day_folded (tenant_id, day, model_id, period, is_unpriced, {NAMES})
        SELECT tenant_id, day, model_id, period, is_unpriced, {sums}
          FROM {source} d GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (tenant_id, day, model_id, period, is_unpriced)
        DO UPDATE SET {added("rollup_tenant_day_folded")};
        INSERT INTO rollup_key_month (tenant_id, month, key_id, model_id, project_id, period, is_unpriced, {NAMES})
        SELECT d.tenant_id, {MONTH}, d.key_id, d.model_id, d.project_id, d.period, d.is_unpriced, {of_days}
          FROM {source} d JOIN key_months_summed s ON s.tenant_id = d.tenant_id AND d.day <= s.through
         GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
        ON CONFLICT (tenant_id, month, key_id, model_id, project_id, period, is_unpriced)
        DO UPDATE SET {added("rollup_key_month")};"""


def days(table, sign=""):
    sums = ", ".join(f"{sign}{name} AS {name}" for name in SUMS)
    return f"SELECT tenant_id, day, project_id, key_id, model_id, period, is_unpriced, {sums} FROM {table}"


# After each statement on the folded days, add the rows that came and subtract those that went. All writers go in the
# order of the key, so that they wait for each other and never deadlock. The lock is for the task that sums months by key,
# which takes it alone: it sees all of a statement's days, or the statement sees up to which day it has summed.
TRIGGERS = f"""
CREATE FUNCTION add_to_rollups_of_days() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('billing.key_months'));
    IF TG_OP = 'INSERT' THEN
{add("come")}
    ELSIF TG_OP = 'UPDATE' THEN
{add(f"({days('gone', '-')} UNION ALL {days('come')})")}
    ELSE
{add("gone", "-")}
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER rollup_day_came AFTER INSERT ON rollup_day_folded
    REFERENCING NEW TABLE AS come FOR EACH STATEMENT EXECUTE FUNCTION add_to_rollups_of_days();
CREATE TRIGGER rollup_day_changed AFTER UPDATE ON rollup_day_folded
    REFERENCING OLD TABLE AS gone NEW TABLE AS come FOR EACH STATEMENT EXECUTE FUNCTION add_to_rollups_of_days();
CREATE TRIGGER rollup_day_went AFTER DELETE ON rollup_day_folded
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION add_to_rollups_of_days();
"""


def unchecked(to):
    """A reference without a foreign key: those of `rollup_day_folded` are enough."""
    return models.ForeignKey(to, models.PROTECT, db_constraint=False, db_index=False, related_name="+")


def sums(name, table, key, *fields, managed=False):
    """A model that reads the view `table`, or a table, whose rows are identified by the fields of `key`."""
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
        options={"db_table": table} | ({} if managed else {"managed": False}),
        managers=[("unscoped", models.Manager())],
    )


STATE = [
    sums(
        "RollupMonth",
        "rollup_month",
        "tenant, month, project, model, period, is_unpriced",
        ("tenant", unchecked("tenants.tenant")),
        ("month", models.DateField()),
        ("project", unchecked("tenants.project")),
        ("model", unchecked("billing.billedmodel")),
    ),
    sums(
        "RollupTenantDay",
        "rollup_tenant_day",
        "tenant, day, model, period, is_unpriced",
        ("tenant", unchecked("tenants.tenant")),
        ("day", models.DateField()),
        ("model", unchecked("billing.billedmodel")),
    ),
    sums(
        "RollupKeyMonth",
        "rollup_key_month",
        "tenant, month, key, model, project, period, is_unpriced",
        ("tenant", unchecked("tenants.tenant")),
        ("project", unchecked("tenants.project")),
        ("model", unchecked("billing.billedmodel")),
        ("key", unchecked("tenants.apikey")),
        ("month", models.DateField()),
        managed=True,
    ),
    migrations.CreateModel(
        name="KeyMonthsSummed",
        fields=[
            (
                "tenant",
                models.OneToOneField(
                    on_delete=models.PROTECT,
                    primary_key=True,
                    related_name="+",
                    serialize=False,
                    to="tenants.tenant",
                ),
            ),
            ("through", models.DateField()),
        ],
        options={"db_table": "key_months_summed"},
        managers=[("unscoped", models.Manager())],
    ),
]


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_rollups")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(TABLES),
                migrations.RunSQL(KEY_MONTHS),
                migrations.RunSQL(VIEWS),
                migrations.RunSQL(TRIGGERS),
            ],
            state_operations=STATE,
        ),
    ]
