"""Clients say how their calls are routed, among the targets that may receive them at all."""

import time
from collections import Counter

import openai
import pytest
from django.core.exceptions import ValidationError

from audit.models import AuditEntry
from catalog.models import Offer
from deployments.routes import EntryPlan, change_route, make_routable, plan_of
from gateway.compile import compile_snapshot
from gateway.contract import RouteConfig
from gateway.proxy.first_tokens import HALF_LIFE_SECONDS, LEAST_SAMPLES, LONGEST_SECONDS, FirstTokens
from gateway.proxy.index import compile_route
from gateway.proxy.strategies import require_no_strategy
from tests.factories import CatalogModelFactory, ProviderFactory, ProviderModelFactory, staff
from tests.gateway.granted import RouteEntryFactory
from tests.gateway.proxy_fixtures import MODEL, Engine, ask

HEADER = "x-routing-strategy"


@pytest.fixture
def rig(configured_rig):
    """Five targets of one engine: a stable one that gets all calls, and what only a strategy chooses."""
    backend = configured_rig.engine.backend
    configured_rig.routes = [
        RouteConfig(
            model=MODEL,
            modes=["chat"],
            targets=[
                backend(id="own", weight=1000),
                backend(id="dear", priority=1, offer_nano_per_unit={"input": 50_000, "output": 90_000}),
                backend(id="cheap", priority=2, offer_nano_per_unit={"input": 10, "output": 20}),
                backend(id="canary", priority=3, variant="canary"),
                backend(id="far", priority=4, regions=["us"], offer_nano_per_unit={"input": 1, "output": 1}),
                backend(id="half", priority=5, offer_nano_per_unit={"output": 1}),
            ],
        )
    ]
    return configured_rig


def raw(rig, secret, strategy, **options):
    client = rig.client(secret, default_headers={HEADER: strategy} if strategy else {})
    return client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=8, **options
    )


def served(rig, secret, count):
    return Counter(event.target_id for event in rig.events(secret, count))


def test_without_the_header_the_route_decides_and_nothing_is_said(rig):
    secret = rig.new_key()
    assert HEADER not in raw(rig, secret, None).headers
    assert served(rig, secret, 1) == {"own": 1}


@pytest.mark.parametrize("strategy", ["canary", "Canary"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_variant_gets_the_calls_that_name_it(rig, strategy, stream):
    secret = rig.new_key()
    answer = raw(rig, secret, strategy, stream=stream)
    if stream:
        list(answer.parse())
    assert answer.headers[HEADER] == "canary; variant=canary"
    assert served(rig, secret, 1) == {"canary": 1}


def test_stable_is_the_variant_of_targets_that_have_no_other(rig):
    secret = rig.new_key()
    assert raw(rig, secret, "stable").headers[HEADER] == "stable; variant=stable"
    assert raw(rig, secret, "ab_test").headers[HEADER] == "ab_test; variant=stable"
    assert served(rig, secret, 2) == {"own": 2}


@pytest.mark.parametrize("strategy", ["blue", "", "stable,canary", "x" * 500, "own", "cheapest;"])
def test_an_unknown_strategy_is_refused_by_name(rig, strategy):
    secret = rig.new_key()
    client = rig.client(secret, default_headers={HEADER: strategy})
    with pytest.raises(openai.BadRequestError, match=r"cheapest.*fastest.*canary, stable") as refused:
        ask(client)
    assert (refused.value.code, refused.value.param) == ("unsupported_routing_strategy", HEADER)
    assert strategy not in str(refused.value) or strategy == ""


def test_the_cheapest_target_is_the_one_with_the_lowest_price_for_this_call(rig):
    secret = rig.new_key()
    said = raw(rig, secret, "cheapest").headers[HEADER]
    # Of the far target: 1 for each token, 8 of them of the answer.
    assert served(rig, secret, 1) == {"far": 1}
    name, variant, nano, currency = said.split("; ")
    assert (name, variant, currency) == ("cheapest", "variant=stable", "currency=USD")
    assert int(nano.removeprefix("nano=")) > 8


def test_no_strategy_leaves_the_tenants_regions(rig):
    rig.routes[0] = RouteConfig(
        model=MODEL,
        modes=["chat"],
        targets=[
            rig.engine.backend(id="near", regions=["eu"], offer_nano_per_unit={"input": 9, "output": 9}),
            rig.engine.backend(
                id="far", regions=["us"], variant="canary", offer_nano_per_unit={"input": 1, "output": 1}
            ),
        ],
    )
    secret = rig.new_key(regions=["eu"])
    for strategy in ("cheapest", "fastest", "ab_test"):
        assert raw(rig, secret, strategy).headers[HEADER].startswith(strategy)
    assert served(rig, secret, 3) == {"near": 3}
    with pytest.raises(openai.BadRequestError, match=r"\(stable\)"):
        raw(rig, secret, "canary")


def test_a_target_without_a_price_comes_last(rig, tmp_path):
    gone = Engine(tmp_path)
    gone.process.kill()
    gone.process.popen.wait()
    rig.routes[0] = RouteConfig(
        model=MODEL,
        modes=["chat"],
        targets=[
            rig.engine.backend(id="unpriced"),
            gone.backend(id="priced", priority=5, offer_nano_per_unit={"input": 9, "output": 9}),
        ],
    )
    secret = rig.new_key()
    assert raw(rig, secret, "cheapest").headers[HEADER] == "cheapest; variant=stable; nano=unknown"


def test_the_fastest_target_is_the_one_whose_streams_begin_first(new_rig, tmp_path):
    rig = new_rig("--latency-ms", "150")
    quick = Engine(tmp_path)
    rig.routes = [
        RouteConfig(
            model=MODEL,
            modes=["chat"],
            targets=[
                rig.engine.backend(id="slow"),
                quick.backend(id="quick", priority=1, variant="quick"),
            ],
        )
    ]
    secret = rig.new_key()
    assert raw(rig, secret, "fastest").headers[HEADER] == "fastest; variant=stable; ms=unknown"
    took = {}
    for strategy in (None, "quick"):
        began = time.monotonic()
        for _ in range(LEAST_SAMPLES):
            list(raw(rig, secret, strategy, stream=True).parse())
        took[strategy] = (time.monotonic() - began) * 1000
    said = raw(rig, secret, "fastest").headers[HEADER].split("; ")
    assert (said[:2], said[3]) == (["fastest", "variant=quick"], f"streams={LEAST_SAMPLES}")
    # Half of the streams took longer than their median, and it took no longer than all of them together.
    assert 0 <= int(said[2].removeprefix("ms=")) <= took["quick"] * 2 / LEAST_SAMPLES
    assert took[None] > 150 * LEAST_SAMPLES
    quick.process.kill()


def test_answers_name_no_target_and_no_address(rig):
    secret = rig.new_key()
    for strategy in ("cheapest", "fastest", "canary"):
        said = raw(rig, secret, strategy).headers[HEADER]
        assert not any(word in said for word in ("127.0.0.1", "far", "http", "dear", "engine"))


def test_a_variant_is_not_replaced_by_another_model(rig):
    rig.routes[0] = RouteConfig(
        model=MODEL,
        modes=["chat"],
        fallbacks=["other"],
        targets=[rig.engine.backend(id="canary", variant="canary", addresses=["http://127.0.0.1:9/v1"])],
    )
    rig.routes.append(RouteConfig(model="other", modes=["chat"], targets=[rig.engine.backend(id="o")]))
    models = (MODEL, "other")
    secret = rig.new_key(models=models, data_classes=dict.fromkeys(models, "public"))
    with pytest.raises(openai.InternalServerError):
        raw(rig, secret, "canary")
    answer = raw(rig, secret, "cheapest")
    assert answer.headers["x-model-served"] == "other"
    assert answer.headers[HEADER] == "cheapest; variant=stable; nano=unknown"


# --- the median ---


def test_old_streams_fade_from_the_median():
    now = [0.0]
    seen = FirstTokens(lambda: now[0])
    for _ in range(LEAST_SAMPLES - 1):
        seen.note("t", 1.0)
    assert seen.median("t") is None
    seen.note("t", 1.0)
    assert seen.median("t") == (1.0, LEAST_SAMPLES)
    now[0] = 2 * HALF_LIFE_SECONDS
    # Three new ones weigh 3, eight old ones a quarter each.
    for _ in range(3):
        seen.note("t", 9.0)
    assert seen.median("t") == (9.0, LEAST_SAMPLES + 3)
    now[0] += LONGEST_SECONDS + 1
    assert seen.median("t") is None
    seen.keep_only(set())
    assert seen.median("t") is None


def test_where_something_else_chooses_only_weights_are_a_strategy(rig):
    backend = rig.engine.backend
    of_one = compile_route(
        RouteConfig(model=MODEL, modes=["chat"], targets=[backend(id="a"), backend(id="b")])
    )
    of_two = compile_route(
        RouteConfig(model=MODEL, modes=["chat"], targets=[backend(id="a"), backend(id="b", variant="canary")])
    )
    for route in (of_one, of_two):
        require_no_strategy({}, route)
        require_no_strategy({HEADER: "ab_test"}, route)
        for asked in ("cheapest", "canary"):
            with pytest.raises(Exception, match="x-routing-strategy is not supported"):
                require_no_strategy({HEADER: asked}, route)
    require_no_strategy({HEADER: "Stable"}, of_one)
    with pytest.raises(Exception, match="x-routing-strategy is not supported"):
        require_no_strategy({HEADER: "stable"}, of_two)


# --- the console ---


def test_variants_and_offers_reach_gateways(db, client):
    model = CatalogModelFactory(name="m")
    route = RouteEntryFactory(deployment__version__model=model).route
    Offer.objects.create(
        model=model, source="s", source_key="mistral/m", provider="mistral", digest="x",
        prices={"input": "2.50000000", "output": "10", "request": "nonsense"},
    )  # fmt: skip
    provider = ProviderFactory(dialect="mistral")
    make_routable([listed := ProviderModelFactory(provider=provider, model=model, name="m")])
    [own] = plan_of(route)
    plan = [own, EntryPlan(listed.target.pk, variant="canary")]
    change_route(route.pk, plan, based_on=route.generation, by=staff("operator"))
    [config] = compile_snapshot().routes
    targets = {one.id: one for one in config.targets}
    theirs = targets[str(listed.target.pk)]
    assert (theirs.variant, theirs.offer_nano_per_unit) == ("canary", {"input": 2500, "output": 10_000})
    assert (targets[str(own.target_id)].variant, targets[str(own.target_id)].offer_nano_per_unit) == (
        "stable",
        {},
    )
    entry = AuditEntry.objects.across_tenants().get(verb="route.changed")
    assert entry.changes[listed.target.name] == ["", "weight 1, order 0, variant canary"]
    client.force_login(staff("operator"))
    shown = client.get(f"/api/v1/routes/{route.pk}/").json()
    assert sorted(one["variant"] for one in shown["entries"]) == ["canary", "stable"]
    page = client.get(f"/admin/deployments/route/{route.pk}/targets/").content.decode()
    assert 'value="canary"' in page


@pytest.mark.parametrize("variant", ["cheapest", "fastest", "Canary", "", "a b", "x" * 41])
def test_a_variant_is_a_name(db, variant):
    route = RouteEntryFactory().route
    [own] = plan_of(route)
    with pytest.raises(ValidationError, match="variant"):
        change_route(
            route.pk, [EntryPlan(own.target_id, variant=variant)], based_on=route.generation, by=None
        )


def test_a_saved_form_keeps_and_changes_variants(db, client):
    route = RouteEntryFactory().route
    [own] = plan_of(route)
    client.force_login(staff("operator"))
    page = f"/admin/deployments/route/{route.pk}/targets/"
    answers = {
        "generation": "0",
        f"weight_{own.target_id}": "1",
        f"variant_{own.target_id}": "blue",
        "save": "1",
    }
    assert client.post(page, answers).status_code == 302
    assert plan_of(route) == [EntryPlan(own.target_id, variant="blue")]
