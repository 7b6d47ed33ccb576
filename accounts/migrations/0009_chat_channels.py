"""People are told things in a chat, too."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.utils.timezone import now

from core.ids import uuid7

SERVICES = [
    ("slack", "Slack"),
    ("teams", "Microsoft Teams"),
    ("dingtalk", "DingTalk"),
    ("wecom", "WeCom"),
    ("feishu", "Feishu"),
]


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_daily_summary")]

    operations = [
        migrations.AddField(
            "user", "has_chat", models.BooleanField(default=False, db_default=False, editable=False)
        ),
        migrations.AlterField(
            "outboxmessage",
            "channel",
            models.CharField(
                "channel", max_length=10, choices=[("mail", "E-mail"), ("inbox", "Inbox"), ("chat", "Chat")]
            ),
        ),
        migrations.CreateModel(
            "ChatChannel",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                (
                    "user",
                    models.OneToOneField(
                        settings.AUTH_USER_MODEL,
                        django.db.models.deletion.CASCADE,
                        verbose_name="person",
                        related_name="chat_channel",
                    ),
                ),
                ("service", models.CharField("service", max_length=10, choices=SERVICES)),
                ("ciphertext", models.BinaryField(editable=False)),
                ("hint", models.CharField("address ends with", max_length=4, editable=False)),
                ("created_at", models.DateTimeField("created", default=now, editable=False)),
            ],
            options={"verbose_name": "chat channel", "verbose_name_plural": "chat channels"},
        ),
    ]
