"""Who can act for a service account as a member of its tenant follows from the membership's role.

As in 0004_who_could_act_for_the_requester, which asked for the permissions of the role's group.
"""

from django.db import migrations

DELEGATES = """
CREATE OR REPLACE FUNCTION catalog_delegates_of(asker uuid) RETURNS TABLE (person_id uuid, capacity text)
    LANGUAGE sql STABLE AS $$
    SELECT a.responsible_id, 'responsible' FROM accounts_user a
     WHERE a.id = asker AND a.service_of_id IS NOT NULL AND a.responsible_id IS NOT NULL
    UNION
    SELECT t.issued_by_id, 'issuer' FROM accounts_user a JOIN tenants_personalaccesstoken t ON t.user_id = a.id
     WHERE a.id = asker AND a.service_of_id IS NOT NULL AND t.issued_by_id <> a.id
       AND t.revoked_at IS NULL AND t.expires_at > now()
    UNION
    SELECT p.id, 'manager' FROM accounts_user a
      JOIN tenants_membership m ON m.tenant_id = a.service_of_id AND tenants_role_makes_tokens(m.role)
      JOIN accounts_user p ON p.id = m.user_id AND p.service_of_id IS NULL
     WHERE a.id = asker AND a.service_of_id IS NOT NULL
    UNION
    SELECT p.id, 'staff' FROM accounts_user a CROSS JOIN accounts_user p
     WHERE a.id = asker AND a.service_of_id IS NOT NULL AND p.service_of_id IS NULL
       AND (p.is_superuser OR p.is_staff AND (EXISTS (
        SELECT FROM accounts_user_groups g
          JOIN auth_group_permissions gp ON gp.group_id = g.group_id
          JOIN auth_permission d ON d.id = gp.permission_id
         WHERE g.user_id = p.id AND d.codename IN ('manage_tokens', 'manage_service_accounts')) OR EXISTS (
        SELECT FROM accounts_user_user_permissions u JOIN auth_permission d ON d.id = u.permission_id
         WHERE u.user_id = p.id AND d.codename IN ('manage_tokens', 'manage_service_accounts'))))
    UNION
    SELECT e.opened_by_id, 'emergency' FROM accounts_user a JOIN tenants_emergencyaccess e ON e.tenant_id = a.service_of_id
     WHERE a.id = asker AND e.ended_at IS NULL AND e.expires_at > now()
$$;
"""

WHILE_OPEN = """
CREATE OR REPLACE FUNCTION catalog_note_new_delegates() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'tenants_personalaccesstoken' THEN
        PERFORM catalog_keep_delegate(NEW.issued_by_id, 'issuer', NULL, NEW.user_id);
    ELSIF TG_TABLE_NAME = 'tenants_emergencyaccess' THEN
        PERFORM catalog_keep_delegate(NEW.opened_by_id, 'emergency', NEW.tenant_id, NULL);
    ELSIF TG_TABLE_NAME = 'tenants_membership' THEN
        PERFORM catalog_keep_delegate(NEW.user_id, 'manager', NEW.tenant_id, NULL)
          WHERE tenants_role_makes_tokens(NEW.role);
    ELSIF TG_TABLE_NAME = 'accounts_user_groups' THEN
        PERFORM catalog_keep_delegate(NEW.user_id, 'staff', NULL, NULL)
          WHERE EXISTS (SELECT FROM auth_group_permissions gp JOIN auth_permission d ON d.id = gp.permission_id
                         WHERE gp.group_id = NEW.group_id AND d.codename IN ('manage_tokens', 'manage_service_accounts'));
    ELSIF NEW.service_of_id IS NOT NULL THEN
        PERFORM catalog_keep_delegate(NEW.responsible_id, 'responsible', NULL, NEW.id);
    ELSE
        PERFORM catalog_keep_delegate(NEW.id, 'staff', NULL, NULL)
          WHERE NEW.is_superuser OR EXISTS (
            SELECT FROM accounts_user_groups g JOIN auth_group_permissions gp ON gp.group_id = g.group_id
              JOIN auth_permission d ON d.id = gp.permission_id
             WHERE g.user_id = NEW.id AND d.codename IN ('manage_tokens', 'manage_service_accounts'));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER membership_notes_delegates AFTER INSERT ON tenants_membership
    FOR EACH ROW EXECUTE FUNCTION catalog_note_new_delegates();
CREATE TRIGGER membership_changed_notes_delegates AFTER UPDATE OF tenant_id, user_id, role ON tenants_membership
    FOR EACH ROW EXECUTE FUNCTION catalog_note_new_delegates();
"""

# In a tenant, rows of django-guardian give no permission any more.
BY_PERMISSIONS = """
DROP TRIGGER rights_note_delegates_insert ON guardian_groupobjectpermission;
DROP TRIGGER rights_note_delegates_update ON guardian_groupobjectpermission;

CREATE OR REPLACE FUNCTION catalog_note_delegates_of_rights() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'auth_group_permissions' THEN
        PERFORM catalog_keep_delegate(g.user_id, 'staff', NULL, NULL)
           FROM fresh f JOIN accounts_user_groups g ON g.group_id = f.group_id
           JOIN auth_permission d ON d.id = f.permission_id AND d.codename IN ('manage_tokens', 'manage_service_accounts');
    ELSIF TG_TABLE_NAME = 'accounts_user_user_permissions' THEN
        PERFORM catalog_keep_delegate(f.user_id, 'staff', NULL, NULL)
           FROM fresh f JOIN auth_permission d ON d.id = f.permission_id AND d.codename IN ('manage_tokens', 'manage_service_accounts');
    ELSE
        PERFORM catalog_keep_delegate(f.id, 'staff', NULL, NULL) FROM fresh f WHERE f.is_superuser;
    END IF;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0010_facts_have_sources"),
        ("tenants", "0009_roles_say_what_one_may"),
    ]

    operations = [
        migrations.RunSQL(DELEGATES),
        migrations.RunSQL(WHILE_OPEN),
        migrations.RunSQL(BY_PERMISSIONS),
    ]
