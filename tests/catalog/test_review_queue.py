"""The admin: reviewers clear their queue, operators look, and nobody edits a state."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils.timezone import now

from accounts.actions import make_staff
from catalog.models import CatalogModel, Grant, Review
from tenants.models import ApiKey
from tests.factories import ApiKeyFactory, CatalogModelFactory

QUEUE = "admin:catalog_review_changelist"


@pytest.fixture
def open_page(client):
    def get(person, name, *args, **query):
        client.force_login(person)
        return client.get(reverse(name, args=args), query)

    return get


def listed(response):
    return list(response.context["cl"].result_list)


def test_the_queue_shows_my_open_tracks_first_due_first(
    open_page, ask, review_of, security_reviewer, cost_reviewer, priced_model
):
    CatalogModelFactory(name="later-1", title="Later")
    first = review_of(ask())
    second = review_of(ask(model="later-1"))
    Review.objects.across_tenants().filter(pk=first.pk).update(due_at=now() + timedelta(days=9))
    assert listed(open_page(security_reviewer, QUEUE)) == [second, first]
    assert [review.track_id for review in listed(open_page(cost_reviewer, QUEUE))] == ["cost"]
    assert len(listed(open_page(cost_reviewer, QUEUE, queue="pending"))) == 3
    assert listed(open_page(security_reviewer, QUEUE, queue="overdue")) == []
    Review.objects.across_tenants().filter(pk=first.pk).update(due_at=now() - timedelta(minutes=1))
    overdue = open_page(security_reviewer, QUEUE, queue="overdue")
    assert listed(overdue) == [first]
    assert "overdue" in overdue.content.decode()


def test_a_reviewer_sees_the_facts_and_approves_with_a_comment(
    client, open_page, ask, review_of, security_reviewer, developer
):
    asked = ask(limits={"requests_per_minute": 3})
    review = review_of(asked)
    page = open_page(security_reviewer, "admin:catalog_review_change", review.pk).content.decode()
    for fact in (
        "Moderate",
        "Internal",
        "30.00",
        "USD",
        asked.purpose,
        "Dana Developer",
        "Requests per minute",
        "Lab",
    ):
        assert fact in page, fact
    url = reverse("admin:catalog_review_change", args=[review.pk])
    response = client.post(url, {"verdict": "approve", "comment": "Fine."})
    assert response["Location"] == reverse(QUEUE)
    assert Grant.objects.across_tenants().count() == 1
    assert listed(open_page(security_reviewer, QUEUE)) == []
    assert listed(open_page(security_reviewer, QUEUE, queue="decided")) == [review]
    again = client.post(url, {"verdict": "reject", "comment": "No."})
    assert again.status_code == 409
    assert "nothing left to decide" in again.content.decode()


def test_a_refusal_without_a_reason_comes_back_with_what_to_mend(
    client, open_page, ask, review_of, security_reviewer
):
    url = reverse("admin:catalog_review_change", args=[review_of(ask()).pk])
    client.force_login(security_reviewer)
    response = client.post(url, {"verdict": "reject", "comment": ""})
    assert response.status_code == 400
    assert "Give a reason" in response.content.decode()
    assert Review.objects.across_tenants().get().state == "pending"
    assert client.post(url, {"verdict": "maybe"}).status_code == 400


def test_who_asked_sees_no_buttons_and_is_refused_if_they_post_anyway(
    client, open_page, ask, review_of, developer
):
    make_staff(developer, "security-reviewer", by=None)
    asked = ask()
    url = reverse("admin:catalog_review_change", args=[review_of(asked).pk])
    page = open_page(developer, "admin:catalog_review_change", review_of(asked).pk).content.decode()
    assert "someone else must decide it" in page
    assert 'value="approve"' not in page
    assert client.post(url, {"verdict": "approve"}).status_code == 403
    assert Review.objects.across_tenants().get().state == "pending"
    assert listed(open_page(developer, QUEUE)) == []


def test_another_tracks_reviewer_reads_but_does_not_decide(client, open_page, ask, review_of, cost_reviewer):
    review = review_of(ask())
    page = open_page(cost_reviewer, "admin:catalog_review_change", review.pk).content.decode()
    assert "You do not decide this security review: none of your review scopes covers it." in page
    url = reverse("admin:catalog_review_change", args=[review.pk])
    assert client.post(url, {"verdict": "approve"}).status_code == 403


def test_an_operator_publishes_and_retires_models(client, operator, cost_reviewer):
    model = CatalogModelFactory(lifecycle="draft")
    retire = reverse("admin:catalog_catalogmodel_retire", args=[model.pk])
    publish = reverse("admin:catalog_catalogmodel_publish", args=[model.pk])
    client.force_login(cost_reviewer)
    assert client.post(publish, {"_form_submitted": "1"}).status_code == 403
    client.force_login(operator)
    assert client.post(publish, {"_form_submitted": "1"}).status_code == 409
    client.post(publish, {"_form_submitted": "1", "despite": "Pilot until March"})
    assert CatalogModel.objects.get().lifecycle == "published"
    client.post(retire, {"_form_submitted": "1"})
    assert CatalogModel.objects.get().lifecycle == "retired"


def test_an_operator_revokes_a_key_with_a_reason(client, operator, lab, project):
    key = ApiKeyFactory(tenant=lab, project=project)
    client.force_login(operator)
    url = reverse("admin:tenants_apikey_revoke", args=[key.pk])
    client.get(url)
    assert ApiKey.objects.across_tenants().get().state == "active"
    client.post(url, {"_form_submitted": "1", "reason": "Leaked."})
    assert ApiKey.objects.across_tenants().get().state == "revoked"


def test_no_admin_of_ours_adds_edits_or_deletes(rf, operator):
    request = rf.get("/admin/")
    request.user = operator
    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label not in ("tenants", "catalog"):
            continue
        assert not model_admin.has_add_permission(request), model
        assert not model_admin.has_change_permission(request), model
        assert not model_admin.has_delete_permission(request), model


@pytest.mark.parametrize(
    "name",
    [
        "catalog_accessrequest", "catalog_grant", "catalog_catalogmodel", "catalog_catalogimport", "accounts_user",
        "tenants_tenant", "tenants_project", "tenants_membership", "tenants_apikey", "tenants_limit",
    ],
)  # fmt: skip
def test_operators_find_every_list_and_page(open_page, operator, ask, review_of, security_reviewer, name):
    from catalog.actions import decide_review
    from tests.catalog.price_maps import run

    decide_review(review_of(ask(limits={"tokens_per_minute": 9})).pk, by=security_reviewer, verdict="approve")
    run({"p/m-1": {"litellm_provider": "p"}})
    response = open_page(operator, f"admin:{name}_changelist")
    assert response.status_code == 200
    row = listed(response)[0]
    assert open_page(operator, f"admin:{name}_change", row.pk).status_code == 200
    assert (
        open_page(operator, f"admin:{name}_changelist", q="glm").status_code == 200
        or name == "catalog_catalogimport"
    )
