"""The lab with a row of everything, and a tenant elsewhere."""

from __future__ import annotations

import pytest

from tests.isolation.sweep import fill_lab


@pytest.fixture
def full_lab(lab, developer):
    """The lab with one row of everything."""
    return fill_lab(lab, developer)


@pytest.fixture
def foreign_and_never(full_lab):
    """Pairs of values: one that is the lab's, and one of the same kind that never was."""
    pairs = [
        (full_lab.project.slug, "nowhere"),
        (full_lab.tenant.slug, "nix"),
        (full_lab.person.email, "nobody@example.com"),
    ]
    ids = [
        str(full_lab.row(label).pk) for label in ("tenants.project", "catalog.accessrequest", "accounts.user")
    ]
    return pairs + [(known, beside(known)) for known in ids]


def beside(known):
    """An id of the same millisecond that nobody has: a list that begins at either begins at the same place."""
    return known[:-1] + ("0" if known[-1] != "0" else "1")
