"""A model that is offered to chosen tenants, or to nobody, does not exist for the others; grants in force stay."""

from __future__ import annotations

import json

import pytest
from django.core.exceptions import ValidationError

from catalog.actions import curate_model, curate_models, decide_review
from catalog.models import CatalogModel, Grant
from catalog.palette import _models
from core.errors import Conflict
from tests.factories import CatalogModelFactory, TenantFactory, member_of

NAME = "glm-4.6"


@pytest.fixture
def elsewhere(db):
    return TenantFactory(slug="elsewhere", name="Elsewhere")


@pytest.fixture
def foreigner(elsewhere):
    return member_of(elsewhere, "developer", name="Fay Foreign")


@pytest.fixture
def restricted(operator, lab, priced_model):
    """The model, offered to the lab alone."""
    return offer_to(operator, "tenants", ["lab"])


def offer_to(by, visibility, only_for=()):
    model = CatalogModel.objects.get(name=NAME)
    values = {"visibility": visibility, "only_for": list(only_for)}
    return curate_model(model.pk, values=values, may_touch_tenants=True, by=by)


def test_nobody_elsewhere_learns_of_a_restricted_model(client, elsewhere, foreigner, restricted):
    other = CatalogModelFactory(name="glm-4.5", title="GLM-4.5", successor=NAME)
    client.force_login(foreigner)
    page = f"/t/elsewhere/models/{NAME}/"
    for address in (page, f"{page}request/", f"/api/v1/models/{NAME}/"):
        assert client.get(address).status_code == 404, address
    assert client.post(f"{page}request/preview/", {}).status_code == 404
    for address in (
        "/t/elsewhere/models/",
        "/t/elsewhere/models/?q=glm-4.6",
        "/t/elsewhere/models/?q=glm+4.6",
        f"/t/elsewhere/models/{other.name}/",
        "/api/v1/models/",
        "/api/v1/models/?q=glm",
        "/api/v1/models/?q=gml-4.6",
    ):
        text = client.get(address).content.decode()
        assert NAME not in text.replace(address, "").replace("q=glm-4.6", "").replace(
            'value="glm-4.6"', ""
        ), address
        assert "GLM-4.6" not in text, address
    assert [hit.label for hit in _models(foreigner, elsewhere, "glm")] == [other.title]
    assert client.patch(f"/api/v1/models/{NAME}/", "{}", content_type="application/json").status_code == 404


def test_the_chosen_tenant_finds_it_and_learns_of_no_other(
    client, developer, operator, elsewhere, restricted
):
    offer_to(operator, "tenants", ["lab", "elsewhere"])
    client.force_login(developer)
    assert NAME in client.get("/t/lab/models/").content.decode()
    for address in (f"/t/lab/models/{NAME}/?tab=policy", f"/api/v1/models/{NAME}/"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert "elsewhere" not in answer.content.decode().lower()
        assert "only_for" not in answer.content.decode()


def test_nobody_elsewhere_asks_for_it_and_nobody_at_all_for_a_hidden_one(
    ask, operator, elsewhere, restricted
):
    offer_to(operator, "tenants", ["elsewhere"])
    with pytest.raises(ValidationError, match="no published model"):
        ask()
    offer_to(operator, "hidden")
    with pytest.raises(ValidationError, match="no published model"):
        ask()
    offer_to(operator, "all")
    assert ask().state == "pending"


def test_a_request_is_not_approved_once_the_model_is_not_offered_any_more(
    ask, operator, review_of, security_reviewer, priced_model
):
    asked = ask()
    offer_to(operator, "hidden")
    with pytest.raises(Conflict, match="no longer published"):
        decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    # Offering it again approves nothing by itself.
    offer_to(operator, "all")
    asked.refresh_from_db()
    assert asked.state == "pending"


def test_grants_in_force_stay(ask, lab, operator, review_of, security_reviewer, priced_model):
    decide_review(review_of(ask()).pk, by=security_reviewer, verdict="approve")
    offer_to(operator, "hidden")
    assert Grant.objects.in_tenant(lab).in_force().count() == 1


def test_a_restriction_names_whom_it_touches_first(ask, operator, priced_model):
    ask()
    for values in ({"visibility": "hidden"}, {"visibility": "tenants", "only_for": ["lab"]}):
        with pytest.raises(Conflict) as refused:
            curate_model(priced_model.pk, values=values, by=operator)
        assert refused.value.code == "touches_tenants"
    assert CatalogModel.objects.get(name=NAME).visibility == "all"


@pytest.mark.parametrize("only_for", [[], ["no-such-tenant"]])
def test_chosen_tenants_are_named_and_exist(operator, priced_model, only_for):
    values = {"visibility": "tenants", "only_for": only_for}
    with pytest.raises(ValidationError) as refused:
        curate_model(priced_model.pk, values=values, by=operator)
    assert set(refused.value.message_dict) == {"only_for"}
    with pytest.raises(ValidationError):
        curate_models([priced_model.pk], values=values, by=operator)


def test_staff_read_a_restricted_model_by_the_api(client, operator, security_reviewer, restricted):
    client.force_login(security_reviewer)
    assert client.get(f"/api/v1/models/{NAME}/").status_code == 200
    client.force_login(operator)
    assert client.get(f"/api/v1/models/{NAME}/").json()["only_for"] == ["lab"]
    body = json.dumps({"visibility": "all", "only_for": []})
    answer = client.patch(f"/api/v1/models/{NAME}/", body, content_type="application/json")
    assert answer.status_code == 200
    assert answer.json()["visibility"] == "all"
