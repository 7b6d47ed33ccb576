"""Folded rows change for a day and then never again: room for a tenth of them is enough."""

from django.db import migrations

TABLES = ("rollup_hour_folded", "rollup_day_folded", "rollup_estimated_folded")


def filled(percent: int) -> str:
    return "".join(f"ALTER TABLE {table} SET (fillfactor = {percent});\n" for table in TABLES)


class Migration(migrations.Migration):
    dependencies = [("billing", "0016_an_identity_takes_fewer_bytes")]
    operations = [migrations.RunSQL(filled(90), filled(70))]
