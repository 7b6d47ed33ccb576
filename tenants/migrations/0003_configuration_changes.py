"""What changed with each revision of the configuration, so that a gateway fetches only that."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Now

# An action may write its audit entry before or after it raises the revision, so this waits for the commit. Until then
# every entry of the transaction waits for its checkpoint.
#
# One transaction may raise several revisions. Writers of the counter take turns, so at the commit the counter still has
# the last of them. That one gets the entries; the others name it.
ENTRIES = """
CREATE FUNCTION config_revision_has_its_entries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last bigint := (SELECT number FROM tenants_configrevision WHERE id = 1);
BEGIN
    IF NEW.revision < last THEN
        UPDATE tenants_configchange SET raised_with = last WHERE revision = NEW.revision;
        RETURN NULL;
    END IF;
    INSERT INTO tenants_revisionentry (revision, entry_id)
    SELECT NEW.revision, entry_id FROM audit_auditpending
     WHERE transaction_id = pg_current_xact_id()::text::bigint
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER config_revision_has_its_entries AFTER INSERT ON tenants_configchange
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION config_revision_has_its_entries();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0002_rules_of_rows"),
    ]

    operations = [
        migrations.CreateModel(
            "ConfigRevision",
            fields=[
                ("id", models.SmallIntegerField(primary_key=True, default=1, serialize=False)),
                ("number", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(name="config_revision_is_one_row", condition=Q(id=1)),
                ],
            },
        ),
        migrations.CreateModel(
            "ConfigChange",
            fields=[
                (
                    "revision",
                    models.BigIntegerField(primary_key=True, serialize=False, verbose_name="revision"),
                ),
                ("mark", models.UUIDField()),
                ("raised_at", models.DateTimeField(db_default=Now(), verbose_name="raised at")),
                ("is_everything", models.BooleanField()),
                ("tenants", ArrayField(models.UUIDField())),
                ("projects", ArrayField(models.UUIDField())),
                ("keys", ArrayField(models.UUIDField())),
                ("limits", ArrayField(models.UUIDField())),
                ("raised_with", models.BigIntegerField(null=True)),
            ],
            options={
                "verbose_name": "configuration revision",
                "verbose_name_plural": "configuration revisions",
            },
        ),
        migrations.CreateModel(
            "RevisionEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("revision", models.BigIntegerField()),
                ("entry_id", models.UUIDField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=["revision", "entry_id"], name="revision_entry_once"),
                ],
            },
        ),
        migrations.RunSQL(
            ENTRIES,
            "DROP TRIGGER config_revision_has_its_entries ON tenants_configchange; "
            "DROP FUNCTION config_revision_has_its_entries()",
        ),
    ]
