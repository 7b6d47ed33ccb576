"""The catalog, access requests and grants over HTTP."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from catalog.actions import decide_review
from catalog.models import AccessRequest, Grant, Offer
from tenants.actions import add_member, issue_personal_access_token
from tenants.models import ApiKey
from tests.concurrency import at_the_same_time
from tests.factories import CatalogModelFactory, ProjectFactory, TenantFactory, member_of


@pytest.fixture
def api(client):
    """Speak JSON as a person: `api(person).get(path)`, `.post(path, body)`."""

    class Voice:
        def __init__(self, person):
            client.force_login(person)

        def get(self, path, **query):
            return client.get(f"/api/v1/{path}", query)

        def post(self, path, body=None, **headers):
            return client.post(
                f"/api/v1/{path}", json.dumps(body or {}), content_type="application/json", headers=headers
            )

    return Voice


@pytest.fixture
def body(project, priced_model):
    return {
        "project": "letters",
        "model": "glm-4.6",
        "purpose": "Draft replies.",
        "expected_tokens_per_day": 1_000_000,
        "data_class": "internal",
        "limits": {"requests_per_minute": "3"},
        "duration_days": 30,
    }


def test_models_are_found_with_prices_as_strings(api, developer, priced_model):
    CatalogModelFactory(
        name="llama-3.3-70b", mode="embedding", capabilities={"vision": True}, providers=["azure"]
    )
    answer = api(developer).get("models/", q="glm").json()
    (model,) = answer["results"]
    assert (model["name"], model["currency"]) == ("glm-4.6", "USD")
    assert model["prices"] == {
        "input": "0.60000000",
        # No price of its own: costs what input costs.
        "cache_read": "0.60000000",
        "cache_write": "0.60000000",
        "output": "2.20000000",
        "reasoning": "2.20000000",
    }
    for query in ({"mode": "embedding"}, {"capability": "vision"}, {"provider": "azure"}, {"q": "llama3.3"}):
        found = api(developer).get("models/", **query).json()["results"]
        assert [model["name"] for model in found] == ["llama-3.3-70b"], query
    assert len(api(developer).get("models/", data_class="confidential").json()["results"]) == 2
    assert api(developer).get("models/", data_class="nonsense").status_code == 400


def test_a_model_is_read_by_its_name_with_dots(api, developer, priced_model):
    Offer.objects.create(model=priced_model, source="t", source_key="x/glm", provider="x", digest="")
    model = api(developer).get("models/glm-4.6/").json()
    assert [offer["provider"] for offer in model["offers"]] == ["x"]
    CatalogModelFactory(name="draft-1", lifecycle="draft")
    assert api(developer).get("models/draft-1/").status_code == 404
    assert api(developer).get("models/no-such/").status_code == 404


def test_a_model_says_what_i_have_of_it(api, developer, stranger, ask, review_of, security_reviewer):
    asked = ask()
    (mine,) = api(developer).get("models/glm-4.6/").json()["my_access"]
    assert (mine["tenant"], mine["project"], mine["state"], mine["access_request"]) == (
        "lab",
        "letters",
        "in_review",
        str(asked.pk),
    )
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    assert api(developer).get("models/glm-4.6/").json()["my_access"][0]["state"] == "granted"
    assert api(stranger).get("models/glm-4.6/").json()["my_access"] == []


def test_the_main_path_over_http(api, developer, security_reviewer, body):
    created = api(developer).post("access-requests/", body)
    assert created.status_code == 201
    asked = created.json()
    assert (asked["state"], asked["expected_monthly_cost"] is not None) == ("pending", True)
    assert isinstance(asked["expected_monthly_cost"], str)
    assert [review["track"] for review in asked["reviews"]] == ["security"]

    decided = api(security_reviewer).post(
        f"access-requests/{asked['id']}/reviews/",
        {"track": "security", "verdict": "approve", "comment": "Fine."},
    )
    assert (decided.status_code, decided.json()["state"]) == (200, "approved")

    key = api(developer).get(f"access-requests/{asked['id']}/").json()["key"]
    assert api(developer).get(f"keys/{key}/").json()["state"] == "claimable"
    claimed = api(developer).post(f"keys/{key}/claim/")
    assert (claimed.status_code, claimed["Cache-Control"]) == (200, "no-store")
    secret = claimed.json()["secret"]
    assert secret.startswith("qm_")
    assert secret not in api(developer).get("keys/").content.decode()
    assert api(developer).get("limits/").json()["results"][0]["value"] == "3.00000000"

    grant = Grant.objects.across_tenants().get()
    assert api(developer).post(f"grants/{grant.pk}/revoke/", {"reason": "Over."}).status_code == 200
    assert ApiKey.objects.across_tenants().get().state == "revoked"


def test_errors_are_problem_documents_in_the_order_not_visible_not_permitted_wrong_state_wrong_data(
    api, lab, developer, stranger, finance, security_reviewer, body
):
    asked = api(developer).post("access-requests/", body).json()
    path = f"access-requests/{asked['id']}"
    verdict = {"track": "security", "verdict": "reject", "comment": ""}

    def code_of(response, status):
        assert response.status_code == status
        assert response["Content-Type"] == "application/problem+json"
        return response.json()["code"]

    assert code_of(api(stranger).post(f"{path}/withdraw/"), 404) == "not_found"
    assert code_of(api(stranger).post("access-requests/", body), 404) == "not_found"
    assert code_of(api(finance).post(f"{path}/withdraw/"), 403) == "not_permitted"
    assert (
        code_of(api(developer).post(f"{path}/reviews/", verdict | {"comment": "No."}), 403) == "not_permitted"
    )
    refused = api(security_reviewer).post(f"{path}/reviews/", verdict)
    assert code_of(refused, 400) == "invalid"
    assert "comment" in refused.json()["errors"]
    assert code_of(api(developer).post("access-requests/", body), 409) == "already_open"
    wrong = api(developer).post("access-requests/", body | {"model": "no-such", "data_class": "internal"})
    assert code_of(wrong, 400) == "invalid"
    assert "model" in wrong.json()["errors"]
    assert api(developer).post(f"{path}/withdraw/").json()["state"] == "withdrawn"
    assert code_of(api(developer).post(f"{path}/withdraw/"), 409) == "already_decided"
    assert code_of(api(security_reviewer).post(f"{path}/reviews/", verdict), 409) == "already_decided"


def test_an_idempotency_key_does_it_once(api, developer, body):
    first = api(developer).post("access-requests/", body, **{"Idempotency-Key": "k1"})
    again = api(developer).post("access-requests/", body, **{"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again["Idempotent-Replay"] == "true"
    other = api(developer).post("access-requests/", body | {"purpose": "Other."}, **{"Idempotency-Key": "k1"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert AccessRequest.objects.across_tenants().count() == 1


def test_an_answer_is_not_repeated_to_a_token_of_another_tenant(client, lab, project, body):
    """Both tenants have a project of this name; the token of one must not be told about the other."""
    person, other = member_of(lab, "developer"), TenantFactory()
    add_member(other, person, "developer", by=None)
    ProjectFactory(tenant=other, slug=project.slug)

    def ask(tenant):
        _, secret = issue_personal_access_token(person, name="t", life=timedelta(days=1), tenant=tenant)
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "k"}
        return client.post("/api/v1/access-requests/", body, content_type="application/json", headers=headers)

    assert ask(lab).json()["tenant"] == "lab"
    assert (ask(other).status_code, ask(lab)["Idempotent-Replay"]) == (409, "true")


def test_an_idempotency_key_is_free_again_after_an_error(api, developer, body):
    wrong = api(developer).post("access-requests/", body | {"model": "no"}, **{"Idempotency-Key": "k2"})
    assert wrong.status_code == 400
    right = api(developer).post("access-requests/", body, **{"Idempotency-Key": "k2"})
    assert right.status_code == 201


@pytest.mark.django_db(transaction=True)
def test_the_same_idempotency_key_twice_at_once_makes_one_request(developer, body, django_user_model):
    from django.test import Client

    def send():
        client = Client()
        client.force_login(django_user_model.objects.get(pk=developer.pk))
        return client.post(
            "/api/v1/access-requests/",
            json.dumps(body),
            content_type="application/json",
            headers={"Idempotency-Key": "k3"},
        )

    answers = at_the_same_time(send, send)
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] == answers[1].json()["id"]


def test_a_slug_that_two_tenants_have_must_be_an_id(api, lab, project, priced_model, body):
    person = member_of(lab, "developer")
    other = TenantFactory()
    from tenants.actions import add_member

    add_member(other, person, "developer", by=None)
    ProjectFactory(tenant=other, slug="letters")
    answer = api(person).post("access-requests/", body)
    assert "Give its id" in answer.json()["errors"]["project"][0]
    assert api(person).post("access-requests/", body | {"project": str(project.pk)}).status_code == 201


def test_lists_are_narrowed_by_tenant_project_and_state(api, developer, body):
    api(developer).post("access-requests/", body)
    get = api(developer).get
    assert (
        len(get("access-requests/", state="pending", project="letters", tenant="lab").json()["results"]) == 1
    )
    assert get("access-requests/", state="approved").json()["results"] == []
    assert get("projects/", tenant="lab").json()["results"][0]["slug"] == "letters"
    assert get("tenants/lab/").json()["role"] == "developer"


def test_the_audit_log_is_read_by_those_who_may(api, owner, developer, operator, body):
    api(developer).post("access-requests/", body)
    assert api(developer).get("audit/").status_code == 403
    lines = api(owner).get("audit/", verb="access_request.raised").json()["results"]
    assert [line["actor"] for line in lines] == [developer.email]
    assert api(operator).get("audit/", tenant="lab").json()["results"]
    assert api(owner).post(f"audit/{lines[0]['id']}/", {}).status_code == 405


def test_a_token_opens_the_api_and_nobody_else_gets_in(client, developer, priced_model):
    from datetime import timedelta

    from tenants.actions import issue_personal_access_token

    _, secret = issue_personal_access_token(developer, name="t", life=timedelta(days=1))
    assert client.get("/api/v1/models/").status_code == 401
    answer = client.get("/api/v1/models/", headers={"Authorization": f"Bearer {secret}"})
    assert answer.json()["results"][0]["prices"]["output"] == "2.20000000"
    assert Decimal(answer.json()["results"][0]["prices"]["output"]) == Decimal("2.2")
    assert client.get("/api/v1/models/", headers={"Authorization": "Bearer qmp_wrong"}).status_code == 401


def test_the_schema_documents_the_filters(client, developer):
    client.force_login(developer)
    schema = client.get("/api/v1/schema/", headers={"Accept": "application/json"}).json()
    names = {parameter["name"] for parameter in schema["paths"]["/api/v1/models/"]["get"]["parameters"]}
    assert {"q", "mode", "capability", "provider", "data_class", "cursor"} <= names
    assert "/api/v1/access-requests/{id}/reviews/" in schema["paths"]
