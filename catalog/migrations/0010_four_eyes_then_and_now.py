"""Four eyes count who could act for the asker when it asked, while the request was open, and now.

Triggers write these people down for every request of a service account: as it is made, and as somebody gains a token,
a role or the account's care while it is open. Whoever is written down, or could act for the asker now, decides nothing.
The rows stay. Of requests that are open already, today's people are filled in, and those whom the audit trail names.
"""

from django.db import migrations

PEOPLE = """
-- Who could act for a service account at this moment, and why; nobody for a person. Runs with its caller's rights: the
-- triggers below are the tables' owner, whom no policy hides anything from.
CREATE FUNCTION catalog_delegates_of(asker uuid) RETURNS TABLE (person_id uuid, capacity text)
    LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
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
     WHERE a.id = asker AND a.service_of_id IS NOT NULL AND (p.is_superuser OR p.is_staff AND EXISTS (
        SELECT FROM accounts_user_groups g
          JOIN auth_group_permissions gp ON gp.group_id = g.group_id
          JOIN auth_permission d ON d.id = gp.permission_id
         WHERE g.user_id = p.id AND d.codename IN ('manage_tokens', 'manage_service_accounts')))
    UNION
    SELECT e.opened_by_id, 'emergency' FROM accounts_user a JOIN tenants_emergencyaccess e ON e.tenant_id = a.service_of_id
     WHERE a.id = asker AND e.ended_at IS NULL AND e.expires_at > now()
$$;

-- Write down that a person can act for the askers of open requests: of a tenant, of one account, or of all.
CREATE FUNCTION catalog_keep_delegate(person uuid, as_what text, of_tenant uuid, of_account uuid) RETURNS void
    LANGUAGE sql SET search_path = public, pg_temp AS $$
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
OF_BEFORE = """
INSERT INTO catalog_requestdelegate (id, tenant_id, access_request_id, person_id, capacity, created_at)
SELECT gen_random_uuid(), q.tenant_id, q.id, d.person_id, d.capacity, now()
  FROM catalog_accessrequest q CROSS JOIN LATERAL catalog_delegates_of(q.requested_by_id) d
 WHERE q.state = 'pending';
INSERT INTO catalog_requestdelegate (id, tenant_id, access_request_id, person_id, capacity, created_at)
SELECT gen_random_uuid(), q.tenant_id, q.id, found.person_id, found.capacity, now()
  FROM catalog_accessrequest q
  JOIN accounts_user a ON a.id = q.requested_by_id AND a.service_of_id IS NOT NULL
 CROSS JOIN LATERAL (
    SELECT t.issued_by_id AS person_id, 'issuer' AS capacity FROM tenants_personalaccesstoken t
     WHERE t.user_id = a.id AND t.issued_by_id <> a.id AND coalesce(t.revoked_at, t.expires_at) >= q.created_at
    UNION
    SELECT p.id, 'manager' FROM audit_auditentry e JOIN accounts_user p ON p.email = e.details ->> 'user'
     WHERE e.tenant_id = q.tenant_id AND e.at >= q.created_at AND p.service_of_id IS NULL
       AND e.verb IN ('membership.left', 'membership.removed', 'membership.changed')
       AND e.changes -> 'role' ->> 0 IN ('owner', 'admin')
    UNION
    SELECT p.id, 'responsible' FROM audit_auditentry e
      JOIN accounts_user p ON p.email = e.changes -> 'responsible' ->> 0
     WHERE e.subject_id = a.id::text AND e.at >= q.created_at
       AND e.verb IN ('service_account.handed_over', 'service_account.enabled')
 ) found
 WHERE q.state = 'pending'
    ON CONFLICT DO NOTHING;
"""
WRITTEN_DOWN = """
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
CREATE TRIGGER emergency_access_notes_delegates AFTER INSERT ON tenants_emergencyaccess
    FOR EACH ROW EXECUTE FUNCTION catalog_note_new_delegates();
CREATE TRIGGER group_notes_delegates AFTER INSERT ON accounts_user_groups
    FOR EACH ROW EXECUTE FUNCTION catalog_note_new_delegates();
CREATE TRIGGER person_notes_delegates AFTER UPDATE OF responsible_id, is_superuser, is_staff ON accounts_user
    FOR EACH ROW WHEN (NEW.responsible_id IS DISTINCT FROM OLD.responsible_id
        OR NEW.is_superuser AND NOT OLD.is_superuser OR NEW.is_staff AND NOT OLD.is_staff)
    EXECUTE FUNCTION catalog_note_new_delegates();

CREATE TRIGGER request_delegate_append_only BEFORE UPDATE OR DELETE ON catalog_requestdelegate
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""
UNWRITTEN = """
DROP TRIGGER request_delegate_append_only ON catalog_requestdelegate;
DROP TRIGGER person_notes_delegates ON accounts_user;
DROP TRIGGER group_notes_delegates ON accounts_user_groups;
DROP TRIGGER emergency_access_notes_delegates ON tenants_emergencyaccess;
DROP TRIGGER token_notes_delegates ON tenants_personalaccesstoken;
DROP FUNCTION catalog_note_new_delegates();
DROP TRIGGER access_request_notes_delegates ON catalog_accessrequest;
DROP FUNCTION catalog_note_delegates();
"""
OF_THE_TRIGGERS = [
    "catalog_note_delegates()",
    "catalog_note_new_delegates()",
    "catalog_keep_delegate(uuid, text, uuid, uuid)",
    "catalog_delegates_of(uuid)",
]


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0009_decisions_stand_on_facts"),
        ("tenants", "0002_rules_of_rows"),
        ("audit", "0002_append_only"),
        ("guardian", "0002_generic_permissions_index"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [
        migrations.RunSQL(
            PEOPLE,
            "DROP FUNCTION catalog_keep_delegate(uuid, text, uuid, uuid); DROP FUNCTION catalog_delegates_of(uuid)",
        ),
        migrations.RunSQL(OF_BEFORE, migrations.RunSQL.noop),
        migrations.RunSQL(WRITTEN_DOWN, UNWRITTEN),
        *(
            migrations.RunSQL(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC", migrations.RunSQL.noop)
            for name in OF_THE_TRIGGERS
        ),
    ]
