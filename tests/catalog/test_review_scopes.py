"""The right to decide is one on a review scope: queue, pages, API and database ask the same question."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils.timezone import now
from guardian.shortcuts import assign_perm, remove_perm

from accounts.models import User
from catalog.actions import decide_review
from catalog.models import Review, ReviewDecision, ReviewDelegation, ReviewScope, Track
from catalog.presentation import review_rows
from catalog.review_queue import waiting_for
from catalog.review_scopes import DECIDE, decided_by, may_decide, tracks_decided_by
from tests.factories import CatalogModelFactory, TenantFactory, UserFactory, staff

pytestmark = pytest.mark.django_db


def scope_of(person_or_group, track="security", tenant=None, model=None):
    scope, _ = ReviewScope.objects.get_or_create(track_id=track, tenant=tenant, model=model)
    assign_perm(DECIDE, person_or_group, scope)
    return scope


@pytest.fixture
def nobody_by_role():
    """The scope for everything no longer belongs to the role."""
    scope = ReviewScope.objects.get(track__code="security")
    remove_perm(DECIDE, Group.objects.get(name="security-reviewer"), scope)


@pytest.fixture
def reviewer(nobody_by_role):
    return staff("security-reviewer")


def fresh(person):
    """Without the permissions that were looked up before."""
    return User.objects.get(pk=person.pk)


def insert_decision(review, person):
    with transaction.atomic():
        ReviewDecision.objects.create(tenant=review.tenant, review=review, reviewer=person, verdict="approve")


@pytest.mark.parametrize(
    "covered", [{}, {"tenant": "here"}, {"model": "here"}, {"tenant": "here", "model": "here"}]
)
def test_a_scope_that_covers_the_review_gives_the_right(reviewer, ask, review_of, lab, priced_model, covered):
    here = {"tenant": lab, "model": priced_model}
    scope_of(reviewer, **{name: here[name] for name in covered})
    review = review_of(ask())
    assert list(waiting_for(fresh(reviewer), Review.objects.visible_to(reviewer))) == [review]
    assert decide_review(review.pk, by=fresh(reviewer), verdict="approve").state == "approved"


@pytest.mark.parametrize(
    "elsewhere",
    [{"track": "cost"}, {"tenant": "other"}, {"model": "other"}, {"tenant": "here", "model": "other"}],
)
def test_outside_their_scopes_nobody_decides_by_any_way(reviewer, ask, review_of, lab, client, elsewhere):
    others = {"other": {"tenant": TenantFactory(), "model": CatalogModelFactory()}, "here": {"tenant": lab}}
    given = {name: others[which][name] if name != "track" else which for name, which in elsewhere.items()}
    scope_of(reviewer, **given)
    asked = ask()
    review = review_of(asked)
    assert not waiting_for(fresh(reviewer), Review.objects.visible_to(reviewer)).exists()
    with pytest.raises(PermissionDenied, match="none of your review scopes"):
        decide_review(review.pk, by=fresh(reviewer), verdict="approve")
    client.force_login(reviewer)
    page = reverse("admin:catalog_review_change", args=[review.pk])
    assert "none of your review scopes covers it" in client.get(page).content.decode()
    assert client.post(page, {"verdict": "approve", "comment": ""}).status_code == 403
    said = {"track": "security", "verdict": "approve"}
    answer = client.post(
        f"/api/v1/access-requests/{asked.pk}/reviews/", said, content_type="application/json"
    )
    assert answer.status_code == 403
    with pytest.raises(DatabaseError, match="decides none here"):
        insert_decision(review, reviewer)
    assert not ReviewDecision.objects.across_tenants().exists()


def test_a_group_shares_its_scope(reviewer, ask, review_of, lab):
    team = Group.objects.create(name="payments security")
    scope_of(team, tenant=lab)
    review = review_of(ask())
    assert not may_decide(fresh(reviewer), review)
    reviewer.groups.add(team)
    assert may_decide(fresh(reviewer), review)
    insert_decision(review, reviewer)


def test_a_scope_without_a_reviewers_role_gives_nothing(ask, review_of):
    operator = staff("operator")
    scope_of(operator)
    review = review_of(ask())
    with pytest.raises(PermissionDenied):
        decide_review(review.pk, by=fresh(operator), verdict="approve")
    with pytest.raises(DatabaseError, match="decides none here"):
        insert_decision(review, operator)


def test_a_scope_that_is_taken_while_somebody_decides_counts_no_more(reviewer, ask, review_of, monkeypatch):
    scope = scope_of(reviewer)
    review = review_of(ask())
    decider = fresh(reviewer)
    asked_before = decide_review.require

    def then_taken(by, subject):
        asked_before(by, subject)
        remove_perm(DECIDE, reviewer, scope)

    monkeypatch.setattr(decide_review, "require", then_taken)
    with pytest.raises(PermissionDenied, match="may no longer decide"):
        decide_review(review.pk, by=decider, verdict="approve")


def test_as_many_people_as_the_track_wants_must_agree(ask, review_of, client):
    Track.objects.filter(code="security").update(quorum=2)
    asked = ask()
    review = review_of(asked)
    first, second = staff("security-reviewer"), staff("security-reviewer")
    assert decide_review(review.pk, by=first, verdict="approve", comment="Fits.").state == "pending"
    asked.refresh_from_db()
    assert asked.state == "pending"
    # It waits for others, and pages say so.
    assert not waiting_for(first, Review.objects.visible_to(first)).exists()
    assert waiting_for(second, Review.objects.visible_to(second)).exists()
    client.force_login(first)
    page = client.get(reverse("admin:catalog_review_change", args=[review.pk])).content.decode()
    assert "You have approved it. It waits for other people." in page
    assert "1 of 2 approvals" in page
    assert decide_review(review.pk, by=second, verdict="approve").state == "approved"
    asked.refresh_from_db()
    assert asked.state == "approved"


def test_a_rejection_is_named_with_its_reason_whoever_approved_before(ask, review_of):
    Track.objects.filter(code="security").update(quorum=2)
    review = review_of(ask())
    first, second = staff("security-reviewer", name="Ann"), staff("security-reviewer", name="Ben")
    decide_review(review.pk, by=first, verdict="approve", comment="Fits.")
    decide_review(review.pk, by=second, verdict="reject", comment="Too risky.")
    [row] = review_rows([Review.objects.across_tenants().get(pk=review.pk)])
    assert (row.note.partition(",")[0], row.quote) == ("Ben", "Too risky.")


PEOPLE = {
    "reviewer": lambda: staff("security-reviewer"),
    "reviewer of another track": lambda: staff("cost-reviewer"),
    "operator": lambda: staff("operator"),
    "nobody of the staff": UserFactory,
    "superuser": lambda: UserFactory(is_staff=True, is_superuser=True),
    "inactive superuser": lambda: UserFactory(is_staff=True, is_superuser=True, is_active=False),
    "former reviewer": lambda: former(staff("security-reviewer"), is_staff=False),
    "inactive reviewer": lambda: former(staff("security-reviewer"), is_active=False),
    "with the permission alone": lambda: with_permission(UserFactory()),
    "service account": lambda: with_permission(UserFactory(service_of=TenantFactory())),
}


def former(person, **changes):
    User.objects.filter(pk=person.pk).update(**changes)
    return person


def with_permission(person):
    person.user_permissions.add(Permission.objects.get(codename="decide_review"))
    return person


def may_decide_in_sql(person, review):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT catalog_may_decide_request(%s, %s, %s)",
            [person.pk, review.track_id, review.access_request_id],
        )
        return cursor.fetchone()[0]


@pytest.mark.as_owner
@pytest.mark.parametrize("who", PEOPLE)
def test_python_and_the_database_give_the_same_answer(who, nobody_by_role, ask, review_of, lab, priced_model):
    review = review_of(ask())
    person = PEOPLE[who]()
    tenants, models = (None, lab, TenantFactory()), (None, priced_model, CatalogModelFactory())
    answers = set()
    for track, tenant, model in itertools.product(("security", "cost"), tenants, models):
        scope = scope_of(person, track, tenant, model)
        asked = fresh(person)
        in_sql = may_decide_in_sql(person, review)
        assert may_decide(asked, review) is in_sql
        assert decided_by(asked, Review.objects.across_tenants()).filter(pk=review.pk).exists() is in_sql
        answers.add(in_sql)
        remove_perm(DECIDE, person, scope)
    varies = ("reviewer" in who and "inactive" not in who and "former" not in who) or "alone" in who
    assert answers == ({True, False} if varies else {who == "superuser"})


@pytest.mark.as_owner
@pytest.mark.parametrize("giver", PEOPLE)
def test_python_and_the_database_agree_on_every_delegation(giver, nobody_by_role, ask, review_of, lab):
    review = review_of(ask())
    gives = PEOPLE[giver]()
    answers = {}
    for who, days, (track, tenant) in itertools.product(
        PEOPLE, (-3, 0, 3), (("security", None), ("security", TenantFactory()), ("cost", None))
    ):
        # Taken back each time: a reviewer has one delegation of a track at a time.
        with transaction.atomic():
            receives = PEOPLE[who]()
            begins = now() + timedelta(days=days)
            scope_of(gives, track, tenant)
            ReviewDelegation.objects.create(
                track_id=track,
                giver=gives,
                receiver=receives,
                begins_at=begins,
                ends_at=begins + timedelta(days=1),
            )
            in_sql = may_decide_in_sql(receives, review)
            assert may_decide(fresh(receives), review) is in_sql, (who, days, track)
            is_mine = tracks_decided_by(fresh(receives)).filter(code=track).exists()
            assert in_sql <= is_mine, (who, days, track)
            answers[who, days, track, tenant] = in_sql
            transaction.set_rollback(True)
    yes = {key[0] for key, answer in answers.items() if answer}
    receivers = {"reviewer", "reviewer of another track", "with the permission alone"}
    assert yes == {"superuser"} | (receivers if giver in receivers else set())
    assert all(
        key[1:] == (0, "security", None)
        for key, answer in answers.items()
        if answer and key[0] != "superuser"
    )
