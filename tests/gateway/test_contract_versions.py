"""Consoles and gateways of both versions of the contract understand one another, whichever is upgraded first."""

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.regions import is_allowed
from deployments.routes import EntryPlan, change_route, make_routable, plan_of
from gateway.compile import compile_snapshot
from gateway.contract import (
    CONTRACT_VERSION,
    DATA_CLASSES,
    ConfigSnapshot,
    ContractError,
    KeyConfig,
    RouteConfig,
    encode,
)
from gateway.contract import v1_config as v1
from gateway.contract.stream import ConfigEnd, ConfigHead, ConfigRouting, Unpacker, pack
from gateway.contract.versions import (
    READABLE,
    VERSION_HEADER,
    VERSIONS_HEADER,
    Downgrade,
    read_snapshot,
    spoken_with,
)
from gateway.proxy.config_build import IndexBuilder
from gateway.proxy.index import Index
from tenants.actions.tenancy import change_tenant
from tenants.models import DataClass
from tenants.revision import current_revision, raise_revision
from tests.factories import (
    CatalogModelFactory,
    ProjectFactory,
    ProviderFactory,
    ProviderModelFactory,
    member_of,
)
from tests.gateway.granted import RouteEntryFactory, compiled, compiled_changes, key_for, registered
from tests.gateway.targets import target

CONFIG = "/internal/v1/config"
SHA = "a" * 64

# What a console of version 1 sent, byte for byte.
OLD_SNAPSHOT = b"""{"revision":7,"issued_at":"2026-01-01T00:00:00Z","keys":[{"digest":"%s","key_id":"k",
"prefix":"qm_abc","tenant_id":"t","tenant_slug":"lab","project_id":"p","project_slug":"search","models":["m"],
"limits":[{"id":"l","scope":"key","scope_id":"k","kind":"tokens_per_day","value":5,"model":null,"is_hard":true,
"time_zone":"UTC","used":3,"used_as_of":1767225600}],"expires_at":null,"networks":["10.0.0.0/8"],
"grant_ends":{"m":1893456000}}],"routes":[{"model":"m","modes":["chat"],"backends":[{"id":"b","url":"http://x/v1",
"upstream_model":"own","weight":3,"priority":1,"region":"eu-west-1","cache_key_field":"cache_salt",
"only_tenant":null,"allowed_controls":["priority"]}],"max_output_tokens":9,"owned_by":"lab","created":1}],
"prices":[{"model":"m","nano_per_token":{"input":2},"currency":"EUR","tenant_id":null}],
"settings":{"max_body_bytes":8388608,"connect_timeout_seconds":3.0,"response_timeout_seconds":600.0,
"idle_timeout_seconds":120.0,"default_output_tokens":1024,"separation_key":"s","media_hosts":["a.example"]},
"contract_version":1}""" % SHA.encode()
OLD_LINES = [
    b'{"part":"head","revision":7,"issued_at":"now","after":null,"state":"m.d","settings":{},"contract_version":1}',
    b'{"part":"routing","routes":[{"model":"m","modes":["chat"],"backends":[{"id":"b","url":"http://x/v1",'
    b'"upstream_model":"own","weight":3}]}],"prices":[]}',
    b'{"part":"records","tenants":[{"id":"t","slug":"lab"}],"projects":[{"id":"p","slug":"s","tenant_id":"t",'
    b'"grant_ends":{"m":1893456000}}],"keys":[{"digest":"%s","key_id":"k","prefix":"qm_abc","project_id":"p",'
    b'"models":["m"]}]}' % SHA.encode(),
    b'{"part":"end","revision":7}',
]


def read(lines, before=None):
    """The index of a gateway that gets these lines."""
    builder = IndexBuilder(before)
    for line in lines:
        builder.take(line)
    return builder.index()


def lines_of(body):
    return list(Unpacker().feed(body))


def test_this_gateway_reads_a_whole_configuration_of_version_1():
    index = Index(read_snapshot(OLD_SNAPSHOT))
    key = index.keys.get(SHA)
    [group] = index.route_of("m", key.config).groups
    [one] = group
    assert (one.id, one.url, one.config.weight, one.config.priority) == ("b", "http://x/v1", 3, 1)
    assert (one.config.regions, one.config.cache_key_field) == (["eu-west-1"], "cache_salt")
    assert key.config.networks == ["10.0.0.0/8"]
    assert [(limit.kind, limit.value, limit.used) for limit in key.config.limits] == [
        ("tokens_per_day", 5, 3)
    ]
    assert index.price("t", "m").currency == "EUR"
    assert index.snapshot.contract_version == 1


def test_this_gateway_reads_lines_of_version_1():
    index = read(OLD_LINES)
    assert [one.id for one in index.route_of("m", index.keys.get(SHA).config).groups[0]] == ["b"]
    assert index.snapshot.contract_version == 1


@pytest.mark.parametrize(
    "old", [OLD_SNAPSHOT.replace(b'"key_id"', b'"surprise":1,"key_id"'), OLD_SNAPSHOT[:-9]]
)
def test_version_1_stays_strict(old):
    with pytest.raises(ContractError):
        read_snapshot(old)


def test_a_line_of_version_1_stays_strict():
    with pytest.raises(ContractError, match="surprise"):
        read(
            [
                *OLD_LINES[:2],
                OLD_LINES[2].replace(b'"slug":"lab"', b'"slug":"lab","surprise":1'),
                OLD_LINES[3],
            ]
        )


def new_lines(*, requires=(), version=CONTRACT_VERSION, extra=False):
    head = ConfigHead(
        revision=7, issued_at="now", state="m.d.2", requires=list(requires), contract_version=version
    )
    routing = ConfigRouting(
        routes=[
            RouteConfig(
                model="m", modes=["chat"], targets=[target(id="b", url="http://x/v1", upstream_model="o")]
            )
        ]
    )
    lines = lines_of(pack([head, routing, ConfigEnd(revision=7)]))
    if extra:
        lines = [orjson.dumps({**orjson.loads(line), "later": {"x": 1}}) for line in lines]
    return lines


def test_within_version_2_unknown_optional_fields_are_ignored():
    assert read(new_lines(extra=True)).route("m") is not None
    whole = orjson.loads(encode(ConfigSnapshot(revision=1, issued_at="", keys=[], routes=[])))
    assert read_snapshot(orjson.dumps({**whole, "later": 1})).revision == 1


@pytest.mark.parametrize(
    ("lines", "words"),
    [(new_lines(requires=["networks_by_asn"]), "networks_by_asn"), (new_lines(version=3), "version 3")],
)
def test_what_must_not_be_ignored_is_refused_by_name(lines, words):
    with pytest.raises(ContractError, match=words):
        read(lines)
    whole = ConfigSnapshot(revision=1, issued_at="", keys=[], routes=[], requires=["networks_by_asn"])
    with pytest.raises(ContractError, match="networks_by_asn"):
        Index(read_snapshot(encode(whole)))


def test_changes_in_another_version_are_not_put_on_top():
    index = read(OLD_LINES)
    head = ConfigHead(revision=8, issued_at="now", after=7)
    with pytest.raises(ContractError, match="another version"):
        read(lines_of(pack([head, ConfigEnd(revision=8)])), before=index)


@pytest.mark.parametrize(
    ("header", "version"),
    [(None, 1), ("1", 1), ("1,2", 2), ("2, 3", 2), ("3", None), ("x", None), ("", 1), ("1" * 5000, None)],
)
def test_both_speak_the_newest_version_that_they_share(header, version):
    assert spoken_with(header) == version


# --- the console ---


@pytest.fixture
def project(db):
    project = ProjectFactory(tenant__regions=["eu"])
    models = [CatalogModelFactory(name="near"), CatalogModelFactory(name="spread")]
    places = [(models[0], "eu-central-1"), (models[1], "eu-central-1"), (models[1], "us-east-1")]
    for number, (model, region) in enumerate(places):
        RouteEntryFactory(
            deployment__version__model=model,
            deployment__version__version=str(number),
            deployment__cluster__region=region,
        )
    project.key = key_for(project, *models)
    return project


def regions_of(index, digest, model):
    key = index.keys.get(digest)
    route = index.route_of(model, key.config) if model in key.config.models else None
    return (
        sorted(region for group in route.groups for one in group for region in one.config.regions)
        if route
        else None
    )


def test_a_tenants_calls_stay_in_its_regions_and_an_old_gateway_gets_only_safe_models(project):
    digest = project.key.digest
    for index in (
        read(lines_of(compiled(2))),
        Index(read_snapshot(encode(compile_snapshot()))),
    ):
        assert regions_of(index, digest, "near") == ["eu-central-1"]
        assert regions_of(index, digest, "spread") == ["eu-central-1"]
    whole = compile_snapshot()
    for index in (
        read(lines_of(compiled(1))),
        Index(read_snapshot(encode(Downgrade(whole.routes).snapshot(whole)))),
    ):
        assert regions_of(index, digest, "near") == ["eu-central-1"]
        assert regions_of(index, digest, "spread") is None, "a version-1 gateway would choose any target"


def test_what_an_old_gateway_gets_is_version_1_to_the_letter(project):
    reader = msgspec.json.Decoder(v1.ConfigPart)
    parts = [reader.decode(line) for line in lines_of(compiled(1))]
    assert isinstance(parts[0], v1.ConfigHead)
    assert isinstance(parts[-1], v1.ConfigEnd)
    whole = compile_snapshot()
    msgspec.json.decode(encode(Downgrade(whole.routes).snapshot(whole)), type=v1.ConfigSnapshot)


def test_new_regions_reach_both(project):
    owner = member_of(project.tenant, "owner")
    raise_revision()
    indexes = {version: read(lines_of(compiled(version))) for version in (1, 2)}
    change_tenant(project.tenant.pk, by=owner, regions=[])
    for version, index in indexes.items():
        _, body = compiled_changes(index.revision, index.state, version)
        now = read(lines_of(body), before=index)
        assert regions_of(now, project.key.digest, "spread") == ["eu-central-1", "us-east-1"], version


def test_a_state_of_the_other_version_gives_everything(project):
    raise_revision()
    index = read(lines_of(compiled(1)))
    owner = member_of(project.tenant, "owner")
    change_tenant(project.tenant.pk, by=owner, regions=[])
    assert compiled_changes(index.revision, index.state, 1) is not None
    assert compiled_changes(index.revision, index.state, 2) is None


def test_where_regions_matter_new_routes_are_everything_for_an_old_gateway(project):
    raise_revision()
    index = read(lines_of(compiled(1)))
    owner = member_of(project.tenant, "owner")
    change_tenant(project.tenant.pk, by=owner, name="Another name", regions=["us"])
    RouteEntryFactory(deployment__version__model=CatalogModelFactory(name="third"))
    assert compiled_changes(index.revision, index.state, 1) is None


def test_an_old_gateway_gets_a_model_back_that_only_safe_targets_serve_again(db):
    model, project = CatalogModelFactory(name="both"), ProjectFactory()
    key = key_for(project, model)
    route = RouteEntryFactory(deployment__version__model=model).route
    listed = ProviderModelFactory(provider=ProviderFactory(highest_data_class="public"), model=model)
    make_routable([listed])
    own = plan_of(route)
    change_route(route.pk, [*own, EntryPlan(listed.target.pk)], based_on=route.generation, by=None)
    index = read(lines_of(compiled(1)))
    assert index.keys.get(key.digest).config.models == [], "its data may not go to the provider"
    change_route(route.pk, own, based_on=route.generation + 1, by=None)
    assert compiled_changes(index.revision, index.state, 1) is None, "changes would not name the project"
    index = read(lines_of(compiled(1)), before=index)
    assert index.keys.get(key.digest).config.models == ["both"]


@pytest.mark.parametrize(
    ("headers", "version"), [({}, "1"), ({VERSIONS_HEADER: READABLE}, "2"), ({VERSIONS_HEADER: "1"}, "1")]
)
def test_the_console_answers_in_the_gateways_version(client, project, headers, version):
    raise_revision()
    _, token = registered()
    answer = client.get(CONFIG, {"after": 0}, headers={**token, **headers})
    assert (answer.status_code, answer[VERSION_HEADER]) == (200, version)
    assert read_snapshot(answer.content).contract_version == int(version)
    same = client.get(CONFIG, {"after": current_revision()}, headers={**token, **headers})
    assert (same.status_code, same[VERSION_HEADER]) == (204, version), "also while nothing is new"


def test_a_gateway_of_an_unknown_version_is_told_so(client, project):
    _, token = registered()
    answer = client.get(CONFIG, {"after": 0}, headers={**token, VERSIONS_HEADER: "9"})
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_version")


def test_the_contract_orders_data_classes_as_tenants_do():
    assert list(DATA_CLASSES) == DataClass.values


# --- residency, over random policies ---

REGIONS = ["", "eu", "eu-west-1", "eu-central-1", "europe-1", "us", "us-east-1", "ap-south-1"]


@given(
    targets=st.lists(
        st.tuples(
            st.sampled_from(REGIONS), st.sampled_from(DATA_CLASSES), st.integers(0, 2), st.integers(0, 2)
        ),
        max_size=6,
    ),
    allowed=st.lists(st.sampled_from(["eu", "us-east-1", "ap"]), unique=True),
    data_class=st.sampled_from(DATA_CLASSES),
)
def test_no_call_of_a_resident_tenant_leaves_its_regions_or_its_class(targets, allowed, data_class):
    route = RouteConfig(
        model="m",
        modes=["chat"],
        targets=[
            target(
                id=str(at), url=f"http://{at}/v1", upstream_model="o", region=region, highest_data_class=highest,
                weight=weight, priority=priority,
            )
            for at, (region, highest, weight, priority) in enumerate(targets)
        ],
    )  # fmt: skip
    key = KeyConfig(
        digest=SHA, key_id="k", prefix="qm_", tenant_id="t", tenant_slug="t", project_id="p", project_slug="p",
        models=["m"], regions=allowed, data_classes={"m": data_class},
    )  # fmt: skip
    snapshot = ConfigSnapshot(revision=1, issued_at="", keys=[key], routes=[route])

    def may(region, highest):
        inside = not allowed or any(region == one or region.startswith(one + "-") for one in allowed)
        return inside and DATA_CLASSES.index(highest) >= DATA_CLASSES.index(data_class)

    permitted = {
        str(at) for at, (region, highest, weight, _) in enumerate(targets) if weight and may(region, highest)
    }
    found = Index(snapshot).route_of("m", key)
    assert ({one.id for group in found.groups for one in group} if found else set()) == permitted
    assert (found is None) == (not permitted)
    # An old gateway sends to any target of a route, so it may know the model only if all are permitted.
    old = Index(read_snapshot(encode(Downgrade([route]).snapshot(snapshot))))
    known = "m" in old.keys.get(SHA).config.models
    assert known == all(may(region, highest) for region, highest, _, _ in targets)


@pytest.mark.parametrize(
    ("region", "allowed", "is_inside"),
    [
        ("eu-west-1", ["eu"], True),
        ("europe", ["eu"], False),
        ("", ["eu"], False),
        ("", [], True),
        ("eu", ["eu-west-1"], False),
    ],
)
def test_a_region_lies_in_another_by_whole_words(region, allowed, is_inside):
    assert is_allowed(region, allowed) is is_inside


@pytest.mark.parametrize(
    ("addresses", "weights"), [((1, 2), (2, 1, 1)), ((3, 1), (1, 1, 1, 3)), ((0, 1), (1,))]
)
def test_an_old_gateway_shares_a_targets_weight_over_its_addresses(addresses, weights):
    route = RouteConfig(
        model="m",
        modes=["chat"],
        targets=[
            target(
                id=str(at),
                url="",
                addresses=[f"http://{at}-{n}/v1" for n in range(count)],
                upstream_model="o",
            )
            for at, count in enumerate(addresses)
        ],
    )
    [old] = (
        Downgrade([route]).snapshot(ConfigSnapshot(revision=1, issued_at="", keys=[], routes=[route])).routes
    )
    assert tuple(one.weight for one in old.backends) == weights
