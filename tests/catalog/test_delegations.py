"""A reviewer lets a colleague decide in their place for a while; the two do not decide for each other."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils.timezone import now
from guardian.shortcuts import assign_perm, remove_perm

from accounts.actions import end_staff_role, make_staff
from accounts.models import User
from audit.models import AuditEntry
from catalog.actions import decide_review, raise_access_request
from catalog.actions.delegations import delegate_reviews, end_delegation
from catalog.models import Review, ReviewDecision, ReviewDelegation, ReviewScope, Track
from catalog.review_queue import waiting_for
from catalog.review_scopes import DECIDE, delegation_for, may_decide, tracks_decided_by
from core.errors import Conflict
from tests.factories import member_of, staff

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def track():
    """Its scope for everything belongs to nobody by role."""
    remove_perm(
        DECIDE,
        Group.objects.get(name="security-reviewer"),
        ReviewScope.objects.get(track__code="security"),
    )
    return Track.objects.get(code="security")


@pytest.fixture
def mara(track):
    """She decides all security reviews."""
    person = staff("security-reviewer", name="Mara")
    assign_perm(DECIDE, person, ReviewScope.objects.get(track=track))
    return person


@pytest.fixture
def tomas(track):
    """He reviews by his role, and has no scope."""
    return staff("security-reviewer", name="Tomas")


@pytest.fixture
def review(ask, review_of):
    return review_of(ask())


def delegate(giver, receiver, *, begins=None, days=7):
    begins_at = begins or now()
    return delegate_reviews(
        Track.objects.get(code="security").pk,
        email=receiver.email,
        begins_at=begins_at,
        ends_at=begins_at + timedelta(days=days),
        by=fresh(giver),
    )


def fresh(person):
    return User.objects.get(pk=person.pk)


def waits_for(person, review):
    return waiting_for(fresh(person), Review.objects.visible_to(person)).filter(pk=review.pk).exists()


def insert_decision(review, person, **fields):
    with transaction.atomic():
        return ReviewDecision.objects.create(
            tenant=review.tenant, review=review, reviewer=person, verdict="approve", **fields
        )


def test_a_colleague_decides_as_themselves_and_the_decision_names_the_delegation(mara, tomas, review):
    assert not waits_for(tomas, review)
    given = delegate(mara, tomas)
    assert waits_for(tomas, review)
    assert delegation_for(fresh(tomas), review) == given
    assert decide_review(review.pk, by=fresh(tomas), verdict="approve").state == "approved"
    decision = ReviewDecision.objects.across_tenants().get()
    assert (decision.reviewer, decision.delegation) == (tomas, given)


def test_who_has_a_scope_decides_in_their_own_right(mara, tomas, track, review):
    delegate(mara, tomas)
    assign_perm(DECIDE, tomas, ReviewScope.objects.get(track=track))
    decide_review(review.pk, by=fresh(tomas), verdict="approve")
    assert ReviewDecision.objects.across_tenants().get().delegation is None


@pytest.mark.parametrize("when", ["before", "after", "ended"])
def test_outside_its_period_a_delegation_gives_nothing(mara, tomas, review, when):
    begins = now() + DAY if when == "before" else now() - 3 * DAY if when == "after" else now()
    given = ReviewDelegation.objects.create(
        track_id="security", giver=mara, receiver=tomas, begins_at=begins, ends_at=begins + DAY
    )
    if when == "ended":
        end_delegation(given.pk, by=mara)
    assert not may_decide(fresh(tomas), review)
    assert not tracks_decided_by(fresh(tomas)).exists()
    with pytest.raises(PermissionDenied, match="none of your review scopes"):
        decide_review(review.pk, by=fresh(tomas), verdict="approve")
    with pytest.raises(DatabaseError, match="decides none here"):
        insert_decision(review, tomas)


def test_what_the_giver_loses_the_delegate_loses(mara, tomas, review, operator):
    delegate(mara, tomas)
    end_staff_role(mara, "security-reviewer", by=operator)
    assert not may_decide(fresh(tomas), review)
    with pytest.raises(DatabaseError, match="decides none here"):
        insert_decision(review, tomas)


def test_nobody_passes_on_what_they_received(mara, tomas, review):
    third = staff("security-reviewer")
    delegate(mara, tomas)
    with pytest.raises(PermissionDenied, match="nothing to delegate"):
        delegate(tomas, third)
    # Nor past the action.
    begins = now()
    ReviewDelegation.objects.create(
        track_id="security", giver=tomas, receiver=third, begins_at=begins, ends_at=begins + DAY
    )
    assert not may_decide(fresh(third), review)
    with pytest.raises(DatabaseError, match="decides none here"):
        insert_decision(review, third)


@pytest.mark.parametrize("first", ["giver", "receiver"])
def test_a_reviewer_and_who_decides_in_their_place_are_one_person(mara, tomas, ask, review_of, first):
    Track.objects.filter(code="security").update(quorum=2)
    review = review_of(ask())
    delegate(mara, tomas)
    one, other = (mara, tomas) if first == "giver" else (tomas, mara)
    assert decide_review(review.pk, by=fresh(one), verdict="approve").state == "pending"
    assert not waits_for(other, review)
    with pytest.raises(PermissionDenied, match="someone else must, too"):
        decide_review(review.pk, by=fresh(other), verdict="approve")
    with pytest.raises(DatabaseError, match="count as one person"):
        insert_decision(review, other)
    # In the place of another reviewer, he counts.
    third = staff("security-reviewer")
    assign_perm(DECIDE, third, ReviewScope.objects.get(track__code="security"))
    if first == "giver":
        later = delegate(third, tomas)
        assert decide_review(review.pk, by=fresh(tomas), verdict="approve").state == "approved"
        assert ReviewDecision.objects.across_tenants().get(reviewer=tomas).delegation == later


def requests_of(person, lab, project, priced_model):
    given = {"purpose": "Letters.", "expected_tokens_per_day": 1000, "data_class": "internal"}
    asked = raise_access_request(project, priced_model.name, by=fresh(person), **given)
    return Review.objects.in_tenant(lab).get(access_request=asked, track="security")


@pytest.mark.parametrize("direction", ["to the requester", "from the requester"])
@pytest.mark.parametrize("is_over", [False, True])
def test_two_of_a_delegation_do_not_decide_for_each_other(
    lab, project, priced_model, mara, track, direction, is_over
):
    requester = member_of(lab, "developer")
    make_staff(requester, "security-reviewer", by=None)
    scope = ReviewScope.objects.get(track=track)
    assign_perm(DECIDE, requester, scope)
    review = requests_of(requester, lab, project, priced_model)
    giver, receiver = (mara, requester) if direction == "to the requester" else (requester, mara)
    given = delegate(giver, receiver)
    if is_over:
        end_delegation(given.pk, by=fresh(mara))
    assert not waits_for(mara, review)
    with pytest.raises(PermissionDenied, match="You delegated reviews"):
        decide_review(review.pk, by=fresh(mara), verdict="approve")
    with pytest.raises(DatabaseError, match="four eyes: who delegated"):
        insert_decision(review, mara)
    other = staff("security-reviewer")
    assign_perm(DECIDE, other, scope)
    assert decide_review(review.pk, by=other, verdict="approve").state == "approved"


def test_a_delegation_that_was_over_before_the_request_bars_nobody(lab, project, priced_model, mara):
    requester = member_of(lab, "developer")
    make_staff(requester, "security-reviewer", by=None)
    end_delegation(delegate(mara, requester).pk, by=fresh(mara))
    review = requests_of(requester, lab, project, priced_model)
    assert waits_for(mara, review)
    assert decide_review(review.pk, by=fresh(mara), verdict="approve").state == "approved"


def test_who_delegated_to_the_keeper_of_the_asking_service_account_is_barred(
    lab, project, priced_model, mara, owner
):
    from tenants import actions

    make_staff(owner, "security-reviewer", by=None)
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=fresh(owner))
    delegate(mara, owner)
    review = requests_of(account, lab, project, priced_model)
    assert not waits_for(mara, review)
    with pytest.raises(PermissionDenied, match="You delegated reviews"):
        decide_review(review.pk, by=fresh(mara), verdict="approve")
    with pytest.raises(DatabaseError, match="four eyes: who delegated"):
        insert_decision(review, mara)


def test_a_statement_cannot_say_on_whose_right_it_decides(mara, tomas, track, review):
    other = delegate(mara, tomas)
    assign_perm(DECIDE, tomas, ReviewScope.objects.get(track=track))
    made = insert_decision(review, tomas, delegation=other)
    made.refresh_from_db()
    assert made.delegation is None


def test_the_track_says_how_long(mara, tomas, track):
    Track.objects.filter(pk=track.pk).update(longest_delegation_days=3)
    with pytest.raises(ValidationError, match="at most 3 days"):
        delegate(mara, tomas, days=4)
    begins = now()
    with pytest.raises(DatabaseError, match="no longer than its track"), transaction.atomic():
        ReviewDelegation.objects.create(
            track_id="security", giver=mara, receiver=tomas, begins_at=begins, ends_at=begins + 4 * DAY
        )
    assert delegate(mara, tomas, days=3).pk


def insert_delegation(giver, receiver, begins, days):
    with transaction.atomic():
        return ReviewDelegation.objects.create(
            track_id="security",
            giver=giver,
            receiver=receiver,
            begins_at=begins,
            ends_at=begins + days * DAY,
        )


@pytest.mark.parametrize("apart", [timedelta(0), timedelta(days=6, hours=23)])
def test_delegations_in_a_row_count_together(mara, tomas, track, apart):
    Track.objects.filter(pk=track.pk).update(longest_delegation_days=10)
    third = staff("security-reviewer")
    first = delegate(mara, tomas, days=5)
    second = delegate(mara, third, begins=first.ends_at + apart, days=4)
    begins = second.ends_at + apart
    with pytest.raises(ValidationError, match="count together: at most 10 days") as refused:
        delegate(mara, tomas, begins=begins, days=2)
    assert list(refused.value.message_dict) == ["ends_at"]
    with pytest.raises(DatabaseError, match="less than a week apart"):
        insert_delegation(mara, tomas, begins, 2)
    assert delegate(mara, tomas, begins=begins, days=1).pk


def test_a_delegation_between_two_joins_them(mara, tomas, track):
    Track.objects.filter(pk=track.pk).update(longest_delegation_days=10)
    begins = now()
    delegate(mara, tomas, begins=begins, days=5)
    delegate(mara, tomas, begins=begins + 14 * DAY, days=5)
    with pytest.raises(ValidationError, match="count together"):
        delegate(mara, tomas, begins=begins + 8 * DAY, days=1)


def test_only_days_on_which_somebody_decided_in_their_place_count(mara, tomas, track):
    Track.objects.filter(pk=track.pk).update(longest_delegation_days=10)
    end_delegation(delegate(mara, tomas, days=10).pk, by=mara)
    end_delegation(delegate(mara, tomas, begins=now() + 3 * DAY, days=9).pk, by=mara)
    assert delegate(mara, tomas, days=9).pk


def test_after_a_week_of_their_own_reviewers_delegate_again(mara, tomas, track):
    Track.objects.filter(pk=track.pk).update(longest_delegation_days=10)
    first = delegate(mara, tomas, days=10)
    assert delegate(mara, tomas, begins=first.ends_at + 7 * DAY, days=10).pk


def test_sql_lets_no_two_decide_at_once_in_a_reviewers_place(mara, tomas):
    given = delegate(mara, tomas)
    with pytest.raises(DatabaseError, match="one colleague at a time"):
        insert_delegation(mara, staff("security-reviewer"), given.ends_at - DAY, 2)
    assert insert_delegation(tomas, mara, given.ends_at - DAY, 2).pk


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("email", {"email": "nobody@example.com"}),
        ("email", {"email": "operator"}),
        ("email", {"email": "self"}),
        ("ends_at", {"ends_at": -DAY}),
        ("begins_at", {"begins_at": 400 * DAY, "ends_at": 401 * DAY}),
    ],
)
def test_what_a_delegation_cannot_be(mara, tomas, track, operator, field, values):
    people = {"operator": operator.email, "self": mara.email}
    said = {"email": tomas.email, "ends_at": now() + DAY}
    for name, value in values.items():
        said[name] = people.get(value, value) if name == "email" else now() + value
    with pytest.raises(ValidationError) as refused:
        delegate_reviews(track.pk, by=fresh(mara), **said)
    assert list(refused.value.message_dict) == [field]


def test_one_colleague_at_a_time(mara, tomas):
    given = delegate(mara, tomas)
    third = staff("security-reviewer")
    with pytest.raises(Conflict, match="Tomas decides in your place"):
        delegate(mara, third)
    assert delegate(mara, third, begins=given.ends_at).pk


def test_either_of_the_two_and_operators_end_it_and_nobody_else(mara, tomas, operator):
    for person in (mara, tomas, operator):
        given = delegate(mara, tomas)
        end_delegation(given.pk, by=fresh(person))
        with pytest.raises(Conflict, match="is over"):
            end_delegation(given.pk, by=fresh(person))
    given = delegate(mara, tomas)
    with pytest.raises(PermissionDenied, match="manage tracks"):
        end_delegation(given.pk, by=staff("security-reviewer"))


def test_each_is_in_the_audit_log(mara, tomas):
    end_delegation(delegate(mara, tomas).pk, by=fresh(tomas))
    entries = AuditEntry.objects.across_tenants().filter(verb__startswith="review_delegation.")
    given, ended = entries.order_by("pk")
    assert (given.verb, given.actor, given.details["receiver"]) == (
        "review_delegation.given",
        mara,
        tomas.email,
    )
    assert (ended.verb, ended.actor, ended.details["giver"]) == ("review_delegation.ended", tomas, mara.email)


@pytest.mark.as_owner
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE catalog_reviewdelegation SET ends_at = ends_at + interval '1 day'",
        "UPDATE catalog_reviewdelegation SET receiver_id = giver_id",
        "UPDATE catalog_reviewdelegation SET ended_at = NULL",
        "DELETE FROM catalog_reviewdelegation",
    ],
)
def test_a_delegation_stays_as_it_was_made_for_superusers_too(mara, tomas, statement):
    end_delegation(delegate(mara, tomas).pk, by=mara)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
