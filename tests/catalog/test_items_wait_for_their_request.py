"""Whoever writes an item waits for whoever decides its request, and nobody is granted what nobody considered."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction
from django.utils.timezone import now

from catalog.models import Grant, RequestItem, Review, ReviewDecision
from tests.concurrency import queued_behind
from tests.factories import (
    AccessRequestFactory,
    ApiKeyFactory,
    CatalogModelFactory,
    ReviewFactory,
    staff,
)


def another(asked, **given):
    item = asked.items.get(pk=asked.pk)
    return RequestItem.objects.create(
        tenant=asked.tenant,
        access_request=asked,
        project=item.project,
        model=CatalogModelFactory(),
        data_class="internal",
        expected_tokens_per_day=7,
        **given,
    )


@pytest.mark.django_db(transaction=True)
def test_an_item_that_is_added_while_a_review_opens_sees_the_review():
    asked = AccessRequestFactory()

    def open_review():
        type(asked).objects.across_tenants().select_for_update(no_key=True).get(pk=asked.pk)
        ReviewFactory(tenant=asked.tenant, access_request=asked)

    outcome = queued_behind(lambda: another(asked), first=open_review)
    assert isinstance(outcome, DatabaseError)
    assert "nothing is added" in str(outcome)


@pytest.mark.django_db
def test_an_item_begins_without_a_key():
    asked = AccessRequestFactory()
    key = ApiKeyFactory.claimable(tenant=asked.tenant, project=asked.items.get().project)
    with pytest.raises(DatabaseError, match="nothing is added"), transaction.atomic():
        another(asked, key=key)


@pytest.mark.django_db
def test_no_grant_is_of_an_item_that_no_rules_considered():
    asked = AccessRequestFactory()
    added = another(asked)
    review = ReviewFactory(tenant=asked.tenant, access_request=asked)
    reviewer = staff("security-reviewer")
    ReviewDecision.objects.create(tenant=asked.tenant, review=review, reviewer=reviewer, verdict="approve")
    Review.objects.across_tenants().filter(pk=review.pk).update(state="approved", decided_at=now())
    asked.move_to("approved")
    asked.decided_at = now()
    asked.save()
    added.refresh_from_db()
    added.key = ApiKeyFactory.claimable(tenant=asked.tenant, project=added.project)
    added.save()
    with pytest.raises(DatabaseError, match="a grant needs its approved request"), transaction.atomic():
        Grant.objects.create(
            tenant=asked.tenant, project=added.project, model=added.model, item=added, valid_until=now()
        )
