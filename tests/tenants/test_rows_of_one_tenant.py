"""A row of a tenant names no row of another: the database refuses, superusers and raw SQL included."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction

from billing.models import CostLine
from catalog.models import Grant
from tests.factories import TenantFactory
from tests.url_arguments import Lab

pytestmark = pytest.mark.django_db

ONE_STATEMENT = (
    "ingest takes tenant and project from the key's own row, for all that it writes (docs/isolation.md)"
)
NO_FOREIGN_KEY_OVER_BOTH = {
    ("usage_event", "project_id"): ONE_STATEMENT,
    ("usage_event", "key_id"): ONE_STATEMENT,
    ("rollup_delta", "project_id"): ONE_STATEMENT,
    ("rollup_delta", "key_id"): ONE_STATEMENT,
    ("rollup_hour", "project_id"): ONE_STATEMENT,
    ("rollup_day", "project_id"): ONE_STATEMENT,
    ("rollup_day", "key_id"): ONE_STATEMENT,
    ("rollup_month", "project_id"): ONE_STATEMENT,
    ("rollup_key_month", "project_id"): ONE_STATEMENT,
    ("rollup_key_month", "key_id"): ONE_STATEMENT,
    ("rollup_estimated", "project_id"): ONE_STATEMENT,
    ("rollup_estimated", "key_id"): ONE_STATEMENT,
    ("cost_line", "reverses_id"): "a trigger looks once, as a line is added; lines never change",
}


def is_tenants(model):
    return any(field.column == "tenant_id" for field in model._meta.concrete_fields)


def references():
    """Every column by which a tenant's table names a row of a tenant's table."""
    for model in filter(is_tenants, apps.get_models(include_auto_created=True)):
        for field in model._meta.local_concrete_fields:
            if field.is_relation and is_tenants(field.related_model):
                yield model._meta.db_table, field.column


def test_every_reference_between_tenants_rows_is_guarded():
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.conrelid::regclass::text, min(a.attname) FILTER (WHERE a.attname <> 'tenant_id')
              FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
             WHERE c.contype = 'f' AND c.convalidated AND cardinality(c.conkey) = 2
             GROUP BY c.oid HAVING bool_or(a.attname = 'tenant_id')
            """
        )
        guarded = set(cursor.fetchall())
    assert set(references()) == guarded | NO_FOREIGN_KEY_OVER_BOTH.keys()
    assert not guarded & NO_FOREIGN_KEY_OVER_BOTH.keys()


@pytest.fixture
def full_lab(lab, project, developer):
    return Lab(lab, project, developer)


def test_a_grant_names_no_request_of_another_tenant(full_lab):
    grant = full_lab.row("catalog.grant")
    with pytest.raises(DatabaseError, match="a grant needs its approved request"), transaction.atomic():
        Grant.objects.across_tenants().filter(pk=grant.pk).update(tenant=TenantFactory())


def test_a_line_reverses_none_of_another_tenant(full_lab):
    full_lab.row("billing.billingperiod")
    line = full_lab.row("billing.costline")
    fields = {
        name: getattr(line, name) for name in ("period", "day", "project", "sku", "price", "per_million")
    }
    reversal = fields | {"quantity": -line.quantity, "amount": -line.amount, "reverses": line}
    with pytest.raises(DatabaseError, match="cost_line_reverses_its_own"), transaction.atomic():
        CostLine.objects.create(tenant=TenantFactory(), source_ref="theirs", **reversal)
    assert CostLine.objects.create(tenant=line.tenant, source_ref="its own", **reversal).pk
