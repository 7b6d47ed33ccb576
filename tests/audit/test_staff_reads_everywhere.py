"""Every page, API route and staff page that shows staff a tenant's rows is noted as read."""

from __future__ import annotations

import pytest

from audit import staff_reads
from tests.factories import UserFactory, staff
from tests.isolation.sweep import ROUTES, address, fill_lab, text_of


@pytest.fixture
def noted(monkeypatch):
    """The tenants that are noted."""
    found = []
    monkeypatch.setattr(staff_reads, "_note", lambda _user, tenants, _kind: found.extend(tenants))
    return found


@pytest.mark.parametrize("role", ["superuser", "auditor", "controller"])
def test_whatever_shows_rows_of_a_tenant_is_noted(client, lab, developer, noted, role):
    full_lab = fill_lab(lab, developer)
    person = UserFactory(is_staff=True, is_superuser=True) if role == "superuser" else staff(role)
    client.force_login(person)
    markers = full_lab.markers() - {person.email}
    # A version is the platform's, also one that only the lab may use.
    version = full_lab.row("catalog.modelversion").version
    shown, missed = set(), []
    for route in ROUTES:
        if route.is_internal or route.is_directory or "logout" in route.name:
            continue
        noted.clear()
        url = address(route, full_lab)
        answer = client.get(url)
        if answer.status_code != 200:
            continue
        text = text_of(answer).replace(version, "")
        seen = sorted(marker for marker in markers if marker in text and marker not in url)
        if seen:
            shown.add(route.name)
            if lab.pk not in noted:
                missed.append(f"{route} shows {seen[:3]}")
    assert not missed, "\n".join(missed)
    assert {"superuser": 100, "auditor": 30, "controller": 10}[role] < len(shown), len(shown)
