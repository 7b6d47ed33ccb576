"""A token knows the person who issued it, for good: whoever knows its secret speaks for its owner.

Of tokens of before, the audit trail says who issued them; where it does not, or says that a service account did, it is
the person who answers for the account. People issue their own.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

OF_BEFORE = """
UPDATE tenants_personalaccesstoken t SET issued_by_id = coalesce(
    (SELECT e.actor_id FROM tenants_auditentry e JOIN tenants_user a ON a.id = e.actor_id
      WHERE e.subject_type = 'tenants.personalaccesstoken' AND e.subject_id = t.id::text
        AND e.verb = 'personal_access_token.issued' AND a.service_of_id IS NULL
      ORDER BY e.at LIMIT 1),
    u.responsible_id)
  FROM tenants_user u WHERE u.id = t.user_id AND u.service_of_id IS NOT NULL;
UPDATE tenants_personalaccesstoken t SET issued_by_id = t.user_id
  FROM tenants_user u WHERE u.id = t.user_id AND u.service_of_id IS NULL;
"""
FOR_GOOD = """
CREATE FUNCTION tenants_token_issuer_is_for_good() RETURNS trigger LANGUAGE plpgsql
    SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'whose a token is, and who issued it, cannot be changed afterwards'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'token_issuer_is_for_good';
END $$;
CREATE TRIGGER token_issuer_is_for_good BEFORE UPDATE OF user_id, issued_by_id ON tenants_personalaccesstoken
    FOR EACH ROW WHEN ((OLD.user_id, OLD.issued_by_id) IS DISTINCT FROM (NEW.user_id, NEW.issued_by_id))
    EXECUTE FUNCTION tenants_token_issuer_is_for_good();
"""
NOT_FOR_GOOD = """
DROP TRIGGER token_issuer_is_for_good ON tenants_personalaccesstoken;
DROP FUNCTION tenants_token_issuer_is_for_good();
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0020_sessions_by_subject")]

    operations = [
        migrations.AddField(
            model_name="personalaccesstoken",
            name="issued_by",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="issued_tokens",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunSQL(OF_BEFORE, migrations.RunSQL.noop),
        migrations.RunSQL(FOR_GOOD, NOT_FOR_GOOD),
    ]
