"""Each tenant of an answer has its own note of what staff read. Notes of several tenants at once go."""

import django.db.models.deletion
from django.db import migrations, models

NOTES_OF_SEVERAL = """
ALTER TABLE tenants_staffread DISABLE TRIGGER staff_read_only_grows;
DELETE FROM tenants_staffread WHERE tenant_id IS NULL;
ALTER TABLE tenants_staffread ENABLE TRIGGER staff_read_only_grows;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0032_two_more_look_alikes"),
    ]

    operations = [
        migrations.RunSQL(NOTES_OF_SEVERAL, migrations.RunSQL.noop),
        migrations.RemoveConstraint(
            model_name="staffread",
            name="staff_read_once_an_hour",
        ),
        migrations.AlterField(
            model_name="staffread",
            name="tenant",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"),
        ),
        migrations.AddConstraint(
            model_name="staffread",
            constraint=models.UniqueConstraint(
                fields=("person", "tenant", "hour"), name="staff_read_once_an_hour"
            ),
        ),
    ]
