"""A requester may choose the key that gets the models: their own, or of a service account that they answer for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils.timezone import now

from catalog.actions import decide_review
from catalog.actions.access_requests import WantedItem
from catalog.models import AccessRequest, Grant
from gateway.compile import compile_snapshot
from tenants.models import ApiKey, ConfigRevision
from tests.factories import ApiKeyFactory, CatalogModelFactory, ProjectFactory, UserFactory, member_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def other_model(priced_model):
    return CatalogModelFactory(name="bge-m3", title="BGE M3")


@pytest.fixture
def key(project, developer):
    """A key in use, for a model that the project has no grant for."""
    return ApiKeyFactory(
        tenant=project.tenant,
        project=project,
        owner=developer,
        name="Letters",
        model_names=["earlier"],
        expires_at=now() + timedelta(days=9),
    )


@pytest.fixture
def approve(review_of, security_reviewer, cost_reviewer):
    def approve(asked):
        for review in asked.reviews.all():
            person = {"security": security_reviewer, "cost": cost_reviewer}[review.track_id]
            decide_review(review.pk, by=person, verdict="approve")
        asked.refresh_from_db()
        return asked

    return approve


def test_a_chosen_key_gets_the_models_of_its_project_and_lives_as_long_as_they_are_granted(
    ask, key, other_model, approve, lab, project
):
    archive = ProjectFactory(tenant=lab, slug="archive")
    more = [WantedItem(project, "bge-m3", 9), WantedItem(archive, "bge-m3", 9)]
    asked = ask(into_key=key, more=more, duration_days=90)
    assert ApiKey.objects.in_tenant(lab).get().model_names == ["earlier"]
    before = ConfigRevision.objects.get().number
    approve(asked)
    key.refresh_from_db()
    assert key.model_names == ["bge-m3", "earlier", "glm-4.6"]
    assert key.expires_at == asked.decided_at + timedelta(days=90)
    made = ApiKey.objects.in_tenant(lab).exclude(pk=key.pk).get()
    assert (made.project, made.state, made.model_names) == (archive, "claimable", ["bge-m3"])
    assert {item.key_id for item in asked.items.filter(project=project)} == {key.pk}
    assert {one.digest: set(one.models) for one in compile_snapshot().keys} == {
        key.digest: {"bge-m3", "glm-4.6"}
    }
    assert ConfigRevision.objects.get().number > before


def test_a_key_to_claim_and_one_of_an_own_service_account_can_be_chosen(
    ask, project, developer, lab, approve
):
    waiting = ApiKeyFactory(
        tenant=lab,
        project=project,
        owner=developer,
        state="claimable",
        digest=None,
        claimed_at=None,
        prefix="",
    )
    approve(ask(into_key=waiting))
    waiting.refresh_from_db()
    assert (waiting.state, "glm-4.6" in waiting.model_names) == ("claimable", True)
    account = UserFactory(service_of=lab, responsible=developer, email="robot@lab.example")
    lab.memberships.create(user=account, role="developer")
    robots = ApiKeyFactory(tenant=project.tenant, project=project, owner=account)
    asked = ask(into_key=robots, expected_tokens_per_day=100_000_000)
    assert asked.items.get().into_key == robots


@pytest.mark.parametrize("whose", ["colleague", "elsewhere", "revoked", "foreign"])
def test_no_other_key_can_be_chosen(ask, project, developer, lab, whose, client):
    keys = {
        "colleague": lambda: ApiKeyFactory(
            tenant=project.tenant, project=project, owner=member_of(lab, "developer")
        ),
        "elsewhere": lambda: ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab), owner=developer),
        "revoked": lambda: ApiKeyFactory(
            tenant=project.tenant, project=project, owner=developer, state="revoked", revoked_at=now()
        ),
        "foreign": ApiKeyFactory,
    }
    wrong = keys[whose]()
    with pytest.raises(ValidationError) as refused:
        ask(into_key=wrong)
    assert list(refused.value.message_dict) == ["into_key"]
    client.force_login(developer)
    body = {"project": "letters", "model": "glm-4.6", "purpose": "x", "expected_tokens_per_day": 5}
    answer = client.post(
        "/api/v1/access-requests/", body | {"into_key": str(wrong.pk)}, content_type="application/json"
    )
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["into_key"])
    assert not AccessRequest.objects.across_tenants().exists()


@pytest.mark.as_owner
def test_the_database_keeps_the_choice_and_takes_no_key_of_somebody_else(ask, key, project, lab):
    ask(into_key=key)
    theirs = ApiKeyFactory(tenant=project.tenant, project=project, owner=member_of(lab, "developer"))
    for statement in (
        "UPDATE catalog_requestitem SET into_key_id = %s",
        "INSERT INTO catalog_requestitem SELECT (jsonb_populate_record(i, to_jsonb(i) || "
        "jsonb_build_object('id', gen_random_uuid(), 'into_key_id', %s::uuid))).* FROM catalog_requestitem i",
    ):
        with pytest.raises(DatabaseError, match="requester's"), transaction.atomic():
            connection.cursor().execute(statement, [theirs.pk])


@pytest.mark.parametrize(
    "change",
    [
        lambda key, lab: {"state": "revoked", "revoked_at": now()},
        lambda key, lab: {"expires_at": now() - timedelta(seconds=1)},
        lambda key, lab: {"owner": member_of(lab, "developer")},
    ],
)
def test_a_chosen_key_that_is_gone_when_approved_gives_way_to_a_new_one(ask, key, lab, approve, change):
    asked = ask(into_key=key)
    ApiKey.objects.in_tenant(lab).filter(pk=key.pk).update(**change(key, lab))
    approve(asked)
    made = asked.items.get().key
    assert (made.pk != key.pk, made.state, made.model_names) == (True, "claimable", ["glm-4.6"])
    key.refresh_from_db()
    assert key.model_names == ["earlier"]


@pytest.mark.parametrize(
    "step",
    [
        "catalog.actions.granted_keys.set_key_models",
        "catalog.actions.granted_keys.extend_key",
        "catalog.actions.approving.write_limits",
        "catalog.actions.approving.tell_requester",
        "catalog.actions.approving.raise_revision",
    ],
)
def test_a_crash_at_any_step_leaves_the_key_as_it_was(ask, key, approve, monkeypatch, lab, step):
    asked = ask(into_key=key, limits={"requests_per_minute": 3}, duration_days=90)
    before = ApiKey.objects.in_tenant(lab).values().get()

    def crash(*args, **kwargs):
        raise RuntimeError("power failure")

    monkeypatch.setattr(step, crash)
    with pytest.raises(RuntimeError):
        approve(asked)
    asked.refresh_from_db()
    assert (asked.state, Grant.objects.in_tenant(lab).count()) == ("pending", 0)
    assert ApiKey.objects.in_tenant(lab).values().get() == before
    monkeypatch.undo()
    assert approve(asked).state == "approved"


def test_the_form_offers_own_keys_and_its_page_names_the_chosen_one(client, key, developer, project, lab):
    theirs = ApiKeyFactory(
        tenant=project.tenant, project=project, owner=member_of(lab, "developer"), name="Of a colleague"
    )
    client.force_login(developer)
    url = reverse("request-new", args=["lab", "glm-4.6"])
    CatalogModelFactory(name="glm-4.6", title="GLM-4.6")
    markup = client.get(url).content.decode()
    assert f"{key} · Letters" in markup
    assert str(theirs) not in markup
    sent = {
        "project": str(project.pk), "purpose": "Draft replies.", "data_class": "internal",
        "expected_tokens_per_day": "10", "duration_days": "90", "into_key": str(key.pk),
    }  # fmt: skip
    assert client.post(url, sent | {"into_key": str(theirs.pk)}).status_code == 400
    page = client.post(url, sent, follow=True).content.decode()
    assert "Goes into the key" in page
    assert str(key) in page
