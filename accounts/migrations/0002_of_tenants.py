"""A service account belongs to a tenant. Tenants refer to people, so this follows once both exist."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            "user",
            "service_of",
            models.ForeignKey(
                "tenants.tenant", models.PROTECT, blank=True, null=True, related_name="service_accounts"
            ),
        ),
    ]
