"""The lab with a row of everything, and a tenant elsewhere."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.isolation.walking import fill_lab


@pytest.fixture
def walled(lab, developer):
    """The lab with one row of everything."""
    return fill_lab(lab, developer)


@pytest.fixture
def foreign_and_never(walled):
    """Pairs of values: one that is the lab's, and one of the same kind that never was."""
    pairs = [
        (walled.project.slug, "nowhere"),
        (walled.tenant.slug, "nix"),
        (walled.person.email, "nobody@example.com"),
    ]
    rows = ("tenants.project", "tenants.apikey", "catalog.accessrequest", "tenants.user", "tenants.tenant")
    return pairs + [(str(walled.row(label).pk), str(uuid4())) for label in rows]
