"""An event's identity keeps half its fingerprint, and no time: 16 of 76 bytes of each row.

Whoever sends an id again with other content is told so unless 64 bits of SHA-256 agree by accident. Every identity is
written anew, and a worker of before cannot record until it is restarted: gateways keep what they report. What is cut off
is gone, so there is no way back.
"""

from django.db import migrations, models

IDENTITIES = """
ALTER TABLE event_key
    DROP COLUMN occurred_at,
    ALTER COLUMN payload_sha TYPE bigint
        USING ('x' || substring(replace(payload_sha::text, '-', '') FROM 1 FOR 16))::bit(64)::bigint;
"""

STATE = [
    migrations.RemoveField("eventkey", "occurred_at"),
    migrations.AlterField("eventkey", "payload_sha", models.BigIntegerField()),
]


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_months_are_summed")]
    operations = [migrations.SeparateDatabaseAndState([migrations.RunSQL(IDENTITIES)], STATE)]
