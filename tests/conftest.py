"""People: a lab with its people, and a stranger from elsewhere."""

from __future__ import annotations

import pytest

from tests.factories import ProjectFactory, TenantFactory, member_of, staff
from tests.moments import pytest_runtest_setup
from tests.order import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_setup"]


@pytest.fixture
def lab(db):
    return TenantFactory(slug="lab", name="Lab")


@pytest.fixture
def project(lab):
    return ProjectFactory(tenant=lab, slug="letters", name="Letters")


@pytest.fixture
def developer(lab):
    return member_of(lab, "developer", name="Dana Developer")


@pytest.fixture
def owner(lab):
    return member_of(lab, "owner", name="Olu Owner")


@pytest.fixture
def finance(lab):
    return member_of(lab, "finance", name="Fia Finance")


@pytest.fixture
def stranger(db):
    """An owner, but of another tenant."""
    return member_of(TenantFactory(slug="elsewhere", name="Elsewhere"), "owner", name="Sam Stranger")


@pytest.fixture
def security_reviewer(db):
    return staff("security-reviewer", name="Rita Reviewer")


@pytest.fixture
def cost_reviewer(db):
    return staff("cost-reviewer", name="Casper Cost")


@pytest.fixture
def controller(db):
    return staff("controller", name="Cleo Controller")


@pytest.fixture
def operator(db):
    return staff("operator", name="Otto Operator")
