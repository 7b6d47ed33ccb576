"""The form and the API ask for several models at once; the request is approved only if all of it is."""

from __future__ import annotations

import re

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils.timezone import now
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.ingest import record_usage
from catalog.actions import (
    decide_review,
    raise_access_request,
    resend_access_request,
    withdraw_access_request,
)
from catalog.actions.access_requests import WantedItem
from catalog.actions.evaluations import table_in_force
from catalog.asked_facts import facts_of
from catalog.models import AccessRequest, Grant, Review
from catalog.rule_table import evaluate
from core.ids import uuid7
from tenants.actions import set_limits, set_project_role
from tests.factories import ApiKeyFactory, CatalogModelFactory, ProjectFactory
from tests.usage_records import usage_record

pytestmark = pytest.mark.django_db
PURPOSE = "Draft replies to letters; a person reads every one."


@pytest.fixture
def other_model(priced_model):
    """Riskier than `priced_model`, and without a price."""
    return CatalogModelFactory(name="bge-m3", title="BGE M3", risk_tier="high")


@pytest.fixture
def archive(lab):
    return ProjectFactory(tenant=lab, slug="archive", name="Archive")


@pytest.fixture
def sent(client, developer, project, other_model, archive):
    """What the form sends: one model for letters, another for the archive."""
    client.force_login(developer)
    return {
        "project": str(project.pk), "purpose": PURPOSE, "data_class": "internal",
        "expected_tokens_per_day": "1000000", "duration_days": "90",
        "items-1-model": "bge-m3", "items-1-project": "archive", "items-1-data_class": "public",
        "items-1-expected_tokens_per_day": "9", "items-1-requests_per_minute": "3",
    }  # fmt: skip


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


FORM = ("request-new", ["lab", "glm-4.6"])


def asked_for(access_request):
    return list(
        access_request.items.values_list(
            "model__name", "project__slug", "data_class", "expected_tokens_per_day", "limits"
        )
    )


def test_the_form_adds_and_removes_models_and_sends_them_together(client, sent):
    url = reverse(FORM[0], args=FORM[1])
    opened = client.post(url, sent | {"add": "model"})
    assert (opened.status_code, len(opened.context["form"].further)) == (200, 2)
    markup = opened.content.decode()
    assert PURPOSE in markup
    assert 'name="items-2-model"' in markup
    assert not opened.context["form"].errors
    fewer = client.post(url, sent | {"remove": "1"})
    assert fewer.context["form"].further == []
    assert not AccessRequest.objects.across_tenants().exists()
    # The second row says nothing.
    response = client.post(url, sent | {"items-2-model": "", "items-2-data_class": "internal"})
    asked = AccessRequest.objects.across_tenants().get()
    assert response.status_code == 302
    assert asked_for(asked) == [
        ("glm-4.6", "letters", "internal", 1_000_000, {}),
        ("bge-m3", "archive", "public", 9, {"requests_per_minute": "3"}),
    ]


def test_what_is_wrong_with_a_further_model_stands_beside_its_field(client, sent):
    url = reverse(FORM[0], args=FORM[1])
    for wrong, field, words in (
        ({"items-1-expected_tokens_per_day": ""}, "expected_tokens_per_day", "even a rough one"),
        ({"items-1-data_class": "restricted"}, "data_class", "allowed up to"),
        ({"items-1-model": "glm-4.6", "items-1-project": sent["project"]}, "model", "twice"),
        ({"items-1-model": "no-such"}, "model", "no such name"),
    ):
        response = client.post(url, sent | wrong)
        assert response.status_code == 400
        assert words in str(response.context["form"].further[0].errors[field])
        assert "Correct what is wrong with the further models." in text_of(response)
    assert not AccessRequest.objects.across_tenants().exists()


def test_the_preview_has_the_cost_of_each_model_and_names_those_that_need_a_review(client, sent):
    url = reverse("request-preview", args=FORM[1])
    shown = client.post(url, sent | {"items-1-data_class": "restricted"}).context["preview"]
    assert [one["name"] for one in shown.items] == ["GLM-4.6 for Letters", "BGE M3 for Archive"]
    assert shown.items[0]["cost"] > 0
    assert (shown.cost, shown.cost_reason) == (None, "Without a price: BGE M3.")
    why = {one["label"]: one["why"] for one in shown.reviews}
    assert why["Compliance"].startswith("Because of BGE M3 for Archive: ")
    assert shown.problems[0].startswith("BGE M3 for Archive: ")
    priced = client.post(url, sent | {"items-1-model": "glm-4.6"}).context["preview"]
    assert priced.cost == sum(one["cost"] for one in priced.items)
    assert not AccessRequest.objects.across_tenants().exists()


def test_the_preview_says_what_each_project_spends_already_and_whether_its_limit_holds(
    client, sent, project, lab
):
    key = ApiKeyFactory(tenant=lab, project=project)
    record_usage("test", [usage_record(uuid7(), key.pk, "glm-4.6", now(), input=10_000_000)])
    url = reverse("request-preview", args=FORM[1])
    set_limits(lab, {"money_per_month": 1}, by=None, project=project)
    shown = client.post(url, sent | {"expected_tokens_per_day": "50000000"})
    letters, archive = shown.context["preview"].spend
    assert (letters.project, letters.spent, letters.limit, letters.is_over) == ("Letters", 6, 1, True)
    assert letters.adds == shown.context["preview"].items[0]["cost"]
    # Its model has no price.
    assert (archive.adds, archive.is_over) == (None, False)
    assert "Calls would stop before the month ends." in text_of(shown)


def test_a_row_suggests_models_that_the_tenant_may_request(client, sent, finance):
    url = reverse("suggestions", args=["lab", "offered-models"])
    CatalogModelFactory(name="bge-hidden", title="BGE Hidden", lifecycle="draft")
    found = client.get(url, {"q": "bge"}).content.decode()
    assert "bge-m3" in found
    assert "bge-hidden" not in found
    client.force_login(finance)
    assert client.get(url, {"q": "bge"}).content == b""


@pytest.fixture
def returned(ask, archive, other_model, review_of, compliance_reviewer):
    """A request for both models, for two projects, that compliance returned."""
    asked = ask(more=[WantedItem(archive, "bge-m3", 9, "public")])
    decide_review(
        review_of(asked, "compliance").pk, by=compliance_reviewer, verdict="return", comment="How much?"
    )
    return asked


def test_a_returned_request_is_changed_with_all_its_models(client, developer, returned, sent):
    url = reverse("request-change", args=["lab", returned.pk])
    shown = text_of(client.get(url))
    assert "GLM-4.6 for Letters" in shown
    assert "BGE M3 for Archive" in shown
    wrong = client.post(url, sent | {"items-1-data_class": "restricted"})
    assert "allowed up to" in str(wrong.context["form"].further[0].errors["data_class"])
    assert client.post(url, sent | {"items-1-expected_tokens_per_day": "8"}).status_code == 302
    returned.refresh_from_db()
    assert returned.state == "pending"
    assert asked_for(returned)[1] == ("bge-m3", "archive", "public", 8, {"requests_per_minute": "3"})


def test_whoever_may_no_longer_ask_in_one_of_the_projects_changes_and_withdraws_nothing(
    returned, archive, developer, owner, lab
):
    set_project_role(archive.pk, lab.memberships.get(user=developer).pk, "viewer", by=owner)
    developer = type(developer).objects.get(pk=developer.pk)
    for act in (resend_access_request, withdraw_access_request):
        with pytest.raises(PermissionDenied):
            act(returned.pk, by=developer)
    assert withdraw_access_request(returned.pk, by=owner).state == "withdrawn"


def test_the_api_asks_for_several_and_changes_each(
    client, sent, review_of, compliance_reviewer, stranger, project
):
    def post(body, path=""):
        return client.post(f"/api/v1/access-requests/{path}", body, content_type="application/json")

    more = {"model": "bge-m3", "project": "archive", "expected_tokens_per_day": 9}
    body = {"project": "letters", "model": "glm-4.6", "purpose": PURPOSE, "expected_tokens_per_day": 5}
    foreign = post(body | {"more": [more | {"project": str(ProjectFactory().pk)}]})
    never = post(body | {"more": [more | {"project": "no-such"}]})
    assert (foreign.status_code, never.status_code) == (404, 404)
    wrong = post(body | {"more": [more | {"data_class": "restricted"}]})
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["items.1.data_class"])
    made = post(body | {"more": [more]}).json()
    assert [(one["model"], one["project"]) for one in made["items"]] == [
        ("glm-4.6", "letters"), ("bge-m3", "archive"),
    ]  # fmt: skip
    asked = AccessRequest.objects.across_tenants().get()
    decide_review(
        review_of(asked, "compliance").pk, by=compliance_reviewer, verdict="return", comment="Less."
    )
    change = {"items": [{"id": made["items"][1]["id"], "expected_tokens_per_day": 4}]}
    again = post(change, f"{asked.pk}/resend/")
    assert [one["expected_tokens_per_day"] for one in again.json()["items"]] == [5, 4]


ITEMS = st.lists(
    st.tuples(
        st.sampled_from(["glm-4.6", "bge-m3", "plain"]),
        st.sampled_from(["letters", "archive"]),
        st.sampled_from(["public", "internal", "confidential"]),
        st.sampled_from([10, 100_000_000]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda one: one[:2],
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(items=ITEMS, decided=st.permutations(["security", "compliance", "cost"]), count=st.integers(0, 3))
def test_a_request_is_approved_only_if_what_each_item_needs_by_itself_is(
    items, decided, count, project, archive, other_model, developer,
    security_reviewer, compliance_reviewer, cost_reviewer,
):  # fmt: skip
    people = {"security": security_reviewer, "compliance": compliance_reviewer, "cost": cost_reviewer}
    projects = {"letters": project, "archive": archive}
    with transaction.atomic():
        CatalogModelFactory(name="plain", title="Plain")
        wanted = [WantedItem(projects[slug], name, tokens, kind) for name, slug, kind, tokens in items]
        asked = raise_access_request(
            wanted[0].project,
            wanted[0].model_name,
            by=developer,
            purpose=PURPOSE,
            expected_tokens_per_day=wanted[0].expected_tokens_per_day,
            data_class=wanted[0].data_class,
            more=wanted[1:],
        )
        stored = asked.items.select_related("project__tenant", "model")
        said = [evaluate(table_in_force(), facts_of(item, asked.duration_days)) for item in stored]
        needed = {review.track for one in said for review in one.required}
        reviews = Review.objects.in_tenant(asked.tenant).filter(access_request=asked)
        assert {one.track_id for one in reviews} == needed
        approved = set(decided[:count])
        for track in decided[:count]:
            if track in needed:
                decide_review(reviews.get(track=track).pk, by=people[track], verdict="approve")
        asked.refresh_from_db()
        is_approved = needed <= approved
        assert asked.state == ("approved" if is_approved else "pending")
        assert Grant.objects.in_tenant(asked.tenant).count() == (len(items) if is_approved else 0)
        if not is_approved:
            by_hand = AccessRequest.objects.in_tenant(asked.tenant).filter(pk=asked.pk)
            with pytest.raises(IntegrityError, match="approved when"), transaction.atomic():
                by_hand.update(state="approved", decided_at=now())
        transaction.set_rollback(True)
