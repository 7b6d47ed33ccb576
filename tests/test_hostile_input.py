"""Wrong input is the sender's mistake, and is answered as one: never by a broken console."""

from __future__ import annotations

import base64
import json
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from gateway.contract import Ack, ack_path, encode
from tenants.actions import create_tenant
from tests.factories import CatalogModelFactory, ClusterFactory, ModelVersionFactory
from tests.gateway.granted import registered

NUL, HALF_A_PAIR = "\0", "\ud800"
REQUESTS = "/api/v1/access-requests/"

DIALOGS = [
    ("tenants_apikey", "revoke", {"reason": "lost"}),
    ("catalog_catalogmodel", "publish", {}),
    ("catalog_catalogmodel", "retire", {}),
    ("catalog_catalogmodel", "settle", {}),
    ("catalog_modelversion", "retire", {}),
    ("gateway_gateway", "renew", {}),
    ("gateway_gateway", "revoke", {}),
    ("deployments_deployment", "scale", {"replicas": "1"}),
    ("deployments_deployment", "remove", {}),
]


@pytest.fixture
def signed_in(client, developer):
    client.force_login(developer)
    return client


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


def post(client, path, body):
    text = body if isinstance(body, bytes) else json.dumps(body)
    return client.post(path, text, content_type="application/json")


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"limits":' * 100_000], ids=["lists", "objects"])
def test_json_nested_without_end_is_refused(signed_in, body):
    answer = post(signed_in, REQUESTS, body)
    assert (answer.status_code, answer.json()["detail"]) == (400, "This JSON is nested too deeply.")


@pytest.mark.parametrize("said", [{"data_class": HALF_A_PAIR}, {"limits": {HALF_A_PAIR: "3"}}], ids=str)
def test_half_a_surrogate_pair_is_no_text(signed_in, project, said):
    model = CatalogModelFactory().name
    body = {"project": str(project.pk), "model": model, "purpose": "p", "expected_tokens_per_day": 1}
    assert post(signed_in, REQUESTS, body | said).status_code == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/tenants/%00/", 404),
        ("/api/v1/models/?provider=%00&provider=openai", 400),
        ("/api/v1/models/?capability=%00&capability=vision", 400),
        ("/api/v1/models/?cursor=" + base64.b64encode(b"p=%00").decode(), 404),
    ],
)
def test_a_nul_in_an_address_is_refused_before_the_database_sees_it(signed_in, path, status):
    assert signed_in.get(path).status_code == status


def test_a_cluster_whose_name_holds_a_nul_does_not_exist(desk):
    wanted = {"version": str(ModelVersionFactory().pk), "cluster": NUL, "name": "chat"}
    assert "cluster" in post(desk, "/api/v1/deployments/", wanted).json()["errors"]


def test_the_catalog_takes_no_more_values_than_a_person_ticks(signed_in):
    many = "&".join(f"mode=kind-{n}" for n in range(900))
    text = signed_in.get(f"/t/lab/models/?{many}").content.decode()
    assert "kind-39" in text.replace(" ", "-").lower()
    assert "kind-40" not in text.replace(" ", "-").lower()


def test_too_many_replicas_are_an_error_of_the_form(desk):
    version, cluster = ModelVersionFactory(), ClusterFactory()
    wanted = {"version": version.pk, "cluster": cluster.pk, "name": "chat", "replicas": "257"}
    answer = desk.post(reverse("admin:deployments_deployment_add"), wanted)
    assert answer.status_code == 200
    assert "Choose 0 to 256 replicas" in answer.content.decode()


@pytest.mark.parametrize(("model", "action", "said"), DIALOGS)
def test_an_action_on_what_is_not_there_is_not_found(desk, model, action, said):
    path = f"/admin/{model.replace('_', '/')}/%s/{action}/"
    said = {"_form_submitted": "on", **said}
    assert desk.post(path % uuid4(), said).status_code == 404
    assert desk.post(path % "no-id", said).status_code == 400


@pytest.mark.parametrize(
    "said",
    [
        {"spool_pending": 2**63},
        {"version": NUL},
        {"problem": NUL},
        {"started_at": NUL},
        {"counters": {NUL: 1}},
    ],
    ids=lambda said: next(iter(said)),
)
def test_an_acknowledgement_that_no_row_can_hold_is_no_acknowledgement(db, said):
    _, headers = registered("gateway-1")
    ack = {"revision": 0, "started_at": "", "spool_pending": 0, "counters": {}, "version": "1"}
    body = encode(Ack(**(ack | said)))
    answer = Client().post(ack_path("gateway-1"), body, content_type="application/json", headers=headers)
    assert answer.status_code == 400


def test_usage_nested_without_end_is_no_batch(db):
    _, headers = registered("gateway-1")
    body = b'{"events":[' + b"[" * 100_000
    answer = Client().post("/internal/v1/usage", body, content_type="application/json", headers=headers)
    assert answer.status_code == 400


def test_a_tenant_lives_in_a_time_zone_that_there_is(db):
    """A snapshot counts every tenant's days: one unknown zone would leave all gateways without one."""
    with pytest.raises(ValidationError, match="IANA"):
        create_tenant(by=None, slug="nowhere", name="Nowhere", timezone="Mars/Olympus")
