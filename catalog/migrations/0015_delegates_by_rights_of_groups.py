"""Somebody who can act for a program because rights were given, to their group or to themselves, is written down too.

So is a superuser who is made while a request is open. A token or emergency access that was alive at any moment since it
was asked bars its person by its own row, also where two transactions did not see each other.
"""

from django.db import migrations

MAY_MAKE_TOKENS = "('manage_tokens', 'manage_service_accounts')"

PEOPLE = """
CREATE OR REPLACE FUNCTION catalog_delegates_of(asker uuid) RETURNS TABLE (person_id uuid, capacity text)
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
      JOIN auth_permission d ON d.id = o.permission_id AND d.codename IN {deeds}
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
         WHERE g.user_id = p.id AND d.codename IN {deeds}){own}))
    UNION
    SELECT e.opened_by_id, 'emergency' FROM accounts_user a JOIN tenants_emergencyaccess e ON e.tenant_id = a.service_of_id
     WHERE a.id = asker AND e.ended_at IS NULL AND e.expires_at > now()
$$;
"""
OWN = """ OR EXISTS (
        SELECT FROM accounts_user_user_permissions u JOIN auth_permission d ON d.id = u.permission_id
         WHERE u.user_id = p.id AND d.codename IN {deeds})"""

RIGHTS = """
CREATE FUNCTION catalog_note_delegates_of_rights() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'guardian_groupobjectpermission' THEN
        PERFORM catalog_keep_delegate(g.user_id, 'manager', f.object_pk::uuid, NULL)
           FROM fresh f JOIN accounts_user_groups g ON g.group_id = f.group_id
           JOIN auth_permission d ON d.id = f.permission_id AND d.codename IN {deeds}
           JOIN django_content_type c ON c.id = f.content_type_id AND c.app_label = 'tenants' AND c.model = 'tenant';
    ELSIF TG_TABLE_NAME = 'auth_group_permissions' THEN
        PERFORM catalog_keep_delegate(g.user_id, 'staff', NULL, NULL)
           FROM fresh f JOIN accounts_user_groups g ON g.group_id = f.group_id
           JOIN auth_permission d ON d.id = f.permission_id AND d.codename IN {deeds};
    ELSIF TG_TABLE_NAME = 'accounts_user_user_permissions' THEN
        PERFORM catalog_keep_delegate(f.user_id, 'staff', NULL, NULL)
           FROM fresh f JOIN auth_permission d ON d.id = f.permission_id AND d.codename IN {deeds};
    ELSE
        PERFORM catalog_keep_delegate(f.id, 'staff', NULL, NULL) FROM fresh f WHERE f.is_superuser;
    END IF;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION catalog_note_delegates_of_rights() FROM PUBLIC;
"""
TABLES = {
    "guardian_groupobjectpermission": ("INSERT", "UPDATE"),
    "auth_group_permissions": ("INSERT", "UPDATE"),
    "accounts_user_user_permissions": ("INSERT", "UPDATE"),
    "accounts_user": ("INSERT",),
}
TRIGGER = """
CREATE TRIGGER rights_note_delegates_{when} AFTER {event} ON {table} REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION catalog_note_delegates_of_rights();
"""
NO_TRIGGER = "DROP TRIGGER rights_note_delegates_{when} ON {table};\n"

ALIVE_SINCE = """
CREATE FUNCTION catalog_acted_since(q catalog_accessrequest, person uuid) RETURNS boolean LANGUAGE sql STABLE
    SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM accounts_user a WHERE a.id = q.requested_by_id AND a.service_of_id IS NOT NULL) AND (
        EXISTS (SELECT FROM tenants_personalaccesstoken t
                 WHERE t.user_id = q.requested_by_id AND t.issued_by_id = person
                   AND least(t.revoked_at, t.expires_at) >= q.created_at)
        OR EXISTS (SELECT FROM tenants_emergencyaccess e
                    WHERE e.tenant_id = q.tenant_id AND e.opened_by_id = person
                      AND least(e.ended_at, e.expires_at) >= q.created_at))
$$;
REVOKE ALL ON FUNCTION catalog_acted_since(catalog_accessrequest, uuid) FROM PUBLIC;

CREATE FUNCTION catalog_nobody_decides_for_their_program() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM catalog_review r JOIN catalog_accessrequest q ON q.id = r.access_request_id
         WHERE r.id = NEW.review_id AND catalog_acted_since(q, NEW.reviewer_id))
    THEN
        RAISE EXCEPTION 'four eyes: who could act for the service account that asked may not review it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_four_eyes';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION catalog_nobody_decides_for_their_program() FROM PUBLIC;
CREATE TRIGGER review_decision_of_no_program BEFORE INSERT ON catalog_reviewdecision
    FOR EACH ROW EXECUTE FUNCTION catalog_nobody_decides_for_their_program();
"""
NOT_ALIVE_SINCE = """
DROP TRIGGER review_decision_of_no_program ON catalog_reviewdecision;
DROP FUNCTION catalog_nobody_decides_for_their_program();
DROP FUNCTION catalog_acted_since(catalog_accessrequest, uuid);
"""


def people(own: str) -> str:
    return PEOPLE.format(deeds=MAY_MAKE_TOKENS, own=own.format(deeds=MAY_MAKE_TOKENS))


def each_trigger(statement: str) -> str:
    return "".join(
        statement.format(table=table, event=event, when=event.lower())
        for table, events in TABLES.items()
        for event in events
    )


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0014_who_could_act_since_approved_nothing"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [
        migrations.RunSQL(people(OWN), people("")),
        migrations.RunSQL(
            RIGHTS.format(deeds=MAY_MAKE_TOKENS), "DROP FUNCTION catalog_note_delegates_of_rights()"
        ),
        migrations.RunSQL(each_trigger(TRIGGER), each_trigger(NO_TRIGGER)),
        migrations.RunSQL(ALIVE_SINCE, NOT_ALIVE_SINCE),
    ]
