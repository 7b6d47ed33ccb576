"""The table of stored answers moves between apps in name only: routes of both use it."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0006_rows_are_of_one_tenant"),
        ("tenants", "0013_answers_are_kept_here"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel(name="StoredAnswer")], database_operations=[]
        ),
    ]
