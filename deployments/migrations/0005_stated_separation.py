from django.db import migrations, models

FIELD = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"


class Migration(migrations.Migration):
    dependencies = [("deployments", "0004_the_program_that_runs")]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="stated_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="deployment",
            name="stated_field",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AddField(
            model_name="deployment",
            name="stated_program",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="deployment",
            name="stated_reason",
            field=models.CharField(blank=True, db_default="", default="", max_length=500),
        ),
        migrations.AddField(
            model_name="deployment",
            name="statement_lapsed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.CheckConstraint(
                name="deployment_statement_is_whole",
                condition=models.Q(
                    stated_field="",
                    stated_reason="",
                    stated_program="",
                    stated_at=None,
                    statement_lapsed_at=None,
                )
                | models.Q(stated_field__regex=FIELD, stated_at__isnull=False)
                & ~models.Q(stated_reason="")
                & ~models.Q(stated_program=""),
            ),
        ),
    ]
