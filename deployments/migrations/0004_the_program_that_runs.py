import django.contrib.postgres.fields
from django.db import migrations, models


def note_what_runs(apps, schema_editor):
    """Note of each living deployment the program that it was last applied with, as far as that is known: its version's."""
    deployments = apps.get_model("deployments", "Deployment").objects.exclude(state="deleted")
    for deployment in deployments.select_related("version"):
        deployment.applied_image = deployment.version.image
        deployment.applied_command = deployment.version.command
        deployment.save(update_fields=["applied_image", "applied_command"])


class Migration(migrations.Migration):
    dependencies = [("deployments", "0003_what_tenants_share")]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="applied_command",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=300),
                blank=True,
                db_default=[],
                default=list,
                editable=False,
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="applied_image",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=300),
        ),
        migrations.RunPython(note_what_runs, migrations.RunPython.noop, elidable=True),
    ]
