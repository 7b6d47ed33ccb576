"""A gateway knows its region: among targets of equal priority it tries the near ones first."""

from collections import Counter

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from audit.models import AuditEntry
from core.regions import distance
from core.secrets import GATEWAY_TOKEN, new_secret
from gateway.actions import set_region_order
from gateway.compile import compile_snapshot
from gateway.contract import ConfigSnapshot, KeyConfig, RouteConfig, SettingsConfig
from gateway.proxy.index import Index
from gateway.proxy.settings import SettingsError, read_settings
from tests.factories import staff
from tests.gateway.granted import registered
from tests.gateway.proxy_fixtures import MODEL, Engine, ask
from tests.gateway.targets import target


@pytest.mark.parametrize(
    ("regions", "steps"),
    [
        (["eu-west-1"], 0),
        (["eu-west-1-a"], 0),
        (["eu-central-1"], 1),
        (["eu"], 1),
        (["us-east-1"], 2),
        (["ap-south-1"], 3),
        (["eu-west-1", "us-east-1"], 2),
        (["eu-west-1", "ap-south-1"], 3),
        (["eu-west-10"], 1),
        ([], 3),
        ([""], 3),
    ],
)
def test_the_distance_of_a_target(regions, steps):
    assert distance(regions, "eu-west-1", ["eu", "us"]) == steps


def test_nothing_is_near_a_gateway_of_unknown_region():
    assert distance([""], "", []) == distance([], "", []) == distance(["eu"], "", []) == 1


REGIONS = ["", "eu-west-1", "eu-central-1", "us-east-1", "ap-south-1"]


@given(
    targets=st.lists(st.tuples(st.sampled_from(REGIONS), st.integers(0, 2), st.integers(0, 2)), max_size=7),
    here=st.sampled_from(REGIONS),
    order=st.lists(st.sampled_from(["eu", "us", "ap"]), unique=True),
    allowed=st.lists(st.sampled_from(["eu", "us"]), unique=True),
)
def test_order_and_then_distance_decide_and_nobody_is_lost(targets, here, order, allowed):
    route = RouteConfig(
        model="m",
        modes=["chat"],
        targets=[
            target(
                id=str(at),
                url=f"http://{at}/v1",
                upstream_model="o",
                region=region,
                weight=weight,
                priority=priority,
            )
            for at, (region, weight, priority) in enumerate(targets)
        ],
    )
    key = KeyConfig(
        digest="a" * 64,
        key_id="k",
        prefix="qm_",
        tenant_id="t",
        tenant_slug="t",
        project_id="p",
        project_slug="p",
        models=["m"],
        regions=allowed,
    )
    snapshot = ConfigSnapshot(
        revision=1, issued_at="", keys=[key], routes=[route], settings=SettingsConfig(region_order=order)
    )
    plain, near = Index(snapshot), Index(snapshot)
    near.serve_from(here)
    before, after = plain.route_of("m", key), near.route_of("m", key)
    assert (before is None) == (after is None)
    if after is None:
        return
    ids = [one.id for group in after.groups for one in group]
    assert sorted(ids) == sorted(one.id for group in before.groups for one in group)

    def place(one):
        return (one.config.priority, distance(one.config.regions, here, order))

    groups = [{place(one) for one in group} for group in after.groups]
    assert all(len(group) == 1 for group in groups) or (not here and not order)
    flat = [min(group) for group in groups]
    if here or order:
        assert flat == sorted(set(flat)), "each place is one group, the nearest first"


@pytest.mark.parametrize("region", ["EU", "eu_west", "-eu", "eu west"])
def test_an_impossible_region_stops_the_start(region):
    with pytest.raises(SettingsError, match=r"GATEWAY_REGION must be a region such as eu-west-1"):
        read_settings(
            {
                "GATEWAY_ID": "g",
                "GATEWAY_TOKEN": new_secret(GATEWAY_TOKEN),
                "GATEWAY_CONTROL_URL": "http://x",
                "GATEWAY_STATE_DIR": "/x",
                "GATEWAY_REGION": region,
            }
        )


def test_calls_go_to_the_gateways_region_and_then_by_the_order_of_regions(new_rig, tmp_path):
    """Three engines of equal priority, one in each region; they end one after another."""
    rig = new_rig(GATEWAY_REGION="eu-west-1")
    engines = {"us-east-1": rig.engine, "eu-west-1": Engine(tmp_path), "ap-south-1": Engine(tmp_path)}
    targets = [engine.backend(id=region, regions=[region]) for region, engine in engines.items()]
    rig.routes = [RouteConfig(model=MODEL, modes=["chat"], targets=targets)]
    rig.settings = SettingsConfig(region_order=["ap"])
    for region in ("eu-west-1", "ap-south-1", "us-east-1"):
        secret = rig.new_key()
        for _ in range(6):
            assert ask(rig.client(secret))
        assert Counter(event.target_id for event in rig.events(secret, 6)) == {region: 6}
        engines[region].process.kill()


# --- the console ---


def test_operators_state_an_order_of_regions(db):
    operator = staff("operator")
    set_region_order(["EU-west-1", " eu ", "eu"], by=operator)
    assert compile_snapshot().settings.region_order == ["eu-west-1", "eu"]
    entry = AuditEntry.objects.across_tenants().get(verb="gateway.region_order_set")
    assert entry.changes == {"regions": ["", "eu-west-1, eu"]}
    set_region_order(["eu-west-1", "eu"], by=operator)
    assert AuditEntry.objects.across_tenants().filter(verb="gateway.region_order_set").count() == 1
    with pytest.raises(ValidationError, match="no region"):
        set_region_order(["e u!"], by=operator)


def test_the_api_and_the_dialog_show_and_refuse(client, db):
    client.force_login(staff("operator"))
    path = "/api/v1/region-order/"
    assert client.post(path, {"regions": ["us", "eu"]}, content_type="application/json").status_code == 200
    assert client.get(path).json() == {"regions": ["us", "eu"]}
    wrong = client.post(path, {"regions": ["no region!"]}, content_type="application/json")
    assert wrong.status_code == 400
    assert "no region" in wrong.content.decode()
    assert "us\neu" in client.get("/admin/gateway/gateway/region-order/").content.decode()


def test_a_gateways_page_shows_its_region(client, db):
    gateway, token = registered()
    ack = {
        "revision": 0,
        "started_at": "x",
        "spool_pending": 0,
        "counters": {},
        "version": "1",
    }
    path = f"/internal/v1/gateways/{gateway.name}/ack"
    headers = {**token, "x-gateway-region": "eu-west-1"}
    assert client.post(path, ack, content_type="application/json", headers=headers).status_code == 204
    gateway.refresh_from_db()
    assert gateway.report["region"] == "eu-west-1"
    client.force_login(staff("operator"))
    assert "eu-west-1" in client.get(f"/admin/gateway/gateway/{gateway.pk}/change/").content.decode()
