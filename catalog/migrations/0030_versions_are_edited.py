"""Versions of models are made, edited and retired by people; an adapter names its base."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


# Rows of before were made for the demo, without an organization: it is the maker of the model.
ORGANIZATIONS = """
UPDATE catalog_modelversion v SET org = coalesce(nullif(left(
    trim(both '-._' from regexp_replace(lower(m.maker), '[^a-z0-9._]+', '-', 'g')), 60), ''), 'unknown')
  FROM catalog_catalogmodel m WHERE m.id = v.model_id
"""

# A version keeps its name and its base. A base is no adapter, so there are no rings. Whoever may use an adapter may use
# its base, whichever of the two changes first: the base is locked while an adapter is written.
ADAPTERS = """
CREATE FUNCTION catalog_model_version_stands() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    base catalog_modelversion;
BEGIN
    IF TG_OP = 'UPDATE' AND ((NEW.model_id, NEW.org, NEW.version) IS DISTINCT FROM (OLD.model_id, OLD.org, OLD.version)
                             OR NEW.base_id IS DISTINCT FROM OLD.base_id) THEN
        RAISE EXCEPTION 'a version keeps its name and its base'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'model_version_is_itself';
    END IF;
    IF NEW.base_id IS NOT NULL THEN
        SELECT * INTO base FROM catalog_modelversion v WHERE v.id = NEW.base_id FOR SHARE;
        IF base.base_id IS NOT NULL
           OR (TG_OP = 'INSERT' AND base.retired_at IS NOT NULL)
           OR (SELECT m.mode FROM catalog_catalogmodel m WHERE m.id = base.model_id)
              <> (SELECT m.mode FROM catalog_catalogmodel m WHERE m.id = NEW.model_id)
           OR (base.visibility = 'tenants'
               AND NOT (NEW.visibility = 'tenants' AND NEW.only_for <@ base.only_for))
        THEN
            RAISE EXCEPTION 'a base is a current version of the same kind, no adapter, for every tenant of its adapters'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'model_version_suits_its_base';
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.visibility = 'tenants' AND EXISTS (
        SELECT FROM catalog_modelversion a WHERE a.base_id = NEW.id AND a.retired_at IS NULL
           AND NOT (a.visibility = 'tenants' AND a.only_for <@ NEW.only_for))
    THEN
        RAISE EXCEPTION 'a base is for every tenant of its adapters'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'model_version_suits_its_base';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER model_version_stands BEFORE INSERT OR UPDATE ON catalog_modelversion
    FOR EACH ROW EXECUTE FUNCTION catalog_model_version_stands();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0029_escalation"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="modelversion",
            options={
                "permissions": [("manage_version", "Make, edit and retire versions of models")],
                "verbose_name": "model version",
                "verbose_name_plural": "model versions",
            },
        ),
        migrations.AddField(
            model_name="modelversion",
            name="base",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="adapters",
                to="catalog.modelversion",
                verbose_name="base version",
            ),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="context_tokens",
            field=models.BigIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="context in tokens",
            ),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="format",
            field=models.CharField(
                blank=True,
                choices=[
                    ("safetensors", "safetensors"),
                    ("gguf", "GGUF"),
                    ("onnx", "ONNX"),
                    ("pickle", "PyTorch (pickle)"),
                ],
                db_default="",
                default="",
                max_length=12,
                verbose_name="file format",
            ),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="only_for",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=60),
                blank=True,
                db_default=[],
                default=list,
                size=None,
                verbose_name="chosen tenants",
            ),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="org",
            field=models.CharField(
                default="",
                max_length=60,
                validators=[
                    django.core.validators.RegexValidator(
                        "\\A[A-Za-z0-9][A-Za-z0-9._-]*\\Z",
                        "Letters, digits, dots, hyphens and underscores only.",
                    )
                ],
                verbose_name="organization",
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="modelversion",
            name="parameters",
            field=models.BigIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="parameters",
            ),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="retired_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="retired"),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="visibility",
            field=models.CharField(
                choices=[("all", "All tenants"), ("tenants", "Chosen tenants")],
                db_default="all",
                default="all",
                max_length=10,
                verbose_name="offered to",
            ),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="command",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=300),
                blank=True,
                default=list,
                size=None,
                verbose_name="command",
            ),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="digest",
            field=models.CharField(
                blank=True,
                max_length=80,
                validators=[
                    django.core.validators.RegexValidator(
                        "\\Asha256:[0-9a-f]{64}\\Z",
                        "Write a digest as sha256: with 64 digits and letters from a to f.",
                    )
                ],
                verbose_name="digest",
            ),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="endpoints",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=20),
                blank=True,
                default=list,
                size=None,
                verbose_name="further endpoints",
            ),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="gpus_per_replica",
            field=models.PositiveIntegerField(default=0, verbose_name="GPUs per replica"),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="image",
            field=models.CharField(
                max_length=300,
                validators=[
                    django.core.validators.RegexValidator(
                        "\\A[A-Za-z0-9][A-Za-z0-9._/:@-]*\\Z", "This is no name of a container image."
                    )
                ],
                verbose_name="container image",
            ),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="memory",
            field=models.CharField(
                default="512Mi",
                max_length=20,
                validators=[
                    django.core.validators.RegexValidator(
                        "\\A[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?\\Z",
                        "Write an amount of memory such as 512Mi or 80Gi.",
                    )
                ],
                verbose_name="memory",
            ),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="model",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="versions",
                to="catalog.catalogmodel",
                verbose_name="model",
            ),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="precision",
            field=models.CharField(
                blank=True,
                max_length=20,
                validators=[
                    django.core.validators.RegexValidator(
                        "\\A[A-Za-z0-9][A-Za-z0-9._-]*\\Z",
                        "Letters, digits, dots, hyphens and underscores only.",
                    )
                ],
                verbose_name="precision",
            ),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="version",
            field=models.CharField(
                max_length=60,
                validators=[
                    django.core.validators.RegexValidator(
                        "\\A[A-Za-z0-9][A-Za-z0-9._-]*\\Z",
                        "Letters, digits, dots, hyphens and underscores only.",
                    )
                ],
                verbose_name="version",
            ),
        ),
        migrations.AddConstraint(
            model_name="modelversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("only_for", []), ("visibility", "all")),
                    models.Q(("visibility", "tenants"), models.Q(("only_for", []), _negated=True)),
                    _connector="OR",
                ),
                name="model_version_is_for_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="modelversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("parameters", None), ("parameters__gte", 1), _connector="OR"),
                    models.Q(("context_tokens", None), ("context_tokens__gte", 1), _connector="OR"),
                ),
                name="model_version_numbers",
            ),
        ),
        migrations.RunSQL(ORGANIZATIONS),
        migrations.RunSQL(ADAPTERS),
    ]
