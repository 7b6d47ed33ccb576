"""What people are told is a row: written with what happened, and sent afterwards."""

from django.conf import settings
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Collate
from django.utils.timezone import now

from core.addresses import AddressField, IsAddress
from core.ids import uuid7

STATES = [
    ("waiting", "Waiting"),
    ("sent", "Sent"),
    ("dropped", "No longer needed"),
    ("failed", "Failed"),
]


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_user_single_keys"), ("tenants", "0001_initial")]

    operations = [
        migrations.CreateModel(
            "OutboxMessage",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("event", models.CharField("event", max_length=60)),
                ("channel", models.CharField("channel", max_length=10, choices=[("mail", "E-mail")])),
                (
                    "user",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.CASCADE,
                        verbose_name="person",
                        null=True,
                        related_name="+",
                    ),
                ),
                ("address", AddressField("address", max_length=254, blank=True)),
                (
                    "of_tenant",
                    models.ForeignKey(
                        "tenants.tenant",
                        models.PROTECT,
                        verbose_name="tenant",
                        null=True,
                        db_index=False,
                        related_name="+",
                    ),
                ),
                ("subject_id", models.UUIDField("object")),
                ("occasion", models.CharField(max_length=60, blank=True)),
                ("created_at", models.DateTimeField("created", default=now, editable=False)),
                ("state", models.CharField("state", max_length=7, choices=STATES, default="waiting")),
                ("attempts", models.PositiveSmallIntegerField("attempts", default=0)),
                ("due_at", models.DateTimeField("next attempt", default=now)),
                ("problem", models.CharField("problem", max_length=200, blank=True)),
                ("settled_at", models.DateTimeField("settled", null=True)),
            ],
            options={
                "verbose_name": "message",
                "verbose_name_plural": "messages",
                "permissions": [("manage_outbox", "Send messages again")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=["subject_id", "event", "occasion", "channel", "user", "address"],
                        name="outbox_message_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        name="outbox_message_to_somebody",
                        condition=Q(user__isnull=False, address="") | Q(user__isnull=True) & ~Q(address=""),
                    ),
                    models.CheckConstraint(
                        name="outbox_message_settled_unless_waiting",
                        condition=Q(state="waiting", settled_at__isnull=True)
                        | ~Q(state="waiting") & Q(settled_at__isnull=False),
                    ),
                    models.CheckConstraint(
                        name="outbox_message_address_is_address",
                        condition=Q(address="") | Q(IsAddress(models.F("address"))),
                    ),
                ],
                "indexes": [
                    models.Index(
                        fields=["channel", "due_at"], name="outbox_message_due", condition=Q(state="waiting")
                    ),
                    models.Index(fields=["-id"], name="outbox_message_failed", condition=Q(state="failed")),
                    models.Index(
                        fields=["settled_at"],
                        name="outbox_message_settled",
                        condition=Q(settled_at__isnull=False),
                    ),
                    models.Index(fields=["event", "-id"], name="outbox_message_by_event"),
                    models.Index(Collate("address", "C"), name="outbox_message_address_prefix"),
                ],
            },
        ),
    ]
