"""People may switch off shortcuts of a single key. The database fills the column, so running code need not know it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_programs_stay_programs")]

    operations = [
        migrations.AddField(
            "user",
            "single_keys",
            models.BooleanField("single-key shortcuts", default=True, db_default=True),
        ),
    ]
