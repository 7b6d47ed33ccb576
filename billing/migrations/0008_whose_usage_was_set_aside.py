"""Usage that was not billed, and files of usage, are a tenant's as well, so that its wall stands around them.

Rows of before get the tenant of the key or slug that they name; the walls follow after each `migrate`.
"""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

OF_BEFORE = """
UPDATE quarantined_event q SET tenant_id = k.tenant_id FROM tenants_apikey k
 WHERE k.id::text = lower(coalesce(q.payload ->> 'key_id', q.payload -> 'event' ->> 'key_id'));
UPDATE usage_import i SET tenant_id = t.id FROM tenants_tenant t WHERE t.slug = i.assignment ->> 'tenant';
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0007_exports_of_the_audit_trail"),
        ("tenants", "0002_rules_of_rows"),
        ("audit", "0002_append_only"),
    ]

    operations = [
        migrations.AlterModelManagers(
            name="quarantinedevent", managers=[("unscoped", django.db.models.manager.Manager())]
        ),
        migrations.AlterModelManagers(
            name="usageimport", managers=[("unscoped", django.db.models.manager.Manager())]
        ),
        migrations.AddField(
            model_name="quarantinedevent",
            name="tenant",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
            ),
        ),
        migrations.AddField(
            model_name="usageimport",
            name="tenant",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
            ),
        ),
        migrations.RunSQL(OF_BEFORE, migrations.RunSQL.noop),
    ]
