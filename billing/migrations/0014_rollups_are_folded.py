"""What usage adds to the rollups is written beside them, and folded in within seconds; views show both together.

An upsert of a rollup row for every call of a key took three times as long as the call itself.
"""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

KINDS = ("input", "cache_read", "cache_write", "output", "reasoning", "image", "audio", "request")  # of then
SUMS = ", ".join((*KINDS, "calls", "amount"))
ROLLUPS = {  # the view, its columns beside the sums, and which deltas it adds
    "rollup_hour": ("period, tenant_id, project_id, model_id, day, hour, is_unpriced", ""),
    "rollup_day": ("period, tenant_id, project_id, key_id, model_id, day, is_unpriced", ""),
    "rollup_estimated": (
        "period, tenant_id, project_id, key_id, model_id, day, hour, is_unpriced",
        " WHERE NOT is_exact",
    ),
}
VIEWS = "".join(
    f"""
ALTER TABLE {name} RENAME TO {name}_folded;
CREATE VIEW {name} WITH (security_invoker = on) AS
SELECT {columns}, {SUMS} FROM {name}_folded UNION ALL SELECT {columns}, {SUMS} FROM rollup_delta{where};
"""  # noqa: S608
    for name, (columns, where) in ROLLUPS.items()
)
COST_DETAIL = """
-- Priced usage by kind, at the price of its hour. Its amounts sum to the rollups' exactly: an hour has one price,
-- and no price changes once usage of its hour is priced.
CREATE VIEW cost_detail WITH (security_invoker = on) AS
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
FORWARDS = f"""
CREATE TABLE rollup_delta (
    hour timestamptz NOT NULL,
    {" bigint NOT NULL, ".join(KINDS)} bigint NOT NULL,
    calls bigint NOT NULL,
    period date NOT NULL,
    day date NOT NULL,
    model_id integer NOT NULL,
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    key_id uuid NOT NULL,
    is_unpriced boolean NOT NULL,
    is_exact boolean NOT NULL,
    amount numeric(38, 14),
    CONSTRAINT rollup_delta_unpriced_has_no_amount CHECK ((amount IS NULL) = is_unpriced)
);
CREATE INDEX rollup_delta_tenant_day ON rollup_delta (tenant_id, day);
DROP VIEW cost_detail;
{VIEWS}
{COST_DETAIL}
CREATE OR REPLACE FUNCTION analyze_ledger() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
BEGIN
    ANALYZE rollup_hour_folded, rollup_day_folded, rollup_estimated_folded, rollup_delta, price, sku, billed_model;
END $$;
"""


def unchecked(to):
    return models.ForeignKey(
        to, django.db.models.deletion.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )


STATE = [
    *(
        migrations.AlterModelOptions(name=name, options={"managed": False})
        for name in ("rollupday", "rollupestimated", "rolluphour")
    ),
    migrations.CreateModel(
        name="RollupDelta",
        fields=[
            (
                "pk",
                models.CompositePrimaryKey(
                    *(
                        "period",
                        "tenant",
                        "project",
                        "key",
                        "model",
                        "day",
                        "hour",
                        "is_unpriced",
                        "is_exact",
                    ),
                    blank=True,
                    editable=False,
                    primary_key=True,
                    serialize=False,
                ),
            ),
            *((kind, models.BigIntegerField(default=0)) for kind in KINDS),
            ("period", models.DateField()),
            ("day", models.DateField()),
            ("hour", models.DateTimeField()),
            ("is_unpriced", models.BooleanField()),
            ("is_exact", models.BooleanField()),
            ("calls", models.BigIntegerField()),
            ("amount", models.DecimalField(decimal_places=14, max_digits=38, null=True)),
            ("key", unchecked("tenants.apikey")),
            ("model", unchecked("billing.billedmodel")),
            ("project", unchecked("tenants.project")),
            ("tenant", unchecked("tenants.tenant")),
        ],
        options={
            "db_table": "rollup_delta",
            "abstract": False,
            "indexes": [models.Index(fields=["tenant", "day"], name="rollup_delta_tenant_day")],
        },
        managers=[("unscoped", django.db.models.manager.Manager())],
    ),
]


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0013_a_call_takes_fewer_bytes"),
        ("tenants", "0002_rules_of_rows"),
        ("audit", "0002_append_only"),
    ]
    operations = [migrations.SeparateDatabaseAndState([migrations.RunSQL(FORWARDS)], STATE)]
