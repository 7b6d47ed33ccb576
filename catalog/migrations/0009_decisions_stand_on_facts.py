"""Decisions keep the facts they were made on and the round of their review; requests keep who could act for the asker.

Nothing here hinders code of before: what it does not know has a default in the database.
"""

import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
import core.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0008_four_eyes_of_programs"),
        ("tenants", "0002_rules_of_rows"),
        ("audit", "0002_append_only"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RequestDelegate",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "capacity",
                    models.CharField(
                        choices=[
                            ("responsible", "Answered for the service account"),
                            ("issuer", "Issued a token of it"),
                            ("manager", "Could make its tokens, by their role in the tenant"),
                            ("staff", "Could make its tokens, as staff"),
                            ("emergency", "Had emergency access to the tenant"),
                        ],
                        max_length=12,
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "verbose_name": "delegate",
                "abstract": False,
            },
            managers=[
                ("unscoped", django.db.models.manager.Manager()),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="reviewdecision",
            name="review_decision_one_per_person",
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="facts",
            field=models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name="review",
            name="opened_by_facts",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="review",
            name="round",
            field=models.PositiveSmallIntegerField(db_default=1, default=1),
        ),
        migrations.AddField(
            model_name="reviewdecision",
            name="facts",
            field=models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name="reviewdecision",
            name="round",
            field=models.PositiveSmallIntegerField(db_default=1, default=1),
        ),
        migrations.AddConstraint(
            model_name="reviewdecision",
            constraint=models.UniqueConstraint(
                fields=("review", "reviewer", "round"), name="review_decision_one_per_person"
            ),
        ),
        migrations.AddField(
            model_name="requestdelegate",
            name="access_request",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="delegates",
                to="catalog.accessrequest",
            ),
        ),
        migrations.AddField(
            model_name="requestdelegate",
            name="person",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="requestdelegate",
            name="tenant",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"),
        ),
        migrations.AddConstraint(
            model_name="requestdelegate",
            constraint=models.UniqueConstraint(
                fields=("access_request", "person", "capacity"), name="request_delegate_once"
            ),
        ),
        migrations.RunSQL(
            "ALTER TABLE catalog_requestdelegate ADD CONSTRAINT request_delegate_request_of_tenant "
            "FOREIGN KEY (tenant_id, access_request_id) REFERENCES catalog_accessrequest (tenant_id, id) "
            "DEFERRABLE INITIALLY DEFERRED",
            "ALTER TABLE catalog_requestdelegate DROP CONSTRAINT request_delegate_request_of_tenant",
        ),
    ]
