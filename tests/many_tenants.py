"""Thousands of tenants with their members and projects, made by a handful of statements."""

from __future__ import annotations

from django.db import connection

# Of each tenant: 2 owners, 3 admins, 30 developers, 5 in finance, 10 viewers.
MEMBERS = 50

_STATEMENTS = """
CREATE TEMPORARY TABLE wanted ON COMMIT DROP AS
SELECT n, ('00000000-0000-7000-9000-' || to_char(n, 'FM000000000000'))::uuid AS id
  FROM generate_series(%(first)s, %(last)s) n;

INSERT INTO tenants_tenant (id, slug, name, status, currency, timezone, cost_centre, highest_data_class, regions,
                            suspended_reason, answer_storage, created_at)
SELECT id, 'many-' || n, 'Many ' || to_char(n, 'FM0000'), 'active', 'USD', 'UTC', '', 'internal', '{}', '', 'off', now()
  FROM wanted;

INSERT INTO tenants_project (id, tenant_id, slug, name, cost_centre, created_at)
SELECT gen_random_uuid(), id, 'project-' || p, 'Project ' || p, '', now()
  FROM wanted, generate_series(1, 3) p;

CREATE TEMPORARY TABLE people ON COMMIT DROP AS
SELECT w.id AS tenant_id, w.n, m,
       ('00000000-0000-7000-8000-' || to_char(w.n * 100 + m, 'FM000000000000'))::uuid AS id,
       CASE WHEN m <= 2 THEN 'owner' WHEN m <= 5 THEN 'admin' WHEN m <= 35 THEN 'developer'
            WHEN m <= 40 THEN 'finance' ELSE 'viewer' END AS role
  FROM wanted w, generate_series(1, %(members)s) m;

INSERT INTO accounts_user
    (id, password, is_superuser, is_staff, is_active, date_joined, email, name, external_id, language)
SELECT id, '!', false, false, true, now(), 'person-' || m || '@many-' || n || '.example.com', 'Person ' || m, '', ''
  FROM people;

INSERT INTO tenants_membership (id, tenant_id, user_id, role, source, created_at)
SELECT gen_random_uuid(), tenant_id, id, role, 'person', now() FROM people;
"""


def make_tenants(first: int, last: int) -> None:
    """Make the tenants `many-<first>` to `many-<last>`, each with three projects and 50 people of their own.

    The people of `many-7` are `person-1@many-7.example.com` and so on; the first two are its owners.
    """
    values = {"first": first, "last": last, "members": MEMBERS}
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENTS, values)
        cursor.execute("DROP TABLE people, wanted")


def analyze() -> None:
    """Let the planner know how many rows there are now."""
    with connection.cursor() as cursor:
        for table in ("tenants_membership", "tenants_project", "tenants_tenant", "accounts_user"):
            cursor.execute(f"ANALYZE {table}")
