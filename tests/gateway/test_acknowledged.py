"""Operators see which revision each gateway runs and what it refused; one that lags or refuses raises an alarm."""

from datetime import timedelta
from html import unescape

import pytest
import structlog
from django.db import connection
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from gateway import actions
from gateway.acknowledged import raise_alarms
from gateway.contract import decode, encode, v1_usage
from gateway.contract.usage import Ack, RefusedRevision
from tenants.revision import raise_revision
from tests.factories import staff
from tests.gateway.granted import registered

pytestmark = pytest.mark.django_db


def ack(revision, **fields):
    fields = {"started_at": "now", "spool_pending": 0, "counters": {}, "version": "1.2", **fields}
    return Ack(revision=revision, **fields)


def post(headers, name, message):
    return Client().post(
        f"/internal/v1/gateways/{name}/ack",
        encode(message),
        content_type="application/json",
        headers={**headers, "x-gateway-region": "eu-west-1"},
    )


def raised_ago(revision, seconds):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tenants_configchange SET raised_at = now() - make_interval(secs => %s) WHERE revision = %s",
            [seconds, revision],
        )


def test_operators_see_what_each_gateway_runs_and_refused(client):
    served = raise_revision()
    newest = raise_revision()
    gateway, headers = registered()
    refused = RefusedRevision(revision=newest, reason="its signature is wrong")
    said = ack(
        served,
        refused=refused,
        problem="its signature is wrong",
        reads=[1, 2],
        workers=4,
        signing_keys=["ab12"],
    )
    assert post(headers, gateway.name, said).status_code == 204
    client.force_login(staff("operator"))
    [found] = client.get("/api/v1/gateways/").json()["results"]
    assert (found["acknowledged_revision"], found["newest_revision"]) == (served, newest)
    assert found["refused"] == {"revision": newest, "reason": "its signature is wrong"}
    assert (found["release"], found["region"], found["workers"]) == ("1.2", "eu-west-1", 4)
    assert (found["contract_version"], found["reads_versions"]) == (2, [1, 2])
    assert found["signing_keys"] == ["ab12"]
    assert found["behind_since"] is not None
    assert client.get(f"/api/v1/gateways/{gateway.pk}/").json() == found
    page = client.get(f"/admin/gateway/gateway/{gateway.pk}/change/").content.decode()
    for words in (f"Revision {newest}: its signature is wrong", "ab12", "eu-west-1", "1 revision, for"):
        assert words in page
    home = client.get("/admin/").content.decode()
    assert "Gateway gateway-1 does not serve the newest configuration" in home
    assert "its signature is wrong" in home
    post(headers, gateway.name, ack(newest))
    [found] = client.get("/api/v1/gateways/").json()["results"]
    assert (found["refused"], found["behind_since"], found["signing_keys"]) == (None, None, [])
    page = client.get(f"/admin/gateway/gateway/{gateway.pk}/change/").content.decode()
    assert "it does not check signatures" in page


def test_operators_see_what_a_gateway_is_and_cannot_promise(client):
    gateway, headers = registered()
    client.force_login(staff("operator"))
    post(headers, gateway.name, ack(0))
    own = client.get(f"/api/v1/gateways/{gateway.pk}/").json()
    assert (own["kind"], own["kind_title"], own["not_promised"]) == ("", "Quartermaster gateway", [])
    post(headers, gateway.name, ack(0, kind="litellm"))
    plugin = client.get(f"/api/v1/gateways/{gateway.pk}/").json()
    assert (plugin["kind"], plugin["kind_title"]) == (
        "litellm",
        "LiteLLM proxy with the Quartermaster plugin",
    )
    assert len(plugin["not_promised"]) > 5
    page = unescape(client.get(f"/admin/gateway/gateway/{gateway.pk}/change/").content.decode())
    for words in (plugin["kind_title"], *plugin["not_promised"]):
        assert words in page
    assert client.get("/api/v1/gateways/").json()["results"] == [plugin]
    schema = SchemaGenerator().get_schema(request=None, public=True)
    shown = schema["components"]["schemas"]["Gateway"]["properties"]
    assert shown["not_promised"]["type"] == "array"
    assert "litellm" in shown["kind"]["description"]


@pytest.mark.parametrize("role", ["cost-reviewer", "controller"])
def test_others_see_no_gateways(client, role):
    registered()
    client.force_login(staff(role))
    assert client.get("/api/v1/gateways/").status_code == 403


def test_a_gateway_that_lags_or_refuses_raises_an_alarm_until_it_is_well(settings):
    settings.GATEWAY_LAG_TIME = timedelta(seconds=60)
    first = raise_revision()
    gateway, _ = registered()
    refuser, _ = registered("gateway-2")
    actions.acknowledge(gateway, ack(first))
    newest = raise_revision()
    refused = RefusedRevision(revision=newest, reason="it is not signed")
    actions.acknowledge(refuser, ack(newest - 1, refused=refused))
    raised_ago(newest, 30)
    with structlog.testing.capture_logs() as logs:
        assert raise_alarms() == ([], ["gateway-2"]), "a gateway has a minute"
    assert [line["event"] for line in logs] == ["gateway.refuses"]
    assert (logs[0]["log_level"], logs[0]["reason"]) == ("error", "it is not signed")
    raised_ago(newest, 61)
    with structlog.testing.capture_logs() as logs:
        assert raise_alarms() == (["gateway-1", "gateway-2"], ["gateway-2"])
    assert {line["event"] for line in logs} == {"gateway.lags", "gateway.refuses"}
    actions.acknowledge(gateway, ack(newest))
    actions.revoke_gateway(refuser.pk, by=None)
    assert raise_alarms() == ([], [])


def test_a_console_of_version_1_gets_what_it_reads():
    """It refuses an acknowledgement with a field that it does not know."""
    said = ack(3, contract_version=1, refused=RefusedRevision(revision=4, reason="r"), signing_keys=["a"])
    old = decode(v1_usage.Ack, encode(v1_usage.ack_of(said)))
    assert (old.revision, old.version, old.contract_version) == (3, "1.2", 1)


def test_the_console_reads_the_acknowledgement_of_an_older_gateway():
    first = raise_revision()
    gateway, headers = registered()
    old = v1_usage.Ack(revision=first, started_at="now", spool_pending=0, counters={}, version="0.9")
    assert post(headers, gateway.name, old).status_code == 204
    gateway.refresh_from_db()
    assert (gateway.acknowledged_revision, gateway.report["workers"]) == (first, 1)
    assert gateway.report["contract_version"] == 1
