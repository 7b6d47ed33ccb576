"""Comments on access requests: of the tenant of their request, timed by the database, and never changed."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import core.ids


COMMENTS_STAND = """
ALTER TABLE catalog_requestcomment ADD CONSTRAINT request_comment_request_of_tenant
    FOREIGN KEY (tenant_id, access_request_id) REFERENCES catalog_accessrequest (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED;
CREATE TRIGGER request_comment_has_its_time BEFORE INSERT ON catalog_requestcomment
    FOR EACH ROW EXECUTE FUNCTION catalog_decision_has_its_time();
CREATE TRIGGER request_comment_append_only BEFORE UPDATE OR DELETE ON catalog_requestcomment
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0011_members_by_their_role"),
        ("tenants", "0009_roles_say_what_one_may"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RequestComment",
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
                            ("member", "Member of the tenant"),
                            ("reviewer", "Reviewer"),
                            ("emergency", "With emergency access"),
                        ],
                        max_length=12,
                        verbose_name="capacity",
                    ),
                ),
                ("text", models.TextField(max_length=4000, verbose_name="text")),
                (
                    "mentions",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(),
                        blank=True,
                        default=list,
                        size=None,
                        verbose_name="mentions",
                    ),
                ),
                (
                    "at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="at"
                    ),
                ),
                (
                    "access_request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="comments",
                        to="catalog.accessrequest",
                        verbose_name="access request",
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="author",
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
                "verbose_name": "comment",
                "verbose_name_plural": "comments",
                "abstract": False,
                "indexes": [models.Index(fields=["access_request", "-id"], name="request_comment_newest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("text", ""), _negated=True), name="request_comment_says_something"
                    )
                ],
            },
            managers=[
                ("unscoped", django.db.models.manager.Manager()),
            ],
        ),
        migrations.RunSQL(COMMENTS_STAND),
    ]
