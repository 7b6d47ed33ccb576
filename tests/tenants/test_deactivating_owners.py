"""Whoever is deactivated while members change takes turns with the change: no tenant is left alone unsaid."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from accounts.models import Source, User
from audit.models import AuditEntry
from directory.actions.people import deprovision_person
from directory.group_mappings import apply_group_mappings
from tenants.actions import remove_member
from tenants.actions.people import deactivate_person
from tenants.models import Membership
from tests.concurrency import queued_at
from tests.factories import ApiKeyFactory, member_of

pytestmark = pytest.mark.django_db(transaction=True)


def membership(user, tenant):
    return Membership.objects.in_tenant(tenant).get(user=user).pk


@pytest.fixture
def other(lab, owner):
    return member_of(lab, "owner", name="Oya Owner")


def leave(owner, lab):
    return lambda: remove_member(membership(owner, lab), by=owner)


def leave_the_group(owner, lab):
    Membership.objects.in_tenant(lab).filter(user=owner).update(source=Source.GROUP)
    return lambda: apply_group_mappings(owner, reason="a test")


@pytest.mark.parametrize("go", [leave, leave_the_group])
def test_of_two_owners_one_goes_while_the_other_is_deactivated(lab, owner, other, go):
    """Each looks whether the other is there, and is let go on only then."""
    queued_at(
        User.objects.filter(pk__in=[owner.pk, other.pk]),
        go(owner, lab),
        lambda: deactivate_person(other, by=None, reason="left the firm"),
    )
    owners = Membership.objects.in_tenant(lab).filter(role="owner", user__is_active=True)
    alone = (
        AuditEntry.objects.across_tenants().get(verb="person.deactivated").details["tenants_without_owner"]
    )
    assert owners.exists() is not bool(alone)


def test_who_inherits_while_the_directory_deletes_them_waits_for_no_one_who_waits(lab, project, owner):
    """The directory takes the tenant before the person, as whoever removes a member does."""
    people = [member_of(lab, "owner", password=None) for _ in range(2)]  # known to a directory
    # Locked in this order: the new owner comes last.
    departing, new_owner = sorted(people, key=lambda person: person.pk)
    ApiKeyFactory(tenant=lab, project=project, owner=departing)
    removed, deleted = queued_at(
        User.objects.filter(pk__in=[departing.pk, new_owner.pk]),
        lambda: remove_member(
            membership(departing, lab), by=owner, choices={"keys": str(membership(new_owner, lab))}
        ),
        lambda: deprovision_person(new_owner.pk, directory="A directory", check=lambda user: None),
    )
    assert deleted is None
    assert removed is None or isinstance(removed, ValidationError), "the new owner was gone first"
    assert not User.objects.get(pk=new_owner.pk).is_active
