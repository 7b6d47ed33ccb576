"""A request may name several models and projects; all are decided together, and each gets a grant."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils.timezone import now
from guardian.shortcuts import assign_perm, remove_perm

from accounts.models import User
from audit.models import AuditEntry
from catalog.actions import decide_review, resend_access_request, revoke_grant
from catalog.actions.access_requests import MOST_ITEMS, WantedItem
from catalog.models import (
    AccessRequest,
    CatalogModel,
    Grant,
    RequestItem,
    Review,
    ReviewDecision,
    ReviewScope,
)
from catalog.review_queue import waiting_for
from catalog.review_scopes import DECIDE, may_decide
from core.errors import Conflict
from gateway.compile import compile_snapshot
from tenants.actions import claim_api_key
from tenants.models import ApiKey, Limit, Project
from tenants.revision import changes_between, current_revision
from tests.factories import CatalogModelFactory, ProjectFactory, TenantFactory, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def other_model(priced_model):
    """Riskier than `priced_model`, and without a price."""
    return CatalogModelFactory(name="bge-m3", title="BGE M3", risk_tier="high")


@pytest.fixture
def ask_both(ask, project, other_model):
    """One request for both models in the project."""

    def ask_both(**more):
        item = WantedItem(
            **{"project": project, "model_name": other_model.name, "expected_tokens_per_day": 9} | more
        )
        return ask(limits={"requests_per_minute": 3}, more=[item])

    return ask_both


@pytest.fixture
def approve(security_reviewer, compliance_reviewer, cost_reviewer):
    """Approve every review of a request."""

    def approve(asked):
        people = {"security": security_reviewer, "compliance": compliance_reviewer, "cost": cost_reviewer}
        for review in Review.objects.in_tenant(asked.tenant).filter(access_request=asked):
            decide_review(review.pk, by=people[review.track_id], verdict="approve")
        asked.refresh_from_db()
        assert asked.state == "approved"
        return {grant.model.name: grant for grant in Grant.objects.in_tenant(asked.tenant)}

    return approve


def reasons(asked):
    return dict(
        Review.objects.in_tenant(asked.tenant).filter(access_request=asked).values_list("track", "reason")
    )


def callable_models():
    return {key.digest: set(key.models) for key in compile_snapshot().keys}


def test_a_track_is_needed_if_one_item_needs_it_and_says_which(ask_both):
    asked = ask_both()
    assert reasons(asked) == {
        "security": "The project has not used this model before.",
        "compliance": "Because of BGE M3 for Letters: The model's risk tier is high.",
        "cost": "Because of BGE M3 for Letters: The model has no price yet, so its cost is unknown.",
    }
    assert (asked.expected_monthly_cost, str(asked)) == (None, "GLM-4.6 +1 for Letters")
    entry = AuditEntry.objects.in_tenant(asked.tenant).get(verb="access_request.raised")
    assert [one["model"] for one in entry.details["items"]] == ["glm-4.6", "bge-m3"]


def test_approval_gives_a_grant_for_each_item_and_one_key_with_all_models(ask_both, approve, developer, lab):
    grants = approve(ask_both())
    assert set(grants) == {"glm-4.6", "bge-m3"}
    key = ApiKey.objects.in_tenant(lab).get()
    assert (key.model_names, key.state) == (["bge-m3", "glm-4.6"], "claimable")
    assert {grant.item.key_id for grant in grants.values()} == {key.pk}
    assert list(Limit.objects.in_tenant(lab).values_list("model", flat=True)) == ["glm-4.6"]
    claimed, _secret = claim_api_key(key.pk, by=developer)
    assert callable_models() == {claimed.digest: {"glm-4.6", "bge-m3"}}
    with pytest.raises(Conflict, match="already claimed"):
        claim_api_key(key.pk, by=developer)


def test_limits_of_all_items_are_set_with_one_revision_at_the_end(ask_both, approve, project, lab):
    asked = ask_both(limits={"requests_per_minute": 5})
    before = current_revision()
    approve(asked)
    assert current_revision() == before + 1
    assert project.pk in changes_between(before, before + 1).limits
    limits = Limit.objects.in_tenant(lab).order_by("model").values_list("model", "value")
    assert list(limits) == [("bge-m3", 5), ("glm-4.6", 3)]


def test_each_project_of_a_request_gets_a_key_of_its_own(ask_both, approve, lab):
    elsewhere = ProjectFactory(tenant=lab, slug="archive", name="Archive")
    grants = approve(ask_both(project=elsewhere))
    keys = {name: grant.item.key for name, grant in grants.items()}
    assert (keys["glm-4.6"].project.slug, keys["glm-4.6"].model_names) == ("letters", ["glm-4.6"])
    assert (keys["bge-m3"].project, keys["bge-m3"].model_names) == (elsewhere, ["bge-m3"])


def test_a_revoked_grant_takes_its_model_from_the_key_and_the_last_one_the_key(
    ask_both, approve, developer, lab
):
    grants = approve(ask_both())
    key, _secret = claim_api_key(ApiKey.objects.in_tenant(lab).get().pk, by=developer)
    revoke_grant(grants["bge-m3"].pk, by=developer, reason="Over.")
    key.refresh_from_db()
    assert (key.state, key.model_names, callable_models()) == (
        "active",
        ["glm-4.6"],
        {key.digest: {"glm-4.6"}},
    )
    revoke_grant(grants["glm-4.6"].pk, by=developer, reason="Over.")
    key.refresh_from_db()
    assert (key.state, callable_models()) == ("revoked", {})


def test_a_model_ends_with_its_grant_although_the_key_lives_on(ask_both, approve, developer, lab):
    grants = approve(ask_both())
    key, _secret = claim_api_key(ApiKey.objects.in_tenant(lab).get().pk, by=developer)
    Grant.objects.in_tenant(lab).filter(pk=grants["bge-m3"].pk).update(
        valid_from=now() - timedelta(days=2), valid_until=now() - timedelta(seconds=1)
    )
    assert callable_models() == {key.digest: {"glm-4.6"}}


def test_an_approval_covers_no_worse_fact_of_any_item(
    ask_both, approve, review_of, security_reviewer, other_model
):
    asked = ask_both()
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    CatalogModel.objects.filter(name="glm-4.6").update(risk_tier="high")
    compliance = review_of(asked, "compliance")
    with pytest.raises(Conflict, match=r"Because of GLM-4.6 for Letters: .* was moderate and is now high"):
        decide_review(compliance.pk, by=staff("compliance-reviewer"), verdict="approve")
    security = review_of(asked)
    assert (security.state, security.round) == ("pending", 2)
    assert "GLM-4.6 for Letters" in security.reason
    approve_again = {grant.model.name for grant in Grant.objects.across_tenants()}
    assert approve_again == set()
    assert len(approve(asked)) == 2


def test_one_item_that_is_no_longer_allowed_holds_back_all(
    ask_both, review_of, security_reviewer, other_model
):
    asked = ask_both()
    CatalogModel.objects.filter(pk=other_model.pk).update(lifecycle="retired")
    with pytest.raises(Conflict, match="BGE M3 is no longer published"):
        decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    assert not Grant.objects.across_tenants().exists()


def test_all_items_that_are_no_longer_allowed_are_named(ask_both, review_of, security_reviewer):
    asked = ask_both()
    CatalogModel.objects.update(highest_data_class="public")
    with pytest.raises(Conflict, match=r"GLM-4.6 is allowed up to .* BGE M3 is allowed up to"):
        decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")


def test_items_are_stored_in_one_order_whatever_the_order_they_are_asked_in(
    ask, project, priced_model, other_model
):
    more = WantedItem(project=project, model_name=priced_model.name, expected_tokens_per_day=9)
    asked = ask(model=other_model.name, more=[more])
    assert [item.model.name for item in asked.items.all()] == ["bge-m3", "glm-4.6"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT model_id FROM catalog_requestitem ORDER BY ctid")
        assert [pk for (pk,) in cursor.fetchall()] == sorted([priced_model.pk, other_model.pk])


def test_a_returned_request_changes_one_item_and_asks_again_only_for_more(
    ask_both, review_of, security_reviewer, compliance_reviewer, developer
):
    asked = ask_both()
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    for tokens, state in ((8, "approved"), (10, "pending")):
        compliance = review_of(asked, "compliance")
        decide_review(compliance.pk, by=compliance_reviewer, verdict="return", comment="How much?")
        item = asked.items.get(model__name="bge-m3")
        with pytest.raises(ValidationError, match="which of them"):
            resend_access_request(asked.pk, by=developer, expected_tokens_per_day=tokens)
        resend_access_request(
            asked.pk, by=developer, items={str(item.pk): {"expected_tokens_per_day": tokens}}
        )
        item.refresh_from_db()
        assert (item.expected_tokens_per_day, review_of(asked).state) == (tokens, state)
    entry = AuditEntry.objects.in_tenant(asked.tenant).filter(verb="access_request.resent").latest("pk")
    assert entry.details["asks_more"] == ["bge-m3 letters expected_tokens_per_day"]


@pytest.fixture
def scoped(priced_model, other_model):
    """Gives a security reviewer the right for these models alone."""
    everything = ReviewScope.objects.get(track__code="security")
    remove_perm(DECIDE, Group.objects.get(name="security-reviewer"), everything)

    def scoped(*models):
        person = staff("security-reviewer")
        for model in models:
            scope, _new = ReviewScope.objects.get_or_create(track_id="security", tenant=None, model=model)
            assign_perm(DECIDE, person, scope)
        return User.objects.get(pk=person.pk)

    return scoped


def test_who_decides_has_a_scope_for_every_model(ask_both, review_of, scoped, priced_model, other_model):
    review = review_of(ask_both())
    partial, whole = scoped(priced_model), scoped(priced_model, other_model)
    for person, may in ((partial, False), (whole, True)):
        waiting = waiting_for(person, Review.objects.visible_to(person).filter(track="security"))
        assert (may_decide(person, review), list(waiting)) == (may, [review] if may else [])
    with pytest.raises(PermissionDenied, match="none of your review scopes"):
        decide_review(review.pk, by=partial, verdict="approve")
    with pytest.raises(DatabaseError, match="four eyes"), transaction.atomic():
        ReviewDecision.objects.create(
            tenant=review.tenant, review=review, reviewer=partial, verdict="approve"
        )
    assert decide_review(review.pk, by=whole, verdict="approve").state == "approved"


@pytest.mark.as_owner
def test_nothing_is_added_to_a_request_that_people_decide(ask, other_model):
    asked = ask()
    statement = (
        "INSERT INTO catalog_requestitem SELECT (jsonb_populate_record(i, to_jsonb(i) || "
        "jsonb_build_object('id', gen_random_uuid(), 'model_id', %s::uuid))).* FROM catalog_requestitem i"
    )
    with pytest.raises(DatabaseError, match="nothing is added"), transaction.atomic():
        connection.cursor().execute(statement, [other_model.pk])
    assert asked.items.count() == 1


@pytest.mark.parametrize(
    ("more", "field", "words"),
    [
        ({"model_name": "glm-4.6"}, "items.1.model", "twice in the project"),
        ({"model_name": "no-such"}, "items.1.model", "no published model"),
        ({"data_class": "restricted"}, "items.1.data_class", "allowed up to"),
        ({"expected_tokens_per_day": 0}, "items.1.expected_tokens_per_day", "at least 1"),
        ({"limits": {"wishes": 3}}, "items.1.limits", "not a kind of limit"),
    ],
)
def test_what_is_wrong_with_an_item_is_said_of_it_and_nothing_is_requested(ask_both, more, field, words):
    with pytest.raises(ValidationError) as refused:
        ask_both(**more)
    assert words in refused.value.message_dict[field][0]
    assert not AccessRequest.objects.across_tenants().exists()


def test_projects_that_the_person_cannot_see_or_ask_for_refuse_all(ask_both, lab, developer):
    with pytest.raises(Project.DoesNotExist):
        ask_both(project=ProjectFactory())
    mine = TenantFactory()
    mine.memberships.create(user=developer, role="developer")
    with pytest.raises(ValidationError, match="one tenant"):
        ask_both(project=ProjectFactory(tenant=mine))
    assert not AccessRequest.objects.across_tenants().exists()


def test_an_item_that_is_open_elsewhere_refuses_all(ask, ask_both, other_model):
    ask(model=other_model.name)
    with pytest.raises(Conflict, match="already has an open request"):
        ask_both()
    assert RequestItem.objects.across_tenants().count() == 1


def test_a_request_has_so_many_items_at_most(ask, project):
    items = [WantedItem(project, f"model-{n}", 1) for n in range(MOST_ITEMS)]
    with pytest.raises(ValidationError, match="At most 20 models"):
        ask(more=items)


def test_a_crash_after_the_grants_leaves_nothing_behind(ask_both, approve, monkeypatch, lab):
    asked = ask_both()
    made = []

    def crash(*args, **kwargs):
        made.append(Grant.objects.in_tenant(lab).count())
        raise RuntimeError("power failure")

    # Limits follow when all grants are there.
    monkeypatch.setattr("catalog.actions.approving.write_limits", crash)
    with pytest.raises(RuntimeError):
        approve(asked)
    asked.refresh_from_db()
    assert made == [2]
    assert (asked.state, Grant.objects.in_tenant(lab).count(), ApiKey.objects.in_tenant(lab).count()) == (
        "pending", 0, 0,
    )  # fmt: skip
    assert set(asked.items.values_list("key", "is_open")) == {(None, True)}
