"""A departing member's open requests are withdrawn; nobody takes them over."""

import pytest
from django.core.exceptions import ValidationError

from catalog.models import AccessRequest, Review
from tenants.actions import remove_member
from tenants.actions.owned_resources import END, owned_resources_of
from tenants.models import Membership
from tests.factories import AccessRequestFactory, ReviewFactory


@pytest.fixture
def access_request(lab, project, developer):
    asked = AccessRequestFactory(tenant=lab, project=project, requested_by=developer)
    ReviewFactory(tenant=lab, access_request=asked)
    return asked


def test_they_are_shown_and_withdrawn_with_their_reviews(lab, owner, developer, access_request):
    (shown,) = owned_resources_of(developer, lab)
    assert (shown.kind, shown.count, shown.can_hand_over) == ("access_requests", 1, False)
    remove_member(developer.memberships.get().pk, by=owner, choices={"access_requests": END})
    access_request.refresh_from_db()
    assert access_request.state == AccessRequest.State.WITHDRAWN
    assert Review.objects.in_tenant(lab).get().state == Review.State.CANCELLED


def test_they_are_handed_to_nobody(lab, owner, developer, access_request):
    new_owner = Membership.objects.in_tenant(lab).get(user=owner)
    with pytest.raises(ValidationError, match="cannot be transferred"):
        remove_member(
            developer.memberships.get().pk, by=owner, choices={"access_requests": str(new_owner.pk)}
        )
