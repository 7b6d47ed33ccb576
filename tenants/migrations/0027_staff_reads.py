"""What staff read, by person, tenant and hour. A note only grows, and stays as long as audit entries must."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.manager
import core.ids
from django.conf import settings
from django.db import migrations, models

FORWARDS = """
CREATE FUNCTION staff_read_only_grows() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.person_id, NEW.tenant_id, NEW.hour) IS NOT DISTINCT FROM
           (OLD.id, OLD.person_id, OLD.tenant_id, OLD.hour)
           AND NEW.kinds @> OLD.kinds
           AND (OLD.entry_id IS NULL OR NEW.entry_id IS NOT DISTINCT FROM OLD.entry_id) THEN
            RETURN NEW;
        END IF;
    ELSIF OLD.hour < now() - interval '180 days' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'what staff read only grows: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER staff_read_only_grows BEFORE UPDATE OR DELETE ON tenants_staffread
    FOR EACH ROW EXECUTE FUNCTION staff_read_only_grows();
"""
BACKWARDS = """
DROP TRIGGER staff_read_only_grows ON tenants_staffread;
DROP FUNCTION staff_read_only_grows();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0026_names_are_one_line"),
    ]

    operations = [
        migrations.CreateModel(
            name="StaffRead",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hour", models.DateTimeField()),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=120), size=None
                    ),
                ),
                ("entry_id", models.UUIDField(null=True, unique=True)),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "abstract": False,
                "indexes": [models.Index(fields=["hour"], name="staff_read_by_hour")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("person", "tenant", "hour"),
                        name="staff_read_once_an_hour",
                        nulls_distinct=False,
                    )
                ],
            },
            managers=[
                ("unscoped", django.db.models.manager.Manager()),
            ],
        ),
        migrations.RunSQL(FORWARDS, BACKWARDS),
    ]
