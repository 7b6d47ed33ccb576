"""A delivery and its webhook are of one tenant."""

from django.db import migrations, models

# A foreign key over the tenant and the id, as between all rows of tenants.
SAME_TENANT = """
ALTER TABLE tenants_webhookdelivery ADD CONSTRAINT webhook_delivery_webhook_of_tenant
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES tenants_webhook (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0012_webhooks")]

    operations = [
        migrations.AddConstraint(
            model_name="webhook",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="webhook_of_tenant"),
        ),
        migrations.RunSQL(SAME_TENANT),
    ]
