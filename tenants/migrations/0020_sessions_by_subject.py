"""Back-channel logout finds the sessions of a subject."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0019_emergency_access"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="session",
            index=models.Index(fields=["issuer", "subject"], name="session_of_subject"),
        ),
    ]
