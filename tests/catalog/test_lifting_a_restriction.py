"""Taking a restriction back approves nothing, whichever way: page, API or SQL."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.urls import reverse

from catalog.actions import curate_model
from catalog.model_facts import FACTS, as_json
from catalog.models import AccessRequest, CatalogModel, Grant, ReviewDecision

pytestmark = pytest.mark.django_db


def by_page(client, model):
    present = {name: as_json(getattr(model, name)) for name in FACTS}
    typed = {name: "" if value is None else value for name, value in present.items() if value != []}
    sent = typed | {"seen": json.dumps(present), "risk_tier": "low", "highest_data_class": "restricted"}
    address = reverse("admin:catalog_catalogmodel_curate", args=[model.pk])
    assert client.post(address, sent).status_code == 302


def by_api(client, model):
    body = {"risk_tier": "low", "highest_data_class": "restricted"}
    answer = client.patch(f"/api/v1/models/{model.name}/", body, content_type="application/json")
    assert answer.status_code == 200


def by_sql(client, model):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE catalog_catalogmodel SET risk_tier = 'low', highest_data_class = 'restricted' WHERE id = %s",
            [model.pk],
        )


@pytest.mark.parametrize("lift", [by_page, by_api, by_sql])
def test_open_requests_stay_open_and_nothing_is_granted(client, operator, ask, priced_model, lift):
    curate_model(priced_model.pk, values={"risk_tier": "high"}, by=operator)
    asked = ask(data_class="internal")
    client.force_login(operator)
    lift(client, CatalogModel.objects.get(pk=priced_model.pk))
    assert CatalogModel.objects.get(pk=priced_model.pk).risk_tier == "low"
    assert AccessRequest.objects.across_tenants().get(pk=asked.pk).state == "pending"
    assert not Grant.objects.across_tenants().exists()
    assert not ReviewDecision.objects.across_tenants().exists()
