"""Changes of models are planned for a time; what was planned stays, and ends once."""

import core.ids
import core.names
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


# Only who was told of it changes once it has ended.
ENDS_ONCE = """
CREATE FUNCTION catalog_planned_change_ends_once() RETURNS trigger LANGUAGE plpgsql
    SET search_path = public, pg_temp AS $$
DECLARE
    ends text[] := '{state,ended_at,undone_by_id,problem}';
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a planned change is never deleted'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'planned_change_stays';
    END IF;
    IF to_jsonb(NEW) - ends - 'announced' IS DISTINCT FROM to_jsonb(OLD) - ends - 'announced' THEN
        RAISE EXCEPTION 'what was planned stays; undo it and plan another'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'planned_change_stays';
    END IF;
    IF OLD.state <> 'planned' AND to_jsonb(NEW) - 'announced' IS DISTINCT FROM to_jsonb(OLD) - 'announced' THEN
        RAISE EXCEPTION 'a change that is % stays so', OLD.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'planned_change_ends_once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER planned_change_ends_once BEFORE UPDATE OR DELETE ON catalog_plannedchange
    FOR EACH ROW EXECUTE FUNCTION catalog_planned_change_ends_once();
"""
UNDO = """
DROP TRIGGER planned_change_ends_once ON catalog_plannedchange;
DROP FUNCTION catalog_planned_change_ends_once();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0030_versions_are_edited"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PlannedChange",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("edit", "Edit"), ("deprecate", "Deprecate"), ("retire", "Retire")],
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                ("values", models.JSONField(default=dict)),
                ("takes_effect_at", models.DateTimeField(verbose_name="takes effect")),
                ("reason", core.names.LineField(blank=True, max_length=300, verbose_name="reason")),
                (
                    "planned_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="planned"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("planned", "Planned"),
                            ("in_effect", "In effect"),
                            ("undone", "Undone"),
                            ("failed", "Failed"),
                        ],
                        default="planned",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("ended_at", models.DateTimeField(null=True, verbose_name="ended")),
                ("impact", models.JSONField(default=dict)),
                ("problem", models.TextField(blank=True, verbose_name="problem")),
                ("announced", models.CharField(blank=True, editable=False, max_length=10)),
                (
                    "planned_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="planned by",
                    ),
                ),
                (
                    "undone_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="undone by",
                    ),
                ),
            ],
            options={
                "verbose_name": "planned change",
                "verbose_name_plural": "planned changes",
                "ordering": ["-takes_effect_at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="PlannedChangeOfModel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("before", models.JSONField(default=dict)),
                (
                    "change",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="of_models",
                        to="catalog.plannedchange",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="catalog.catalogmodel",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="plannedchange",
            name="models",
            field=models.ManyToManyField(
                related_name="planned_changes",
                through="catalog.PlannedChangeOfModel",
                to="catalog.catalogmodel",
            ),
        ),
        migrations.AddConstraint(
            model_name="plannedchangeofmodel",
            constraint=models.UniqueConstraint(
                fields=("model", "change"), name="planned_change_of_model_once"
            ),
        ),
        migrations.AddIndex(
            model_name="plannedchange",
            index=models.Index(
                condition=models.Q(("state", "planned")),
                fields=["takes_effect_at"],
                name="planned_change_due",
            ),
        ),
        migrations.AddIndex(
            model_name="plannedchange",
            index=models.Index(
                condition=models.Q(("announced", models.F("state")), _negated=True),
                fields=["id"],
                name="planned_change_to_tell",
            ),
        ),
        migrations.AddConstraint(
            model_name="plannedchange",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at", None), ("state", "planned")),
                    models.Q(models.Q(("state", "planned"), _negated=True), ("ended_at__isnull", False)),
                    _connector="OR",
                ),
                name="planned_change_ends_at_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="plannedchange",
            constraint=models.CheckConstraint(
                condition=models.Q(("state", "undone"), ("undone_by", None), _connector="OR"),
                name="planned_change_is_undone_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="plannedchange",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("reason"))),
                name="planned_change_reason_is_one_line",
            ),
        ),
        migrations.RunSQL(ENDS_ONCE, UNDO),
    ]
