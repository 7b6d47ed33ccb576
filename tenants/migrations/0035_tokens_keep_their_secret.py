"""The secret of a token is of its issuer for good: another digest would give the token of one person to another."""

from django.db import migrations

TRIGGER = """
DROP TRIGGER token_issuer_is_for_good ON tenants_personalaccesstoken;
CREATE TRIGGER token_issuer_is_for_good BEFORE UPDATE OF {columns} ON tenants_personalaccesstoken
    FOR EACH ROW WHEN (({old}) IS DISTINCT FROM ({new}))
    EXECUTE FUNCTION tenants_token_issuer_is_for_good();
"""


def of(*columns):
    return TRIGGER.format(
        columns=", ".join(columns),
        old=", ".join(f"OLD.{column}" for column in columns),
        new=", ".join(f"NEW.{column}" for column in columns),
    )


class Migration(migrations.Migration):
    dependencies = [("tenants", "0034_letters_with_strokes_and_circles")]
    operations = [
        migrations.RunSQL(of("user_id", "issued_by_id", "digest", "prefix"), of("user_id", "issued_by_id"))
    ]
