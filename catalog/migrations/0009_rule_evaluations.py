"""What the rules said about a request is a row each time they ran, and stays."""

import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
from django.db import migrations, models
from django.db.models import CheckConstraint, Index, Q

import core.ids

# Requests of an earlier version have only the last result.
LAST_RESULTS = """
INSERT INTO catalog_ruleevaluation
    (id, tenant_id, access_request_id, rule_version, occasion, inputs, answer, result, at)
SELECT gen_random_uuid(), q.tenant_id, q.id, q.rule_version, 'carried', q.facts, 'reviews',
       jsonb_build_object('rejections', '[]'::jsonb, 'automatic_by', '[]'::jsonb, 'reviews', coalesce((
           SELECT jsonb_agg(jsonb_build_object(
               'track', one.said ->> 'track', 'reason', one.said ->> 'reason', 'quorum', 0, 'rules', '[]'::jsonb)
               ORDER BY one.number)
             FROM jsonb_array_elements(q.rule_trace) WITH ORDINALITY one (said, number)), '[]'::jsonb)),
       coalesce(q.decided_at, q.created_at)
  FROM catalog_accessrequest q;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""

# An evaluation has the time of the database, is of the tenant of its request, and stays as it was made.
EVALUATIONS_STAND = """
ALTER TABLE catalog_ruleevaluation ADD CONSTRAINT rule_evaluation_request_of_tenant
    FOREIGN KEY (tenant_id, access_request_id) REFERENCES catalog_accessrequest (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED;
CREATE TRIGGER rule_evaluation_has_its_time BEFORE INSERT ON catalog_ruleevaluation
    FOR EACH ROW EXECUTE FUNCTION catalog_decision_has_its_time();
CREATE TRIGGER rule_evaluation_append_only BEFORE UPDATE OR DELETE ON catalog_ruleevaluation
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0008_words_of_models"), ("tenants", "0008_keys_to_claim")]

    operations = [
        migrations.CreateModel(
            name="RuleEvaluation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("rule_version", models.CharField(max_length=40, verbose_name="version of the rules")),
                (
                    "occasion",
                    models.CharField(
                        choices=[
                            ("raised", "requested"),
                            ("decided", "a review was decided"),
                            ("facts_changed", "facts had changed"),
                            ("carried", "recorded by an earlier release"),
                        ],
                        max_length=13,
                        verbose_name="occasion",
                    ),
                ),
                ("inputs", models.JSONField(verbose_name="facts")),
                (
                    "answer",
                    models.CharField(
                        choices=[
                            ("reviews", "Reviews"),
                            ("automatic", "Approved automatically"),
                            ("rejected", "Not allowed"),
                        ],
                        max_length=9,
                        verbose_name="answer",
                    ),
                ),
                ("result", models.JSONField(verbose_name="result")),
                (
                    "at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="time"
                    ),
                ),
                (
                    "access_request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="evaluations",
                        to="catalog.accessrequest",
                        verbose_name="access request",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "rule evaluation",
                "verbose_name_plural": "rule evaluations",
                "abstract": False,
                "indexes": [Index(fields=["access_request", "-at"], name="rule_evaluation_newest")],
                "constraints": [
                    CheckConstraint(
                        condition=Q(answer__in=["reviews", "automatic", "rejected"]),
                        name="rule_evaluation_has_its_answer",
                    )
                ],
            },
            managers=[("unscoped", django.db.models.manager.Manager())],
        ),
        migrations.RunSQL(LAST_RESULTS),
        migrations.RunSQL(EVALUATIONS_STAND),
        migrations.RemoveField("accessrequest", "rule_version"),
        migrations.RemoveField("accessrequest", "rule_trace"),
    ]
