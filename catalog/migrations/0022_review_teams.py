"""Teams of reviewers are rows, each with a group that may hold review scopes."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import CheckConstraint, F, Q

import core.ids
import core.names


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0021_decided_requests_of_a_model"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="ReviewTeam",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", core.names.NameField(max_length=60, unique=True, verbose_name="name")),
                (
                    "group",
                    models.OneToOneField(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="review_team",
                        to="auth.group",
                    ),
                ),
            ],
            options={
                "verbose_name": "review team",
                "verbose_name_plural": "review teams",
                "constraints": [
                    CheckConstraint(
                        condition=Q(core.names.OneLine(F("name"))), name="review_team_name_is_one_line"
                    )
                ],
            },
        ),
    ]
