"""Every fact of a model has a source and a time, and an operator's edit wins over imports."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models import Q

# Facts that the price map states.
IMPORTED = ("title", "maker", "mode", "context_tokens", "max_output_tokens", "deprecation_date")
# Those of which the rows know what the import last said, because people could edit them.
EDITABLE = ("title", "deprecation_date")


def state_sources(apps, schema_editor):
    rows = apps.get_model("catalog", "CatalogModel").objects.exclude(imported={}).order_by("pk")
    batch = []
    for row in rows.iterator(chunk_size=500):
        row.provenance, row.differing = _provenance(row)
        batch.append(row)
        if len(batch) == 500:
            type(row).objects.bulk_update(batch, ["provenance", "differing"])
            batch = []
    if batch:
        type(batch[0]).objects.bulk_update(batch, ["provenance", "differing"])


def _provenance(row):
    provenance, differing = {}, []
    at = row.updated_at.isoformat()
    for name in IMPORTED:
        value = getattr(row, name)
        value = value.isoformat() if hasattr(value, "isoformat") else value
        stated = row.imported.get(name) if name in EDITABLE else value
        if name in EDITABLE and name not in row.imported:
            continue
        if stated == value:
            provenance[name] = {"source": row.source, "at": at, "stated": stated}
        else:
            provenance[name] = {
                "source": "operator",
                "at": at,
                "by": None,
                "stated": stated,
                "stated_by": row.source,
            }
            differing.append(name)
    return provenance, differing


class Migration(migrations.Migration):
    dependencies = [("catalog", "0009_rule_evaluations")]

    operations = [
        migrations.AlterModelOptions(
            "catalogmodel",
            options={
                "permissions": [
                    ("publish_model", "Publish or retire a model"),
                    ("curate_model", "Edit the facts of a model"),
                ],
                "verbose_name": "model",
                "verbose_name_plural": "models",
            },
        ),
        migrations.AddField(
            "catalogmodel",
            "provenance",
            models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()), editable=False),
        ),
        migrations.AddField(
            "catalogmodel",
            "differing",
            ArrayField(models.CharField(max_length=40), default=list, db_default=[], editable=False),
        ),
        migrations.RunPython(state_sources, migrations.RunPython.noop, elidable=True),
        migrations.RemoveField("catalogmodel", "imported"),
        migrations.AddIndex(
            "catalogmodel",
            models.Index(fields=["name"], name="catalog_model_differing", condition=~Q(differing=[])),
        ),
    ]
