"""Rows from before scopes, owners and appointments existed say what was true of them."""

from django.db import migrations

FORWARDS = """
UPDATE tenants_personalaccesstoken SET scopes = ARRAY['read', 'requests', 'keys', 'costs', 'manage', 'platform']
 WHERE scopes = '{}';
UPDATE tenants_apikey SET owner_id = coalesce(claimed_by_id, created_for_id) WHERE owner_id IS NULL;
INSERT INTO tenants_staffappointment (id, user_id, role, source, created_at)
SELECT gen_random_uuid(), m.user_id, g.name, 'person', now()
  FROM tenants_user_groups m
  JOIN auth_group g ON g.id = m.group_id
 WHERE g.name IN ('operator', 'security-reviewer', 'compliance-reviewer', 'cost-reviewer', 'controller', 'auditor')
    ON CONFLICT DO NOTHING;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_who_is_let_in")]
    operations = [migrations.RunSQL(FORWARDS, migrations.RunSQL.noop)]
