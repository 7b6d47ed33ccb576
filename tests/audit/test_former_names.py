"""Who is erased is erased under every address and name that the trail knows of them."""

from __future__ import annotations

from tenants import audit
from tenants.audit.seals import seal_waiting_entries
from tenants.audit.verify import verify
from tenants.models import AuditEntry
from tenants.personal_data import erase_person, export_person
from tests.factories import UserFactory

RENAMED = {
    "email": ("dana.old@example.com", "dana@example.com"),
    "given_name": ("Dorothea", "Dana"),
    "formatted_name": ("Dorothea Developer", "Dana Developer"),
}


def renamed(operator):
    """Dana, who once was Dorothea, with a line of that time that another person wrote."""
    dana = UserFactory(name="Dana Developer", email="dana@example.com")
    audit.record("thing.said", actor=operator, subject=operator, note="Ask dana.old@example.com.")
    audit.record("person.changed", actor=None, subject=dana, directory="Okta", changes=RENAMED)
    seal_waiting_entries()
    return dana


def the_trail():
    return "\n".join(f"{line.details} {line.changes}" for line in AuditEntry.unscoped.order_by("pk"))


def test_former_addresses_and_names_go_too(db, operator):
    dana = renamed(operator)
    erase_person(dana.pk, by=operator, reason="Request 2026-18")
    for word in ("dana.old@example.com", "Dorothea", "Dana"):
        assert word not in the_trail()
    assert "Okta" in the_trail()
    seal_waiting_entries()
    verify()


def test_what_is_held_under_a_former_address_is_told(db, operator):
    told = dict(export_person(renamed(operator), by=operator))
    assert "Ask dana.old@example.com." in str(told["audit"])
