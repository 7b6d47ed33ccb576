"""Over random routes, policies, strategies, sessions, fallbacks, smaller models and failures: no call leaves its
tenant's regions, class, or grants.
"""

import asyncio
import random
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract import (
    DATA_CLASSES,
    ConfigSnapshot,
    DegradingConfig,
    KeyConfig,
    RouteConfig,
    SettingsConfig,
)
from gateway.proxy.degrading import smaller_model
from gateway.proxy.errors import Refusal
from gateway.proxy.index import Index
from gateway.proxy.metrics import Metrics
from gateway.proxy.records import Key
from gateway.proxy.routing import Router
from gateway.proxy.strategies import choose
from tests.gateway.targets import target

REGIONS = ["", "eu", "eu-west-1", "eu-central-1", "europe-1", "us", "us-east-1", "ap-south-1"]
MODELS = ["a", "b", "c"]
CLASSES = st.sampled_from(DATA_CLASSES)
targets = st.lists(
    st.tuples(
        st.sampled_from(REGIONS),
        st.sampled_from(DATA_CLASSES),
        st.integers(0, 2),
        st.integers(0, 2),
        st.sampled_from(["stable", "canary"]),
    ),
    min_size=1,
    max_size=4,
)


# Every route is too slow.
SLOW = SimpleNamespace(first_tokens=SimpleNamespace(median=lambda *targets: (9.0, 8)))
# What it costs, and whether that is known, differs by target.
CALL = SimpleNamespace(
    model="a",
    mode="chat",
    is_stream=False,
    is_priced_by=lambda price: bool(price.nano),
    estimate=lambda route, price, most: SimpleNamespace(input_nano=price.nano["input"], output_nano=0),
)
# Some targets have been heard of, the later ones sooner.
HEARD = SimpleNamespace(median=lambda target: None if target.endswith("0") else (1.0 / int(target[-1]), 9))


def configured(routes, fallbacks, smaller):
    return [
        RouteConfig(
            model=model,
            modes=["chat"],
            fallbacks=fallbacks if model == "a" else [],
            degrading=DegradingConfig(model=smaller, first_token_ms=1) if model == "a" else None,
            targets=[
                target(
                    id=f"{model}{at}", url=f"http://{model}{at}/v1", upstream_model="o", region=region,
                    highest_data_class=highest, weight=weight, priority=priority, variant=variant,
                    offer_nano_per_unit={"input": 9 - at} if at % 2 else {},
                )
                for at, (region, highest, weight, priority, variant) in enumerate(routes[model])
            ],
        )
        for model in MODELS
    ]  # fmt: skip


@settings(max_examples=300)
@given(
    routes=st.fixed_dictionaries(dict.fromkeys(MODELS, targets)),
    fallbacks=st.permutations(["b", "c", "unknown"]),
    smaller=st.sampled_from(["b", "c", "unknown"]),
    may_degrade=st.booleans(),
    granted=st.fixed_dictionaries({"a": CLASSES}, optional={"b": CLASSES, "c": CLASSES}),
    ended=st.sets(st.sampled_from(["b", "c"])),
    allowed=st.lists(st.sampled_from(["eu", "us-east-1", "ap"]), unique=True),
    here=st.sampled_from(REGIONS),
    order=st.lists(st.sampled_from(["eu", "us", "ap"]), unique=True),
    strategy=st.sampled_from([None, "cheapest", "fastest", "ab_test", "stable", "canary"]),
    session=st.sampled_from([b"", b"one", b"two"]),
    seed=st.integers(0, 2**16),
)
def test_no_call_of_a_resident_tenant_ever_leaves(
    routes, fallbacks, smaller, may_degrade, granted, ended, allowed, here, order, strategy, session, seed
):
    configs = configured(routes, fallbacks, smaller)
    key = KeyConfig(
        digest="a" * 64, key_id="k", prefix="qm_", tenant_id="t", tenant_slug="t", project_id="p", project_slug="p",
        models=list(granted), regions=allowed, data_classes=granted, grant_ends=dict.fromkeys(ended, 50),
        may_degrade=may_degrade,
    )  # fmt: skip
    index = Index(
        ConfigSnapshot(
            revision=1, issued_at="", keys=[key], routes=configs, settings=SettingsConfig(region_order=order)
        )
    )
    index.serve_from(here)
    facts = {one.id: one for route in configs for one in route.targets}
    held = Key.of(key)
    router = Router(Metrics())
    dice = random.Random(seed)
    for _ in range(8):
        route = index.route_of("a", key, "chat") if held.may_call("a", 100) else None
        reached = []
        chosen = None if route is None else asyncio.run(smaller_model(SLOW, index, held, CALL, route))
        assert chosen is None or may_degrade
        asked = [chosen.route] if chosen else []
        asked += [] if route is None else [route, *index.stand_ins(route, held, "chat", 100)]
        for one in asked:
            model = one.config.model
            if strategy is not None:
                try:
                    one = choose(strategy, one, CALL, HEARD, 10).route
                except Refusal:
                    continue
            for backend in router.candidates(one, session):
                reached.append((model, backend))
                if dice.random() < 0.7:
                    router.failed(backend, "connect", is_reachable=dice.random() < 0.5)
                else:
                    router.answered(backend)
                    break
        for model, backend in reached:
            stated = facts[backend.id]
            assert backend.id.startswith(model)
            assert model in granted
            assert model not in ended
            [region] = stated.regions or [""]
            assert not allowed or any(region == one or region.startswith(f"{one}-") for one in allowed)
            least = DATA_CLASSES.index(granted["a"])
            assert DATA_CLASSES.index(stated.highest_data_class) >= least
            assert DATA_CLASSES.index(granted[model]) >= least
            assert stated.weight
            assert strategy not in ("stable", "canary") or stated.variant == strategy
