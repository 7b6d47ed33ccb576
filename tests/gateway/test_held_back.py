"""A part of the configuration that cannot be proved holds nothing else back, least of all a revocation."""

from contextlib import contextmanager
from decimal import Decimal

import msgspec
import pytest
from django.db import transaction
from django.utils.timezone import now
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from audit.models import AuditEntry
from catalog.models import Grant
from core.regions import is_allowed
from deployments.degrading import Degrading, change_degrading
from deployments.fallbacks import change_fallbacks
from deployments.models import Cluster, Provider, RouteEntry
from deployments.provider_actions import disable_provider
from deployments.routes import EntryPlan, change_route, make_routable, plan_of
from gateway import records
from gateway.contract import DATA_CLASSES
from gateway.contract.stream import ConfigRouting, Unpacker
from gateway.contract.versions import PartReader
from gateway.models import ConfigRefusal
from gateway.proof import NotProved, Proof
from gateway.proxy.config_build import IndexBuilder
from gateway.refused import note_refused
from gateway.snapshots import SharedSnapshots
from tenants.actions import set_limits, suspend_tenant
from tenants.models import ApiKey, Tenant
from tenants.revision import raise_revision
from tests.factories import CatalogModelFactory, ProjectFactory, ProviderFactory, ProviderModelFactory, staff
from tests.gateway.granted import RouteEntryFactory, compiled, compiled_changes, key_for, registered

MODELS = ("one", "two", "three")
pytestmark = pytest.mark.django_db


class World:
    """Three models with targets in eu, in us, and at a provider; a bound tenant and a free one."""

    def __init__(self):
        self.models = [CatalogModelFactory(name=name) for name in MODELS]
        for model in self.models:
            for region in ("eu-west-1", "us-east-1"):
                route = RouteEntryFactory(
                    deployment__version__model=model,
                    deployment__version__version=region,
                    deployment__cluster__region=region,
                ).route
            highest = "public" if model is self.models[0] else "confidential"
            provider = ProviderFactory(highest_data_class=highest, regions=["eu"])
            make_routable([listed := ProviderModelFactory(provider=provider, model=model)])
            entries = [*plan_of(route), EntryPlan(listed.target.pk)]
            change_route(route.pk, entries, based_on=route.generation, by=None)
        self.bound = ProjectFactory(tenant__regions=["eu"])
        self.free = ProjectFactory()
        self.keys = [key_for(project, *self.models) for project in (self.bound, self.bound, self.free)]
        self.lasting = self.keys[1]
        set_limits(self.free.tenant, {"tokens_per_day": Decimal(1000)}, by=None)
        self.operator = staff("operator")
        raise_revision()


@pytest.fixture
def world():
    return World()


@contextmanager
def rolled_back():
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@contextmanager
def broken(faults, *, raises=False):
    """Let gateways be told of targets what `faults` has for (model, place in its route), as a fault in code would.

    With `raises`, no route can be compiled at all.
    """
    real, seen = records.routes, {}

    def routes():
        if raises:
            raise KeyError("an odd row")
        found = []
        for route in real():
            targets = [
                msgspec.structs.replace(target, **faults.get((route.model, at), {}))
                for at, target in enumerate(route.targets)
            ]
            found.append(msgspec.structs.replace(route, targets=targets))
        seen["routes"] = found
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "routes", routes)
        yield seen


def read(body, index=None):
    builder = IndexBuilder(index)
    for line in Unpacker().feed(body):
        builder.take(line)
    return builder.index()


def prove(body, index):
    """Run the proof over what was published, as the console should have done."""
    parts = [PartReader().read(line) for line in Unpacker().feed(body)]
    routing = [part for part in parts if isinstance(part, ConfigRouting)]
    known = routing[0] if routing else ConfigRouting(routes=index.snapshot.routes)
    proof = Proof(known, 2, is_everything=False)
    for part in [known, *parts]:
        proof.take(part)


def assert_nobody_reaches_what_the_rows_forbid(index, world):
    """The same in this test's own words: what each key reaches, compared with the rows."""
    regions = dict(Tenant.objects.values_list("pk", "regions"))
    rows = {str(entry.target_id): entry for entry in RouteEntry.objects.filter(weight__gt=0)}
    for key in world.keys:
        known = index.keys.get(key.digest)
        for model in MODELS if known is not None else ():
            route = index.route_of(model, known.config, "chat") if known.may_call(model, 0) else None
            for backend in [one for group in route.groups for one in group] if route else []:
                entry = rows[backend.id]
                target = entry.target
                assert entry.route.model.name == model
                assert all(is_allowed(one, regions[key.tenant_id]) for one in target.regions or [""])
                if target.provider_model is not None:
                    provider = Provider.objects.get(pk=target.provider_model.provider_id)
                    assert provider.is_enabled
                    least = DATA_CLASSES.index(known.config.data_classes[model])
                    assert DATA_CLASSES.index(provider.highest_data_class) >= least
                else:
                    assert target.deployment.only_tenant_id in (None, key.tenant_id)


# --- what happens meanwhile; each returns what must then hold ---


def revoke(world):
    ApiKey.objects.across_tenants().filter(pk=world.keys[0].pk).update(state="revoked", revoked_at=now())
    raise_revision(keys=[world.keys[0].pk])
    return lambda index: index.keys.get(world.keys[0].digest) is None


def suspend(world):
    suspend_tenant(world.bound.tenant.pk, by=world.operator, reason="unpaid")
    return lambda index: index.keys.get(world.keys[0].digest) is None


def lower_a_limit(world):
    set_limits(world.free.tenant, {"tokens_per_day": Decimal(3)}, by=None)
    return lambda index: [one.value for one in index.keys.get(world.keys[2].digest).config.limits] == [3]


def end_a_grant(world):
    grants = Grant.objects.across_tenants().filter(project=world.free, model=world.models[0])
    grants.update(revoked_at=now())
    raise_revision(projects=[world.free.pk])
    return lambda index: index.keys.get(world.keys[2].digest).config.models == ["three", "two"]


def bind_a_tenant(world):
    Tenant.objects.filter(pk=world.free.tenant_id).update(regions=["us"])
    raise_revision(tenants=[world.free.tenant_id])
    return lambda index: index.keys.get(world.keys[2].digest).config.regions == ["us"]


def disable(world):
    provider = Provider.objects.order_by("pk")[1]
    disable_provider(provider.pk, by=None)
    entry = RouteEntry.objects.get(target__provider_model__provider=provider)
    return lambda index: all(
        str(entry.target_id) != target.id for route in index.snapshot.routes for target in route.targets
    )


MEANWHILE = [revoke, suspend, lower_a_limit, end_a_grant, bind_a_tenant, disable]
FAULT = st.fixed_dictionaries(
    {},
    optional={
        "regions": st.sampled_from([[], ["eu-west-1"], ["us-east-1"], ["eu", "us"]]),
        "highest_data_class": st.sampled_from(DATA_CLASSES),
        "only_tenant": st.just("0198c5b0-0000-7000-8000-000000000001"),
        "id": st.just("0198c5b0-0000-7000-8000-000000000000"),
        "addresses": st.sampled_from([["ftp://odd/v1"], [], ["http://10.0.0.9/v1"]]),
        "modes": st.just(["embedding"]),
    },
)
FAULTS = st.dictionaries(st.tuples(st.sampled_from(MODELS), st.integers(0, 2)), FAULT, max_size=5)


# Shrinking takes minutes.
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    faults=FAULTS,
    begins_broken=st.booleans(),
    raises=st.booleans(),
    act=st.sampled_from(MEANWHILE),
    moves=st.booleans(),
)
def test_a_revocation_is_in_the_next_delta_and_nothing_unproved_is_published(
    world, faults, begins_broken, raises, act, moves
):
    with rolled_back():
        index = read(compiled())
        if begins_broken:
            with broken(faults):
                index = read(compiled())
                prove(compiled(), index)
        if moves:
            # A row that the last proved routes do not have.
            Cluster.objects.filter(region="eu-west-1").update(region="us-west-2")
        with broken(faults, raises=raises):
            holds = act(world)
            _, body = compiled_changes(index.revision, index.state)
            prove(body, index)
            index = read(body, index)
            assert holds(index)
            assert_nobody_reaches_what_the_rows_forbid(index, world)
            whole = read(compiled())
            assert holds(whole)
            assert_nobody_reaches_what_the_rows_forbid(whole, world)
            # The next one is as good.
            raise_revision(keys=[world.lasting.pk])
            assert holds(read(compiled_changes(index.revision, index.state)[1], index))
        raise_revision(routing=True)
        _, body = compiled_changes(index.revision, index.state)
        assert read(body, index).snapshot.routes == records.routes()


def test_a_route_at_fault_stays_as_it_was_proved_last_and_the_others_move_on(world):
    index = read(compiled())
    before = {route.model: route for route in index.snapshot.routes}
    with broken({("one", 1): {"regions": ["eu-west-1"]}}) as told:
        route = world.models[1].route
        route.refresh_from_db()
        entries = list(plan_of(route))[:1]
        change_route(route.pk, entries, based_on=route.generation, by=None)
        _, body = compiled_changes(index.revision, index.state)
        index = read(body, index)
        assert index.routes["one"].config == before["one"] != told["routes"][0]
        assert len(index.routes["two"].config.targets) == 1
    refusal = ConfigRefusal.objects.get()
    assert refusal.stands
    assert "one would reach a target that lies outside the tenant's regions" in refusal.reason


def test_a_route_at_fault_keeps_no_target_that_the_rows_forbid_now(world):
    index = read(compiled())
    with broken({("one", 1): {"regions": ["eu-west-1"]}}):
        Cluster.objects.filter(region="eu-west-1").update(region="ap-south-1")
        raise_revision(routing=True)
        index = read(compiled_changes(index.revision, index.state)[1], index)
    regions = [target.regions for target in index.routes["one"].config.targets]
    assert ["eu-west-1"] not in regions
    assert ["us-east-1"] in regions


def test_a_route_at_fault_keeps_no_model_that_was_taken_out_of_it(world):
    """People take a fallback or a smaller model out because calls shall not go there."""
    route = world.models[0].route
    change_fallbacks(route.pk, ["two", "three"], based_on=generation(route), by=None)
    smaller = Degrading("two", money_percent=80)
    change_degrading(route.pk, smaller, based_on=generation(route), by=None)
    index = read(compiled())
    assert index.routes["one"].config.degrading.model == "two"
    with broken({("one", 1): {"regions": ["eu-west-1"]}}):
        change_fallbacks(route.pk, ["three"], based_on=generation(route), by=None)
        _, body = compiled_changes(index.revision, index.state)
        held = read(body, index).routes["one"].config
        assert held.fallbacks == ["three"]
        assert held.degrading.model == "two", "what nobody changed stays"
        change_degrading(route.pk, Degrading(), based_on=generation(route), by=None)
        _, body = compiled_changes(index.revision, index.state)
        assert read(body, index).routes["one"].config.degrading is None


def generation(route):
    route.refresh_from_db()
    return route.generation


@pytest.mark.parametrize("is_granted", [True, False])
def test_a_route_that_no_gateway_could_read_stays_at_its_last_addresses(world, is_granted):
    """Gateways refuse a whole configuration for one such route, also if nobody may call its model."""
    if not is_granted:
        Grant.objects.across_tenants().filter(model=world.models[0]).update(revoked_at=now())
        raise_revision(projects=[world.bound.pk, world.free.pk])
    index = read(compiled())
    entry = RouteEntry.objects.filter(route__model=world.models[0]).order_by("pk")[0]
    known = [target.addresses for target in index.routes["one"].config.targets]
    entry.target.addresses.update(url="ftp://odd/v1")
    holds = revoke(world)
    _, body = compiled_changes(index.revision, index.state)
    after = read(body, index)
    assert holds(after)
    assert [target.addresses for target in after.routes["one"].config.targets] == known
    assert holds(read(compiled()))
    assert "No gateway could read the route of one" in ConfigRefusal.objects.get().reason


def test_without_any_routes_gateways_keep_the_last_ones(world):
    index = read(compiled())
    with broken({}, raises=True):
        holds = revoke(world)
        _, body = compiled_changes(index.revision, index.state)
    assert holds(read(body, index))
    assert read(body, index).snapshot.routes == index.snapshot.routes
    assert "cannot be compiled" in ConfigRefusal.objects.get().reason


def test_what_is_found_again_is_told_once(world):
    faults = [NotProved(f"Fault {number}.", model="one") for number in range(3)]
    note_refused(faults, 5)
    note_refused(faults[::-1], 6)
    # As changes show, of which only some have a fault.
    row = note_refused(faults[1:2], 7)
    entries = AuditEntry.objects.across_tenants().filter(verb="configuration.refused")
    assert entries.count() == 1
    assert (row.revision, row.reason) == (5, "Fault 0. Fault 1. Fault 2.")
    row = note_refused([*faults, NotProved("Another.", model="two")], 8)
    assert entries.count() == 2
    assert (row.revision, row.reason) == (8, "Another. Fault 0. Fault 1. Fault 2.")


def test_a_gateway_hears_of_a_revoked_key_while_a_route_is_at_fault(world, client, monkeypatch):
    monkeypatch.setattr("gateway.views.shared_snapshots", SharedSnapshots())
    headers = {"Accept": "application/vnd.quartermaster.config", "x-contract-versions": "1,2"}
    _, token = registered()
    first = client.get("/internal/v1/config", {"after": 0}, headers={**token, **headers})
    index = read(b"".join(first.streaming_content))
    with broken({("one", 1): {"regions": ["eu-west-1"]}}):
        revoke(world)
        asked = {"after": index.revision, "state": index.state}
        answer = client.get("/internal/v1/config", asked, headers={**token, **headers})
    assert answer.status_code == 200
    assert read(answer.content, index).keys.get(world.keys[0].digest) is None
    assert read(answer.content, index).keys.get(world.lasting.digest) is not None


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_go_on(world, version):
    raise_revision()
    with broken({("one", 1): {"regions": ["eu-west-1"]}}):
        holds = revoke(world)
        index = read(compiled(version))
    assert holds(index)
    assert index.keys.get(world.keys[2].digest).config.models
