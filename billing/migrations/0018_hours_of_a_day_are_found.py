"""The hours of a tenant's few days are found by an index: costs by kind read those on which a price changed."""

from django.db import migrations

FORWARDS = "CREATE INDEX rollup_hour_tenant_day ON rollup_hour_folded (tenant_id, day);"
BACKWARDS = "DROP INDEX rollup_hour_tenant_day;"


class Migration(migrations.Migration):
    dependencies = [("billing", "0017_rollups_fill_their_pages")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
