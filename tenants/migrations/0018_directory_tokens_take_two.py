"""A directory's token works once a second person has confirmed it; a group rule knows who wrote it.

Tokens of before count as confirmed: they work, and nobody noted who made them. Who wrote the rules of before stands
in the audit trail.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


OF_BEFORE = """
UPDATE tenants_scimtoken SET confirmed_at = created_at;
UPDATE tenants_grouprule r SET begun_by_id = e.actor_id FROM tenants_auditentry e
 WHERE e.subject_id = r.id::text AND e.verb = 'group_rule.begun';
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0017_scopes_say_what_they_open"),
    ]

    operations = [
        migrations.AddField(
            model_name="grouprule",
            name="begun_by",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="scimtoken",
            name="confirmed_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="scimtoken",
            name="confirmed_by",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="scimtoken",
            name="made_by",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="scimtoken",
            name="replaces",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.scimtoken",
            ),
        ),
        migrations.RunSQL(OF_BEFORE, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="scimtoken",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("confirmed_at__isnull", True), ("confirmed_by__isnull", True)),
                    models.Q(("confirmed_at__isnull", False), ("made_by__isnull", True)),
                    models.Q(
                        ("confirmed_at__isnull", False),
                        ("confirmed_by__isnull", False),
                        models.Q(("confirmed_by", models.F("made_by")), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="scim_token_takes_two",
            ),
        ),
    ]
