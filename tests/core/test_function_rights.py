"""Functions that run with their owner's rights are called by whom they are for, and find what they mean."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from core.function_rights import FOR_THE_CONSOLE, grant_functions
from core.rls import CONSOLE_ROLE, install_policies

pytestmark = pytest.mark.django_db

OF_EXTENSIONS = "SELECT objid FROM pg_depend WHERE classid = 'pg_proc'::regclass AND deptype = 'e'"
PUBLIC_MAY = """
EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')
"""


def names(condition):
    """The functions of every schema but PostgreSQL's own and the extensions' of which this is true."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
               AND p.oid NOT IN ({OF_EXTENSIONS}) AND ({condition}) ORDER BY 1
            """
        )
        return [name for (name,) in cursor.fetchall()]


def test_nobody_else_may_call_what_runs_with_its_owners_rights():
    assert len(names("p.prosecdef")) >= 15
    assert names(f"p.prosecdef AND {PUBLIC_MAY}") == []


def test_no_function_of_ours_is_everybodys():
    assert names(PUBLIC_MAY) == []


def test_each_finds_our_tables_before_temporary_ones():
    pinned = "coalesce('search_path=public, pg_temp' = ANY (p.proconfig), false)"
    assert names(f"NOT {pinned}") == []


def test_the_console_may_call_what_it_needs_and_no_guard():
    console = f"has_function_privilege('{CONSOLE_ROLE}', p.oid, 'EXECUTE')"
    assert tuple(names(f"p.prosecdef AND {console}")) == FOR_THE_CONSOLE
    assert names(f"p.prorettype = 'trigger'::regtype AND {console}") == []


@pytest.mark.parametrize(
    "call",
    ["catalog_reviewer_is_not_requester()", "audit_guard_update()", "audit_pending_until_checkpoint()"],
)
def test_the_console_cannot_put_a_guard_on_a_table_of_its_own(call):
    """Otherwise a temporary table would make the guard do its work for rows of the console's choice."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE mine (id uuid)")
        with pytest.raises(ProgrammingError, match="permission denied for function"), transaction.atomic():
            cursor.execute(f"CREATE TRIGGER t BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION {call}")


@pytest.mark.as_owner
def test_a_function_of_a_later_migration_is_caught():
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION later(the_tenant uuid) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS "
            "'SELECT count(*) FROM tenants_project WHERE tenant_id = the_tenant'"
        )
        assert names(f"p.prosecdef AND {PUBLIC_MAY}") == ["later"]
        install_policies()
        assert names(f"p.prosecdef AND {PUBLIC_MAY}") == []
        assert (
            names(f"p.proname = 'later' AND has_function_privilege('{CONSOLE_ROLE}', p.oid, 'EXECUTE')") == []
        )
        # Which the test above names.
        assert names("p.prosecdef AND p.proconfig IS NULL") == ["later"]


@pytest.mark.as_owner
def test_nobody_makes_a_function_that_stands_in_for_one_of_ours():
    """Databases that were made before PostgreSQL 15 let everybody create in the schema `public`."""
    with connection.cursor() as cursor:
        cursor.execute(f"GRANT CREATE ON SCHEMA public TO PUBLIC, {CONSOLE_ROLE}")
        install_policies()
        cursor.execute("SELECT has_schema_privilege(%s, 'public', 'CREATE')", [CONSOLE_ROLE])
        assert cursor.fetchone() == (False,)


@pytest.mark.as_owner
def test_granting_again_changes_nothing():
    rights = (
        "SELECT proname, proacl::text, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"{rights} ORDER BY oid")
        before = cursor.fetchall()
        grant_functions(cursor, CONSOLE_ROLE)
        cursor.execute(f"{rights} ORDER BY oid")
        assert cursor.fetchall() == before
