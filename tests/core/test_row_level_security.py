"""Row-level security: what the database itself shows and takes, with the ORM's filters left out on purpose."""

from __future__ import annotations

import pytest
import structlog
from celery import shared_task
from django.db import DatabaseError, DataError, connection, transaction
from django.db.utils import ProgrammingError

from accounts.models import IdempotencyRecord
from core.database.base import DatabaseWrapper
from core.rls import CONSOLE_ROLE, protected_tables
from core.scope import NOBODY, Scope, person_scope, platform_scope, scoped, tenant_scope
from core.tenant_managers import TenantQuerySet
from exports.tasks import build_export
from tenants.models import ApiKey, Membership, Project, Tenant
from tests.databases import as_owner
from tests.factories import ApiKeyFactory, ProjectFactory
from tests.url_arguments import Lab

pytestmark = pytest.mark.django_db


@pytest.fixture
def full_lab(lab, developer):
    """The lab with one row of everything."""
    filled = Lab(lab, ProjectFactory(tenant=lab, slug="marked", name="lab-marker project"), developer)
    filled.fill_everything()
    return filled


@pytest.fixture
def elsewhere(stranger):
    return Tenant.objects.get(slug="elsewhere")


def rows(sql, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def tables():
    with connection.cursor() as cursor:
        return protected_tables(cursor)


def owner_column(table):
    return "id" if table == "tenants_tenant" else "tenant_id"


def test_the_console_connects_as_a_role_that_owns_nothing():
    assert rows(
        "SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user"
    ) == [(False, False, False)]
    owned = rows(
        "SELECT relname FROM pg_class WHERE pg_has_role(relowner, 'USAGE') AND relpersistence <> 't'"
    )
    assert owned == []


def test_the_console_touches_the_audit_log_only_as_it_must():
    """Whatever else happens to the audit log goes through functions that ask for a record of it."""
    wanted = {
        "audit_auditentry": {"SELECT", "INSERT"},
        "audit_auditcheckpoint": {"SELECT", "INSERT"},
        "audit_auditpending": {"SELECT", "DELETE"},
        "audit_auditredaction": {"SELECT"},
        "audit_auditpruning": {"SELECT"},
    }
    for table, rights in wanted.items():
        held = rows(
            "SELECT one FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) one "
            "WHERE has_table_privilege(%s, one)",
            table,
        )
        assert {right for (right,) in held} == rights, table


def test_every_table_with_a_tenant_has_the_wall():
    open_tables = rows(
        """
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
           AND has_table_privilege(c.oid, 'SELECT')
           AND NOT (c.relrowsecurity AND EXISTS (SELECT FROM pg_policy p
                                                  WHERE p.polrelid = c.oid AND p.polname = 'tenant_wall'))
        """
    )
    assert open_tables == []
    assert len(tables()) >= 18


def test_raw_sql_finds_rows_of_the_scope_alone(full_lab, elsewhere, lab):
    filled = []
    for table in tables():
        column = owner_column(table)
        if rows(f"SELECT count(*) FROM {table} WHERE {column} = %s", lab.pk) == [(0,)]:
            continue
        filled.append(table)
        with tenant_scope(elsewhere.pk):
            assert rows(f"SELECT {column} FROM {table} WHERE {column} = %s", lab.pk) == [], table
            assert all(
                tenant in (elsewhere.pk, None) for (tenant,) in rows(f"SELECT {column} FROM {table}")
            ), table
        with tenant_scope(lab.pk):
            assert {tenant for (tenant,) in rows(f"SELECT {column} FROM {table}")} == {lab.pk}, table
        with scoped(NOBODY):
            assert rows(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert len(filled) >= 14, filled


def test_raw_sql_changes_and_deletes_nothing_outside_the_scope(full_lab, elsewhere, lab):
    with tenant_scope(elsewhere.pk), connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_apikey SET name = 'mine now'")
        assert cursor.rowcount == 0
        cursor.execute("DELETE FROM tenants_limit")
        assert cursor.rowcount == 0
        cursor.execute("UPDATE tenants_tenant SET name = 'renamed' WHERE slug = 'lab'")
        assert cursor.rowcount == 0
    assert not ApiKey.objects.in_tenant(lab).filter(name="mine now").exists()


def test_a_row_cannot_be_put_or_moved_beyond_the_scope(full_lab, elsewhere, lab):
    own = ProjectFactory(tenant=elsewhere)
    with tenant_scope(elsewhere.pk):
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            Project.objects.create(tenant=lab, slug="planted", name="Planted")
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            rows("UPDATE tenants_project SET tenant_id = %s WHERE id = %s RETURNING 1", lab.pk, own.pk)


def test_with_the_orms_filters_dropped_a_stranger_still_finds_nothing(
    client, full_lab, lab, stranger, elsewhere, monkeypatch
):
    """Every list of the portal and the API, with `visible_to` and `in_tenant` answering "everything"."""
    monkeypatch.setattr(TenantQuerySet, "visible_to", lambda rows, user: rows)
    monkeypatch.setattr(TenantQuerySet, "in_tenant", lambda rows, tenant: rows)
    client.force_login(stranger)
    own = ApiKeyFactory(tenant=elsewhere, project=ProjectFactory(tenant=elsewhere), name="own key")
    for page in ("keys/", "requests/", "exports/", "cost/", "members/", "projects/"):
        text = client.get(f"/t/elsewhere/{page}", follow=True).content.decode()
        assert "lab-marker" not in text, page
    assert "own key" in client.get("/t/elsewhere/keys/").content.decode()
    for name in ("projects", "keys", "limits", "access-requests", "grants", "exports"):
        answer = client.get(f"/api/v1/{name}/")
        assert answer.status_code == 200
        assert "lab-marker" not in answer.content.decode(), name
    assert client.get(f"/api/v1/keys/{own.pk}/").status_code == 200
    assert client.get(f"/api/v1/keys/{full_lab.row('tenants.apikey').pk}/").status_code == 404


def test_a_persons_own_memberships_are_theirs_to_see_in_any_scope(lab, developer, owner, elsewhere):
    with scoped(person_scope(developer.pk, [])):
        assert {row.user_id for row in Membership.objects.across_tenants()} == {developer.pk}
        assert [tenant.slug for tenant in Tenant.objects.all()] == ["lab"]
        assert not Project.objects.across_tenants().exists()


def test_what_the_api_answered_to_somebody_is_theirs_alone(lab, developer, owner):
    """It may tell of any tenant of theirs, so that no tenant's scope opens it; theirs does."""
    for person in (developer, owner):
        IdempotencyRecord.objects.create(
            user=person, key="k", digest="", status=201, body={"purpose": "secret"}
        )
    asked = "SELECT user_id FROM accounts_idempotencyrecord"
    with scoped(person_scope(developer.pk, [lab.pk])):
        assert rows(asked) == [(developer.pk,)]
        with connection.cursor() as cursor:
            cursor.execute("UPDATE accounts_idempotencyrecord SET status = 200")
            assert cursor.rowcount == 1
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            IdempotencyRecord.objects.create(user=owner, key="planted", digest="", status=201, body={})
    for scope in (NOBODY, Scope(tenants=(str(lab.pk),))):
        with scoped(scope):
            assert rows(asked) == []
    assert len(rows(asked)) == 2  # the platform's


def test_a_scope_ends_with_its_block_and_survives_a_failed_statement(lab, elsewhere):
    ProjectFactory(tenant=lab)

    def look_and_fail():
        with transaction.atomic(), tenant_scope(lab.pk):
            assert Project.objects.across_tenants().exists()
            rows("SELECT 1 / 0")

    with tenant_scope(elsewhere.pk):
        with pytest.raises(DatabaseError):
            look_and_fail()
        assert not Project.objects.across_tenants().exists()
    assert Project.objects.across_tenants().exists()


def test_a_scope_set_within_a_savepoint_that_fails_is_set_again(lab, elsewhere):
    """Rolling back to the savepoint brings the server back to the scope of before, and we must know it."""
    ProjectFactory(tenant=lab)
    with tenant_scope(elsewhere.pk):
        assert not Project.objects.across_tenants().exists()
        sid = transaction.savepoint()
        with tenant_scope(lab.pk):
            assert Project.objects.across_tenants().exists()
            transaction.savepoint_rollback(sid)
            assert Project.objects.across_tenants().exists()


@pytest.mark.django_db(transaction=True)
def test_a_transactions_scope_ends_with_the_transaction_on_the_server_too(lab):
    asked = "SELECT current_setting('quartermaster.tenants', true)"
    with scoped(NOBODY):
        rows("SELECT 1")
        bare = connection.connection
        for end in (transaction.set_rollback, None):
            with transaction.atomic(), tenant_scope(lab.pk):
                assert rows(asked) == [(str(lab.pk),)]
                if end:
                    end(True)
            assert bare.execute(asked).fetchone() == ("",)


@pytest.mark.django_db(transaction=True)
def test_a_pooled_connection_brings_nobody_elses_scope(lab, monkeypatch):
    """Django's pool with a single connection: what its first user left is gone before the second has it."""
    ProjectFactory(tenant=lab)
    connection.close()
    monkeypatch.setitem(
        connection.settings_dict, "OPTIONS", {"pool": {"min_size": 1, "max_size": 1, "timeout": 5}}
    )
    try:
        with tenant_scope(lab.pk):
            assert rows("SELECT count(*) FROM tenants_project") == [(1,)]
            served_by = rows("SELECT pg_backend_pid()")
        # Back into the pool, the session's setting still on it.
        connection.close()
        with scoped(NOBODY):
            assert rows("SELECT pg_backend_pid()") == served_by
            assert rows("SELECT count(*) FROM tenants_project") == [(0,)]
    finally:
        connection.close()
        connection.close_pool()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("page", "times"),
    [
        ("/t/lab/keys/", 1),
        ("/api/v1/keys/", 1),
        # Its head has a scope of its own.
        ("/account/sessions/", 2),
        # So has the page of an error.
        ("/t/elsewhere/keys/", 2),
    ],
)
def test_a_request_of_a_person_tells_its_scope_once(
    client, lab, developer, elsewhere, page, times, monkeypatch
):
    told = []
    execute = DatabaseWrapper._execute
    monkeypatch.setattr(
        DatabaseWrapper, "_execute", lambda wrapper, *said: told.append(said) or execute(wrapper, *said)
    )
    client.force_login(developer)
    connection.close()
    told.clear()
    # As a server's thread is, before the first request and after each.
    with scoped(NOBODY):
        client.get(page)
    assert len(told) == times, told


def test_the_scope_of_a_person_is_their_tenants_or_the_one_that_is_asked_for(lab, developer, elsewhere):
    def scope_of(slug):
        with scoped(NOBODY):
            found = connection.enter_person_scope(str(developer.pk), tenant_slug=slug)
        with scoped(found):
            assert [tenant.slug for tenant in Tenant.objects.all()] == ["lab"]
        return found

    assert scope_of(None) == scope_of("lab") == person_scope(developer.pk, [lab.pk])
    assert scope_of("elsewhere") == scope_of("nowhere") == person_scope(developer.pk, [])


def test_partitions_are_reached_through_their_table_alone():
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        rows("SELECT * FROM usage_event_default")


def test_a_view_reads_as_whoever_asks():
    options = rows(
        "SELECT relname, reloptions FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"
    )
    assert options
    assert all("security_invoker=on" in (found or []) for _, found in options), options


@pytest.mark.parametrize(
    "action",
    [
        "TRUNCATE tenants_limit",
        "DROP TABLE tenants_limit",
        "ALTER TABLE tenants_limit DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant_wall ON tenants_limit",
        "CREATE TABLE public.mine ()",
        "ALTER TABLE audit_auditentry DISABLE TRIGGER ALL",
    ],
)
def test_the_console_cannot_take_the_wall_down(action):
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), transaction.atomic():
        rows(action)


@pytest.mark.django_db(transaction=True)
def test_without_its_policy_the_wall_is_gone_so_the_policy_is_what_holds(lab, elsewhere):
    ProjectFactory(tenant=lab)
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tenants_project DISABLE ROW LEVEL SECURITY")
    with tenant_scope(elsewhere.pk):
        assert rows("SELECT count(*) FROM tenants_project") != [(0,)]


def test_a_wider_scope_states_its_reason_in_the_log():
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        with platform_scope("count the lab's rows"):
            pass
        with platform_scope("every two seconds", is_routine=True):
            pass
    assert [(line["scope"], line["log_level"]) for line in lines] == [
        ("platform: count the lab's rows", "info"),
        ("platform: every two seconds", "debug"),
    ]
    with pytest.raises(ValueError, match="Give the reason"), platform_scope(""):
        pass


def test_a_task_begins_with_nobodys_rows(lab):
    ProjectFactory(tenant=lab)

    @shared_task
    def look():
        return Project.objects.across_tenants().count()

    assert look() == 0
    assert Project.objects.across_tenants().exists()


def test_a_task_with_anothers_report_finds_nothing(full_lab, elsewhere):
    export = full_lab.row("exports.export")
    before = rows("SELECT state, attempts FROM exports_export WHERE id = %s", export.pk)
    build_export(str(elsewhere.pk), str(export.pk))
    assert rows("SELECT state, attempts FROM exports_export WHERE id = %s", export.pk) == before


def test_the_consoles_role_is_the_one_that_holds_the_rights():
    assert rows("SELECT pg_has_role(current_user, %s, 'USAGE')", CONSOLE_ROLE) == [(True,)]


@pytest.mark.parametrize("tenants", [None, "", "*,", ",", "NULL"])
def test_a_scope_that_says_nothing_lets_nothing_through(full_lab, tenants):
    """Whatever stands in the server's setting: not set, empty, almost the platform's. An error shows nothing, too."""

    def seen(table):
        try:
            with transaction.atomic():
                rows("SELECT set_config('quartermaster.tenants', %s, true)", tenants)
                return rows(f"SELECT count(*) FROM {table}")[0][0]
        except DataError:
            return 0

    with scoped(NOBODY):
        rows("SELECT 1")
        assert {table: seen(table) for table in tables()} == dict.fromkeys(tables(), 0)


@pytest.mark.django_db(transaction=True)
def test_the_planner_expects_what_a_policy_lets_through(lab):
    """An assumed hundredth of each table spoilt every plan of a large tenant: 20.7 s instead of 0.16 s."""

    def expected():
        return {
            table: estimate(f"SELECT FROM {table}") for table in [*tables(), "accounts_idempotencyrecord"]
        }

    def estimate(sql):
        return rows(f"EXPLAIN (FORMAT JSON) {sql}")[0][0][0]["Plan"]["Plan Rows"]

    with tenant_scope(lab.pk):
        as_console = expected()
    with as_owner():
        as_nobody_asks = expected()
    spoilt = {
        table: (as_console[table], rows_there)
        for table, rows_there in as_nobody_asks.items()
        if as_console[table] < 0.9 * rows_there
    }
    assert spoilt == {}
