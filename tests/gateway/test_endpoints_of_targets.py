"""A call goes only to targets that have its endpoint, and the answer names the others."""

import openai
import pytest

from catalog.models import ModelVersion
from deployments.models import RouteEntry
from deployments.providers.dialects import DIALECTS, ENDPOINT_OF_MODE
from deployments.routes import make_routable
from deployments.runtimes import chats_also, takes
from gateway.compile import compile_snapshot
from gateway.contract import ENDPOINTS, SERVED_MODES, ConfigSnapshot, RouteConfig
from gateway.contract import v1_config as v1
from gateway.contract.versions import Downgrade
from gateway.proxy import endpoints
from gateway.proxy.index import Index
from tests.factories import CatalogModelFactory, ModelVersionFactory, ProviderFactory, ProviderModelFactory
from tests.gateway.granted import RouteEntryFactory
from tests.gateway.scripted_backend import ScriptedBackend
from tests.gateway.targets import target

MODEL = "aurora-many-modes"
VECTORS = {
    "object": "list",
    "data": [{"index": 0, "embedding": [0.6, 0.8]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}


def route(*targets, modes=("chat", "embedding")):
    return RouteConfig(model="m", modes=list(modes), targets=list(targets))


def one(name, *modes):
    return target(id=name, url=f"http://{name}/v1", upstream_model="o", modes=list(modes))


def ids(found):
    return [each.id for group in found.groups for each in group] if found else []


def index_of(*routes):
    return Index(ConfigSnapshot(revision=1, issued_at="", keys=[], routes=list(routes)))


def of_mode(found, mode):
    return ids(found.for_calls("t", [], None, mode))


def test_every_path_of_the_contract_is_declared_and_has_an_endpoint_at_providers():
    assert endpoints.ENDPOINTS.keys() == ENDPOINTS.keys()
    assert {one.mode for one in endpoints.ENDPOINTS.values()} == SERVED_MODES <= ENDPOINT_OF_MODE.keys()


def test_only_targets_of_the_mode_are_tried():
    found = index_of(route(one("all"), one("chats", "chat"), one("vectors", "embedding"))).route("m")
    assert of_mode(found, "chat") == ["all", "chats"]
    assert of_mode(found, "embedding") == ["all", "vectors"]
    assert ids(found) == ["all", "chats", "vectors"]


def test_a_mode_that_this_gateway_does_not_know_is_ignored():
    found = index_of(route(one("new", "chat", "telepathy"), modes=("chat", "telepathy"))).route("m")
    assert of_mode(found, "chat") == ["new"]


def test_a_model_without_a_target_for_a_call_names_where_it_answers(shared_rig):
    backend = ScriptedBackend()
    shared_rig.routes.append(
        RouteConfig(model=MODEL, modes=["chat", "embedding"], targets=[backend.backend(modes=["embedding"])])
    )
    client = shared_rig.client(shared_rig.new_key(models=[MODEL]))
    backend.says(VECTORS)
    assert client.embeddings.create(model=MODEL, input="x", encoding_format="float").data[0].embedding == [
        0.6,
        0.8,
    ]
    with pytest.raises(openai.BadRequestError, match="answers at /v1/embeddings, not here") as refused:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}])
    assert refused.value.code == "wrong_endpoint"
    assert backend.paths == ["/v1/embeddings"]
    shared_rig.routes.pop()
    shared_rig.publish()
    backend.close()


def test_an_old_gateway_gets_no_mode_and_no_target_that_it_would_use_wrongly():
    def old(*targets, modes):
        whole = [route(*targets, modes=modes)]
        return (
            Downgrade(whole).snapshot(ConfigSnapshot(revision=1, issued_at="", keys=[], routes=whole)).routes
        )

    assert old(one("a"), modes=["rerank"]) == []
    [mixed] = old(
        one("a", "chat", "embedding"), one("b", "chat", "responses"), modes=["chat", "embedding", "responses"]
    )
    assert (mixed.modes, [each.id for each in mixed.backends]) == (["chat"], ["a", "b"])
    [some] = old(one("a", "embedding"), one("b", "chat", "embedding"), modes=["chat", "embedding"])
    assert (some.modes, [each.id for each in some.backends]) == (["chat", "embedding"], ["b"])
    assert v1.Mode.__args__ == ("chat", "embedding")


@pytest.mark.parametrize(
    ("slug", "mode", "modes"),
    [
        ("openai", "chat", {"chat", "responses"}),
        ("openai", "responses", {"responses"}),
        ("anthropic", "chat", {"chat"}),
        ("anthropic", "embedding", set()),
        ("azure", "chat", {"chat"}),
        ("mistral", "rerank", set()),
        ("vllm", "chat", {"chat", "completion", "responses"}),
        ("openai", "unknown", set()),
    ],
)
def test_what_a_provider_takes(slug, mode, modes):
    assert DIALECTS[slug].modes_of(mode) == modes


@pytest.mark.parametrize(
    ("image", "command", "also"),
    [
        ("vllm/vllm-openai:v0.11.0", [], {"completion", "responses"}),
        ("vllm/vllm-openai:v0.9.2", [], {"completion"}),
        ("own/image:1", ["vllm", "serve", "m"], {"completion"}),
        ("own/image:1", ["llama-server"], {"completion"}),
        ("own/image:1", ["serve"], set()),
    ],
)
def test_what_an_engine_is_known_to_take(image, command, also):
    assert chats_also(image, command) == also


def test_a_program_that_is_being_replaced_serves_what_both_programs_do():
    vllm, own = ("vllm/vllm-openai:v0.11.0", ()), ("own/image:1", ("serve",))
    assert takes("image_generation", [], *own)
    assert not takes("image_generation", [], *own, *vllm)
    assert not takes("image_generation", [], *vllm, *own)
    assert takes("image_generation", ["image_generation"], *vllm, *own)
    assert takes("rerank", [], *vllm, *own)


@pytest.mark.django_db
def test_the_configuration_names_the_modes_of_each_target():
    model = CatalogModelFactory(name="m", mode="chat")
    engine = RouteEntryFactory(
        deployment__version=ModelVersionFactory(model=model, endpoints=["embedding", "sorcery"])
    ).target
    provider = ProviderFactory(dialect="anthropic")
    listed = ProviderModelFactory(provider=provider, model=model, mode="")
    vectors = CatalogModelFactory(name="v", mode="embedding")
    without = ProviderModelFactory(provider=provider, model=vectors, mode="embedding")
    make_routable([listed, without])
    for row in (listed, without):
        RouteEntry.objects.create(route=row.model.route, target=row.target)
    routes = {each.model: each for each in compile_snapshot().routes}
    assert {each.id: each.modes for each in routes["m"].targets} == {
        str(engine.pk): ["chat", "embedding"],
        str(listed.target.pk): ["chat"],
    }
    assert routes["m"].modes == ["chat", "embedding"]
    assert routes["v"].targets == [], "Anthropic has no embeddings"
    assert ModelVersion.objects.get().endpoints == ["embedding", "sorcery"]
