"""Messages are also told in the inbox of the product."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_outbox")]

    operations = [
        migrations.AddField(
            "user", "has_unread", models.BooleanField(default=False, db_default=False, editable=False)
        ),
        migrations.AddField("outboxmessage", "read_at", models.DateTimeField("read", null=True)),
        migrations.AlterField(
            "outboxmessage",
            "channel",
            models.CharField("channel", max_length=10, choices=[("mail", "E-mail"), ("inbox", "Inbox")]),
        ),
        migrations.AddIndex(
            "outboxmessage",
            models.Index(fields=["user", "-id"], name="outbox_message_inbox", condition=Q(channel="inbox")),
        ),
        migrations.AddIndex(
            "outboxmessage",
            models.Index(
                fields=["user"],
                name="outbox_message_unread",
                condition=Q(channel="inbox", read_at__isnull=True),
            ),
        ),
    ]
