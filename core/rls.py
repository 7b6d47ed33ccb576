"""Row-level security: PostgreSQL shows and accepts only rows of the connection's scope (core/scope.py).

After each `migrate`, every table with a `tenant_id` column gets policies. A table whose rows belong to one person,
whatever tenants they mention, gets them if it is named here. The console's database role is a member of
`quartermaster_console`, which owns nothing and may not create, alter or empty a table; it reaches partitions only
through their parent. See docs/isolation.md, and PostgreSQL's chapter "Row Security Policies".
"""

from __future__ import annotations

from typing import Any, Final

from django.apps import AppConfig
from django.db import connections
from psycopg import sql

from core.function_rights import grant_functions

CONSOLE_ROLE: Final = "quartermaster_console"
TENANT_POLICY: Final = "tenant_wall"
OWN: Final = "own_rows"
WRITTEN_ANYWHERE: Final = "written_anywhere"
OUTBOX: Final = "accounts_outboxmessage"
# Tables with a `user_id`: the API's answers to that person, what they are told, and where in a chat.
OF_A_PERSON: Final = ("accounts_idempotencyrecord", OUTBOX, "accounts_chatchannel")

FUNCTIONS: Final = """
-- A person's scope in one statement: the tenants they belong to, or of those the one with this slug.
-- Runs with the rights of whoever calls it; a person's own memberships are visible in their scope.
CREATE OR REPLACE FUNCTION enter_person_scope(person uuid, tenant_slug text, for_transaction boolean)
RETURNS uuid[] LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    belongs_to uuid[];
BEGIN
    PERFORM set_config('quartermaster.tenants', '', for_transaction),
            set_config('quartermaster.person', person::text, for_transaction),
            set_config('jit', 'off', for_transaction);  -- as in core/database/base.py
    SELECT coalesce(array_agg(m.tenant_id ORDER BY m.tenant_id), '{}') INTO belongs_to
      FROM tenants_membership m
     WHERE m.user_id = person
       AND (tenant_slug IS NULL OR m.tenant_id = (SELECT id FROM tenants_tenant WHERE slug = tenant_slug));
    PERFORM set_config('quartermaster.tenants', array_to_string(belongs_to, ','), for_transaction);
    RETURN belongs_to;
END $$;
"""

# PostgreSQL evaluates this once per statement, not once per row, because a sub-select without references is an
# InitPlan. It is not an SQL function: the planner would expand that for each table of each statement, which cost a
# short statement a fifth of its time. A scope that is unset, empty or of another kind is null and matches nothing.
_TENANTS = "current_setting('quartermaster.tenants', true)"
_IS_PLATFORM = f"(SELECT {_TENANTS} = '*')"
# "CASE … END IS NOT NULL" means the same as the OR in it, but the planner assumes that it passes 99.5 % of the rows.
# For the OR it assumes a hundredth, for every table again, and so plans for far too few rows (docs/decisions/0019).
_PASSES = "CASE WHEN {} THEN true END IS NOT NULL"
_INSIDE = (
    f"{_IS_PLATFORM} OR {{}} = ANY "
    f"((SELECT string_to_array(nullif(nullif({_TENANTS}, ''), '*'), ',')::uuid[])::uuid[])"
)
_MINE = "user_id = (SELECT nullif(current_setting('quartermaster.person', true), '')::uuid)"


def policies(table: str) -> dict[str, str]:
    """The policies of a table by name, each as the text after `CREATE POLICY name ON table`."""
    if table == "tenants_tenant":
        own = f"FOR SELECT USING (id IN (SELECT tenant_id FROM tenants_membership WHERE {_MINE}))"
        return {TENANT_POLICY: f"USING ({_PASSES.format(_INSIDE.format('id'))})", OWN: own}
    if table in OF_A_PERSON:
        found = {TENANT_POLICY: f"USING ({_PASSES.format(f'{_IS_PLATFORM} OR {_MINE}')})"}
        # Anybody's action may tell somebody; only they, and whoever sends it, read it.
        return found | ({WRITTEN_ANYWHERE: "FOR INSERT WITH CHECK (true)"} if table == OUTBOX else {})
    inside = _PASSES.format(_INSIDE.format("tenant_id"))
    found = {TENANT_POLICY: f"USING ({inside})"}
    # An action of no tenant can be recorded from any scope.
    if table == "audit_auditentry":
        found[WRITTEN_ANYWHERE] = "FOR INSERT WITH CHECK (tenant_id IS NULL)"
    if table == "tenants_membership":
        found[OWN] = f"FOR SELECT USING ({_MINE})"
    if table == "tenants_projectrole":
        # Otherwise a role that is narrower than the tenant's would be overlooked outside the tenant's scope.
        mine = f"SELECT id FROM tenants_membership WHERE {_MINE}"
        found[OWN] = f"FOR SELECT USING (membership_id IN ({mine}))"
    if table == "tenants_personalaccesstoken":
        found[OWN] = f"USING ({_MINE})"
    return found


def install_policies(sender: AppConfig | None = None, using: str = "default", **kwargs: Any) -> None:
    """Give every tenant table its policies and the console's role its rights. Runs after each migrate; safe to repeat.

    Existing policies are not touched, so that a repeated migrate takes no lock. Only the owner of the tables can
    migrate; for any other role, such as the console's role running `flush`, this does nothing.
    """
    with connections[using].cursor() as cursor:
        if not _owns_the_tables(cursor):
            return
        _make_role(cursor)
        cursor.execute(FUNCTIONS)
        for table in [*protected_tables(cursor), *_tables_of_a_person(cursor)]:
            _install_policy(cursor, table)
        cursor.execute(GRANTS)
        grant_functions(cursor, CONSOLE_ROLE)


def protected_tables(cursor: Any) -> list[str]:
    """Tables that hold rows of tenants, without partitions: those with a `tenant_id`, and the tenants themselves."""
    cursor.execute(
        """
        SELECT c.relname FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND (c.relname = 'tenants_tenant' OR EXISTS (
                SELECT FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
         ORDER BY 1
        """
    )
    return [name for (name,) in cursor.fetchall()]


def _tables_of_a_person(cursor: Any) -> list[str]:
    """Tables of a person that already exist; `migrate` can stop at an earlier state."""
    cursor.execute(
        "SELECT name FROM unnest(%s::text[]) name WHERE to_regclass(name) IS NOT NULL", [[*OF_A_PERSON]]
    )
    return [name for (name,) in cursor.fetchall()]


def _owns_the_tables(cursor: Any) -> bool:
    cursor.execute(
        "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('tenants_tenant')"
    )
    row = cursor.fetchone()
    return bool(row and row[0])


def _make_role(cursor: Any) -> None:
    """Make the role that holds the console's rights, unless it exists. It cannot sign in by itself."""
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [CONSOLE_ROLE])
    if cursor.fetchone() is None:
        # Two databases on one server may migrate at once.
        cursor.execute(
            f"DO $$ BEGIN CREATE ROLE {CONSOLE_ROLE} NOLOGIN; "
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )


def _install_policy(cursor: Any, table: str) -> None:
    name = sql.Identifier(table)
    cursor.execute("SELECT relrowsecurity FROM pg_class WHERE oid = %s::regclass", [f'"{table}"'])
    if not cursor.fetchone()[0]:
        cursor.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(name))
    cursor.execute(
        "SELECT polname, obj_description(oid, 'pg_policy') FROM pg_policy WHERE polrelid = %s::regclass",
        [f'"{table}"'],
    )
    installed = dict(cursor.fetchall())
    wanted = policies(table)
    for policy in installed.keys() - wanted.keys():
        cursor.execute(sql.SQL("DROP POLICY {} ON {}").format(sql.Identifier(policy), name))
    for policy, body in wanted.items():
        if installed.get(policy) == body:
            continue
        where = {"policy": sql.Identifier(policy), "table": name}
        cursor.execute(sql.SQL("DROP POLICY IF EXISTS {policy} ON {table}").format(**where))
        cursor.execute(
            sql.SQL("CREATE POLICY {policy} ON {table} {body}").format(body=sql.SQL(body), **where)
        )
        cursor.execute(
            sql.SQL("COMMENT ON POLICY {policy} ON {table} IS {body}").format(body=sql.Literal(body), **where)
        )


GRANTS: Final = f"""
DO $$
DECLARE
    found record;
BEGIN
    GRANT USAGE ON SCHEMA public TO {CONSOLE_ROLE};
    -- Databases of before PostgreSQL 15 let everybody create here: a function there could stand in for one of ours.
    REVOKE CREATE ON SCHEMA public FROM PUBLIC, {CONSOLE_ROLE};
    FOR found IN
        SELECT c.oid::regclass AS name, c.relkind, c.relispartition, fixed.rights AS fixed_rights,
               EXISTS (SELECT FROM pg_trigger t
                        WHERE t.tgrelid = c.oid AND t.tgfoid = to_regproc('refuse_change')
                          AND t.tgqual IS NULL AND t.tgtype & 24 = 24) AS only_grows
          FROM pg_class c
          LEFT JOIN (VALUES  -- all else happens to the audit log through functions, which ask for a record of it
              ('audit_auditentry', 'SELECT, INSERT'), ('audit_auditcheckpoint', 'SELECT, INSERT'),
              ('audit_auditpending', 'SELECT, DELETE'), ('audit_auditredaction', 'SELECT'),
              ('audit_auditpruning', 'SELECT'),
              -- Who may do what by which name: `migrate` writes it. The console puts people into groups, and erases.
              ('auth_permission', 'SELECT'), ('django_content_type', 'SELECT'), ('auth_group_permissions', 'SELECT'),
              ('accounts_user_user_permissions', 'SELECT, DELETE'),
              -- The right of one person on one object, as on a review scope.
              ('guardian_userobjectpermission', 'SELECT, INSERT, DELETE')
          ) fixed (relname, rights) ON fixed.relname = c.relname
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
    LOOP
        IF found.relkind = 'S' THEN
            EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE %s TO {CONSOLE_ROLE}', found.name);
        ELSIF found.relkind = 'v' THEN
            -- A view reads as its owner, past every policy, unless it is told to read as whoever asks.
            EXECUTE format('ALTER VIEW %s SET (security_invoker = on)', found.name);
            EXECUTE format('GRANT SELECT ON %s TO {CONSOLE_ROLE}', found.name);
        ELSIF found.relispartition THEN
            EXECUTE format('REVOKE ALL ON %s FROM {CONSOLE_ROLE}', found.name);
        ELSIF found.name = 'django_migrations'::regclass THEN
            EXECUTE format('GRANT SELECT ON %s TO {CONSOLE_ROLE}', found.name);
        ELSIF found.fixed_rights IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON %s FROM {CONSOLE_ROLE}', found.name);
            EXECUTE format('GRANT %s ON %s TO {CONSOLE_ROLE}', found.fixed_rights, found.name);
        ELSIF found.only_grows THEN
            EXECUTE format('REVOKE ALL ON %s FROM {CONSOLE_ROLE}', found.name);
            EXECUTE format('GRANT SELECT, INSERT ON %s TO {CONSOLE_ROLE}', found.name);
        ELSE
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO {CONSOLE_ROLE}', found.name);
        END IF;
    END LOOP;
END $$
"""
