"""Who could act for the service account that asks for access: when it asked, and while its request is open.

Triggers note these people as delegates of the request, whoever writes, superusers and raw SQL included. A delegate
decides nothing about the request (0005_four_eyes), and an approval by a delegate does not count
(0006_states_follow_decisions). People ask for themselves: their requests have no delegates.

Two permissions allow a person to make tokens of a service account, and so to act for it: `manage_tokens` and
`manage_service_accounts`.
"""

from django.db import migrations

# The question, and the note. Both run with their caller's rights: the triggers below run as the owner of the tables,
# from whom row-level security hides nothing.
DELEGATES = """
-- Who can act for a service account at this moment, and in which capacity. Empty for a person.
CREATE FUNCTION catalog_delegates_of(asker uuid) RETURNS TABLE (person_id uuid, capacity text)
    LANGUAGE sql STABLE AS $$
    SELECT a.responsible_id, 'responsible' FROM accounts_user a
     WHERE a.id = asker AND a.service_of_id IS NOT NULL AND a.responsible_id IS NOT NULL
    UNION
    SELECT t.issued_by_id, 'issuer' FROM accounts_user a JOIN tenants_personalaccesstoken t ON t.user_id = a.id
     WHERE a.id = asker AND a.service_of_id IS NOT NULL AND t.issued_by_id <> a.id
       AND t.revoked_at IS NULL AND t.expires_at > now()
    UNION
    SELECT p.id, 'manager' FROM accounts_user a
      JOIN guardian_groupobjectpermission o ON o.object_pk = a.service_of_id::text
      JOIN django_content_type c ON c.id = o.content_type_id AND c.app_label = 'tenants' AND c.model = 'tenant'
      JOIN auth_permission d ON d.id = o.permission_id AND d.codename IN ('manage_tokens', 'manage_service_accounts')
      JOIN accounts_user_groups g ON g.group_id = o.group_id
      JOIN accounts_user p ON p.id = g.user_id AND p.service_of_id IS NULL
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

-- Note a person as a delegate of open requests: of one tenant, of one service account, or of all where these are NULL.
CREATE FUNCTION catalog_keep_delegate(person uuid, as_what text, of_tenant uuid, of_account uuid) RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO catalog_requestdelegate (id, tenant_id, access_request_id, person_id, capacity, created_at)
    SELECT gen_random_uuid(), q.tenant_id, q.id, p.id, as_what, now()
      FROM catalog_accessrequest q
      JOIN accounts_user a ON a.id = q.requested_by_id AND a.service_of_id IS NOT NULL
      JOIN accounts_user p ON p.id = person AND p.service_of_id IS NULL
     WHERE q.state = 'pending' AND (of_tenant IS NULL OR q.tenant_id = of_tenant)
       AND (of_account IS NULL OR a.id = of_account)
        ON CONFLICT DO NOTHING
$$;
"""

# A request starts with everyone who can act for its requester when it is made.
AT_THE_REQUEST = """
CREATE FUNCTION catalog_note_delegates() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO catalog_requestdelegate (id, tenant_id, access_request_id, person_id, capacity, created_at)
    SELECT gen_random_uuid(), NEW.tenant_id, NEW.id, d.person_id, d.capacity, now()
      FROM catalog_delegates_of(NEW.requested_by_id) d
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER access_request_notes_delegates AFTER INSERT ON catalog_accessrequest
    FOR EACH ROW EXECUTE FUNCTION catalog_note_delegates();
"""

# While requests are open, whoever gains a token, emergency access, a group, a service account to answer for, or staff
# status becomes a delegate. A changed row counts like a new one: a token that works again, emergency access that is
# open again, a group membership that passes to someone else.
WHILE_OPEN = """
CREATE FUNCTION catalog_note_new_delegates() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'tenants_personalaccesstoken' THEN
        PERFORM catalog_keep_delegate(NEW.issued_by_id, 'issuer', NULL, NEW.user_id);
    ELSIF TG_TABLE_NAME = 'tenants_emergencyaccess' THEN
        PERFORM catalog_keep_delegate(NEW.opened_by_id, 'emergency', NEW.tenant_id, NULL);
    ELSIF TG_TABLE_NAME = 'accounts_user_groups' THEN
        PERFORM catalog_keep_delegate(NEW.user_id, 'manager', o.object_pk::uuid, NULL)
           FROM guardian_groupobjectpermission o
           JOIN auth_permission d ON d.id = o.permission_id AND d.codename IN ('manage_tokens', 'manage_service_accounts')
           JOIN django_content_type c ON c.id = o.content_type_id AND c.app_label = 'tenants' AND c.model = 'tenant'
          WHERE o.group_id = NEW.group_id;
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

CREATE TRIGGER token_notes_delegates AFTER INSERT ON tenants_personalaccesstoken
    FOR EACH ROW EXECUTE FUNCTION catalog_note_new_delegates();
CREATE TRIGGER token_revived_notes_delegates AFTER UPDATE OF revoked_at, expires_at ON tenants_personalaccesstoken
    FOR EACH ROW WHEN (NEW.revoked_at IS NULL
        AND (OLD.revoked_at IS NOT NULL OR NEW.expires_at > OLD.expires_at))
    EXECUTE FUNCTION catalog_note_new_delegates();

CREATE TRIGGER emergency_access_notes_delegates AFTER INSERT ON tenants_emergencyaccess
    FOR EACH ROW EXECUTE FUNCTION catalog_note_new_delegates();
CREATE TRIGGER emergency_access_changed_notes_delegates AFTER UPDATE ON tenants_emergencyaccess
    FOR EACH ROW WHEN (NEW.ended_at IS NULL
        AND (OLD.opened_by_id, OLD.tenant_id, OLD.expires_at, OLD.ended_at)
            IS DISTINCT FROM (NEW.opened_by_id, NEW.tenant_id, NEW.expires_at, NEW.ended_at))
    EXECUTE FUNCTION catalog_note_new_delegates();

CREATE TRIGGER group_notes_delegates AFTER INSERT ON accounts_user_groups
    FOR EACH ROW EXECUTE FUNCTION catalog_note_new_delegates();
CREATE TRIGGER group_changed_notes_delegates AFTER UPDATE ON accounts_user_groups
    FOR EACH ROW EXECUTE FUNCTION catalog_note_new_delegates();

CREATE TRIGGER person_notes_delegates AFTER UPDATE OF responsible_id, is_superuser, is_staff ON accounts_user
    FOR EACH ROW WHEN (NEW.responsible_id IS DISTINCT FROM OLD.responsible_id
        OR NEW.is_superuser AND NOT OLD.is_superuser OR NEW.is_staff AND NOT OLD.is_staff)
    EXECUTE FUNCTION catalog_note_new_delegates();
"""

# While requests are open, whoever is given one of the two permissions becomes a delegate: in a tenant by their group, as
# staff by their group or in person. So does a new superuser.
BY_PERMISSIONS = """
CREATE FUNCTION catalog_note_delegates_of_rights() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'guardian_groupobjectpermission' THEN
        PERFORM catalog_keep_delegate(g.user_id, 'manager', f.object_pk::uuid, NULL)
           FROM fresh f JOIN accounts_user_groups g ON g.group_id = f.group_id
           JOIN auth_permission d ON d.id = f.permission_id AND d.codename IN ('manage_tokens', 'manage_service_accounts')
           JOIN django_content_type c ON c.id = f.content_type_id AND c.app_label = 'tenants' AND c.model = 'tenant';
    ELSIF TG_TABLE_NAME = 'auth_group_permissions' THEN
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

CREATE TRIGGER rights_note_delegates_insert AFTER INSERT ON guardian_groupobjectpermission
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION catalog_note_delegates_of_rights();
CREATE TRIGGER rights_note_delegates_update AFTER UPDATE ON guardian_groupobjectpermission
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION catalog_note_delegates_of_rights();
CREATE TRIGGER rights_note_delegates_insert AFTER INSERT ON auth_group_permissions
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION catalog_note_delegates_of_rights();
CREATE TRIGGER rights_note_delegates_update AFTER UPDATE ON auth_group_permissions
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION catalog_note_delegates_of_rights();
CREATE TRIGGER rights_note_delegates_insert AFTER INSERT ON accounts_user_user_permissions
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION catalog_note_delegates_of_rights();
CREATE TRIGGER rights_note_delegates_update AFTER UPDATE ON accounts_user_user_permissions
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION catalog_note_delegates_of_rights();
CREATE TRIGGER rights_note_delegates_insert AFTER INSERT ON accounts_user
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION catalog_note_delegates_of_rights();
"""

# Who is noted stays noted, also after losing the token, the group or the permission.
KEPT = """
CREATE TRIGGER request_delegate_append_only BEFORE UPDATE OR DELETE ON catalog_requestdelegate
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0001_functions"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("guardian", "0002_generic_permissions_index"),
        ("accounts", "0002_of_tenants"),
        ("tenants", "0005_emergency_access"),
        ("catalog", "0003_rows_of_one_tenant"),
    ]

    operations = [
        migrations.RunSQL(DELEGATES),
        migrations.RunSQL(AT_THE_REQUEST),
        migrations.RunSQL(WHILE_OPEN),
        migrations.RunSQL(BY_PERMISSIONS),
        migrations.RunSQL(KEPT),
    ]
