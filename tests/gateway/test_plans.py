"""What holds for all calls of a key to a model is found once, and never the answer of another key, or of another
configuration.
"""

import gc
import uuid
import weakref

import pytest

from gateway.contract import (
    ConfigSnapshot,
    KeyConfig,
    LimitConfig,
    PriceConfig,
    RouteConfig,
    SettingsConfig,
)
from gateway.proxy import plans
from gateway.proxy.index import Index
from gateway.proxy.plans import plan_of
from gateway.proxy.records import Key
from tests.gateway.targets import target


def key_of(name, **fields):
    bound = LimitConfig(
        id=str(uuid.uuid4()), scope="key", scope_id=name, kind="requests_per_minute", value=len(name)
    )
    config = {
        "digest": name * 64, "key_id": name, "prefix": "qm_", "tenant_id": f"tenant {name}", "tenant_slug": name,
        "project_id": name, "project_slug": name, "models": ["a", "b"], "limits": [bound],
    }  # fmt: skip
    return KeyConfig(**config | fields)


def index_of(*keys, nano=5):
    routes = [
        RouteConfig(
            model=model,
            modes=["chat"],
            targets=[
                target(id=f"{model}1", url="http://a/v1", upstream_model="o", region="eu"),
                target(id=f"{model}2", url="http://b/v1", upstream_model="o", region="us"),
            ],
        )
        for model in ("a", "b", "c")
    ]
    prices = [
        PriceConfig(tenant_id="tenant x", model="a", nano_per_unit={"input": nano, "output": nano}),
        PriceConfig(tenant_id=None, model="a", nano_per_unit={"input": 1, "output": 1}),
    ]
    return Index(
        ConfigSnapshot(
            revision=1, issued_at="", keys=list(keys), routes=routes, prices=prices,
            settings=SettingsConfig(separation_key="k" * 43),
        )
    )  # fmt: skip


def test_keys_of_different_tenants_share_nothing_of_their_plans():
    index = index_of(key_of("x", regions=["eu"]), key_of("y", regions=["us"]))
    x, y = index.keys.get("x" * 64), index.keys.get("y" * 64)
    one, other = plan_of(index, x, "a", "chat"), plan_of(index, y, "a", "chat")
    for _ in range(2):
        assert (one, other) == (plan_of(index, x, "a", "chat"), plan_of(index, y, "a", "chat"))
    assert [backend.id for group in one.route.groups for backend in group] == ["a1"]
    assert [backend.id for group in other.route.groups for backend in group] == ["a2"]
    assert (one.limits, other.limits) == (x.config.limits, y.config.limits)
    assert (one.price.per_input_token, other.price.per_input_token) == (5, 1)
    assert one.apart.salt != other.apart.salt


def test_each_model_has_its_own_limits():
    index = index_of(
        key_of("x", limits=[
            LimitConfig(id="1", scope="key", scope_id="x", kind="money_per_month", value=1, model="a", is_hard=True),
            LimitConfig(id="2", scope="key", scope_id="x", kind="money_per_month", value=1, is_hard=False),
        ])
    )  # fmt: skip
    key = index.keys.get("x" * 64)
    a, b = plan_of(index, key, "a", "chat"), plan_of(index, key, "b", "chat")
    assert [[one.id for one in plan.limits] for plan in (a, b)] == [["1", "2"], ["2"]]
    assert (a.is_money_bounded, b.is_money_bounded) == (True, False)


@pytest.mark.parametrize(("model", "mode"), [("c", "chat"), ("unknown", "chat"), ("a", "embedding")])
def test_what_a_key_may_not_call_has_no_plan_and_leaves_nothing(model, mode):
    index = index_of(key_of("x"))
    assert plan_of(index, index.keys.get("x" * 64), model, mode) is None
    assert not index.plans


def test_the_end_of_a_grant_is_part_of_its_plan():
    index = index_of(key_of("x", grant_ends={"a": 50}))
    key = index.keys.get("x" * 64)
    assert plan_of(index, key, "a", "chat").grant_ends_at == 50
    assert plan_of(index, key, "b", "chat").grant_ends_at is None


def test_a_key_that_was_read_again_has_the_same_plan():
    config = key_of("x")
    index = index_of(config)
    plan = plan_of(index, index.keys.get("x" * 64), "a", "chat")
    assert plan_of(index, Key.of(config), "a", "chat") is plan


def test_a_new_configuration_has_new_plans_and_the_old_ones_go_with_theirs():
    config = key_of("x")
    before = index_of(config)
    assert plan_of(before, before.keys.get("x" * 64), "a", "chat").price.per_input_token == 5
    after = Index(index_of(config, nano=7).snapshot, before=before)
    assert plan_of(after, after.keys.get("x" * 64), "a", "chat").price.per_input_token == 7
    gone = weakref.ref(before)
    gc.disable()
    try:
        del before
        assert gone() is None
    finally:
        gc.enable()


def test_there_are_never_more_plans_than_the_bound(monkeypatch):
    monkeypatch.setattr(plans, "MOST_PLANS", 3)
    index = index_of(*(key_of(name) for name in "uvwxyz"))
    for name in "uvwxyz":
        plan_of(index, index.keys.get(name * 64), "a", "chat")
        assert len(index.plans) <= 3
