"""As 0017 of the other rollups: rows of past days and months never change again."""

from django.db import migrations

TABLES = ("rollup_month_folded", "rollup_tenant_day_folded")


def filled(percent: int) -> str:
    return "".join(f"ALTER TABLE {table} SET (fillfactor = {percent});\n" for table in TABLES)


class Migration(migrations.Migration):
    dependencies = [("billing", "0018_hours_of_a_day_are_found")]
    operations = [migrations.RunSQL(filled(90), filled(70))]
