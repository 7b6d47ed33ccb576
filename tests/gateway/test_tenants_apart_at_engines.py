"""What tenants share behind the gateway: the prefix cache of an engine, and names that clients choose."""

from uuid import uuid4

import msgspec
import pytest
import requests

from gateway.contract import RouteConfig, SettingsConfig
from gateway.proxy.separation import Separation
from tests.gateway.proxy_fixtures import Gateway, wait_until
from tests.gateway.scripted_backend import ScriptedBackend, plain

MODEL = "aurora-apart"
PROMPT = (
    "The secret figure of this quarter is four hundred and twelve million euros, and nobody may know. " * 3
)


@pytest.fixture
def rig(configured_rig):
    rig = configured_rig
    # No test finds the prefix of another in the engine's cache.
    rig.prompt = f"{uuid4()} {PROMPT}"
    rig.settings = SettingsConfig(separation_key="of this installation")
    serve(rig, rig.engine.backend(cache_key_field="cache_salt"))
    return rig


def serve(rig, *backends):
    rig.routes = [RouteConfig(model=MODEL, modes=["chat"], targets=list(backends))]


def key_of(rig, tenant):
    """A key of another tenant than the fixtures' own."""
    secret = rig.new_key(models=[MODEL])
    rig.keys[-1] = msgspec.structs.replace(rig.keys[-1], tenant_id=tenant, tenant_slug=tenant)
    rig.publish()
    return secret


def call(rig, secret, gateway=None, **fields):
    prompt = getattr(rig, "prompt", PROMPT)
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 2, **fields}
    headers = {"authorization": f"Bearer {secret}"}
    url = (gateway or rig.gateway).url
    return requests.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=60)


def cached(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_a_prefix_that_one_tenant_brought_in_does_not_show_to_another(rig):
    ours, theirs = key_of(rig, "aurora"), key_of(rig, "helios")
    assert cached(call(rig, ours)) == 0
    assert cached(call(rig, ours)) > 0, "one's own prefix is cached"
    assert cached(call(rig, theirs)) == 0, "another tenant's is not"
    assert cached(call(rig, theirs)) > 0
    assert cached(call(rig, key_of(rig, "aurora"))) > 0, "keys of one tenant share it"


def test_a_tenant_has_one_salt_at_every_gateway_and_cannot_choose_or_see_it(rig, tmp_path):
    secret = key_of(rig, "aurora")
    call(rig, secret)
    salt = rig.engine.seen()["last"]["body"]["cache_salt"]
    assert (
        salt
        == Separation("of this installation").salt_of("aurora")
        != Separation("another").salt_of("aurora")
    )
    assert len(salt) == 43
    (tmp_path / "second").mkdir()
    second = Gateway(rig.control, tmp_path / "second")
    second.start()
    try:
        assert cached(call(rig, secret, gateway=second)) > 0
    finally:
        second.process.kill()
    for name in ("cache_salt", "Cache_Salt", "cacheSalt", "cache-salt"):
        answer = call(rig, secret, **{name: "mine"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_parameter")
        assert answer.json()["error"]["param"] == name
    answer = call(rig, secret, cache_salt=None)
    assert answer.status_code == 400


def test_the_field_goes_only_to_a_server_that_is_known_to_take_it(rig):
    serve(rig, rig.engine.backend())
    call(rig, key_of(rig, "aurora"))
    assert "cache_salt" not in rig.engine.seen()["last"]["body"]


def test_a_salt_that_a_server_repeats_in_an_error_is_cut_out(rig):
    scripted = ScriptedBackend()
    try:
        serve(rig, scripted.backend(cache_key_field="cache_salt"))
        secret = key_of(rig, "aurora")
        salt = Separation("of this installation").salt_of("aurora")
        scripted.says({"error": {"message": f"bad input {salt} for user"}}, status=400)
        assert salt not in call(rig, secret).text
        assert scripted.asked[-1][1]["cache_salt"] == salt
    finally:
        scripted.close()


def test_a_snapshot_with_a_salted_backend_and_no_key_changes_nothing(rig):
    secret = key_of(rig, "aurora")
    rig.settings = SettingsConfig()
    rig.publish(wait=False)
    wait_until(lambda: "has no key" in rig.control.acks[-1].problem, what="the refusal of the snapshot")
    assert call(rig, secret).status_code == 200
    assert "cache_salt" in rig.engine.seen()["last"]["body"]


def test_a_backend_of_one_tenant_serves_nobody_else(rig):
    serve(rig, rig.engine.backend(only_tenant="aurora"))
    ours, theirs = key_of(rig, "aurora"), key_of(rig, "helios")
    assert call(rig, ours).status_code == 200
    refused = call(rig, theirs)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    for secret, listed in ((ours, [MODEL]), (theirs, [])):
        answer = requests.get(
            f"{rig.gateway.url}/v1/models", headers={"authorization": f"Bearer {secret}"}, timeout=60
        )
        assert [one["id"] for one in answer.json()["data"]] == listed


def test_names_of_users_and_caches_are_apart_and_the_clients_own_words_stay_here(rig):
    ours, theirs = key_of(rig, "aurora"), key_of(rig, "helios")
    names = {"user": "ada@aurora.example", "prompt_cache_key": "k1", "safety_identifier": "s1"}
    seen = []
    for secret in (ours, ours, theirs):
        assert call(rig, secret, **names).status_code == 200
        body = rig.engine.seen()["last"]["body"]
        seen.append({name: body[name] for name in names})
    assert seen[0] == seen[1]
    for name, sent in names.items():
        assert len({sent, seen[0][name], seen[2][name]}) == 3
    assert "ada@aurora.example" not in str(seen)
    answer = call(rig, ours, user=7)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "user")


KEPT = [
    ("previous_response_id", "resp_1"), ("conversation", "conv_1"), ("conversation", {"id": "conv_1"}),
    ("store", True), ("Store", True), ("background", True), ("container", "c"), ("thread_id", "t"),
    ("vector_store_ids", ["v"]), ("file_ids", ["f"]), ("cached_content", "x"), ("previousResponseId", "resp_1"),
    ("parent_message_id", "m"), ("previous_message_id", "m"), ("conversation_key", "c"), ("memory_id", "m"),
    ("checkpoint_id", "c"), ("history_id", "h"), ("stored_completion_id", "c"), ("vector_store_id", "v"),
    ("input_file_id", "f"), ("batch_id", "b"), ("collection_ids", ["c"]), ("thread", "t"), ("assistant", "a"),
    ("agent_id", "a"), ("context_key", "c"), ("container_id", "c"), ("stored", True), ("resume_from", "r"),
    ("tool_resources", {"file_search": {"vector_store_ids": ["v"]}}),
]  # fmt: skip


def test_what_would_be_kept_between_calls_is_refused_by_name(rig):
    secret, before = key_of(rig, "aurora"), rig.engine.seen()["calls"]
    for name, value in KEPT:
        answer = call(rig, secret, **{name: value})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", name)
        assert f"`{name}`" in error["message"]
    assert rig.engine.seen()["calls"] == before


def test_saying_that_nothing_shall_be_kept_is_no_fault(rig):
    assert call(rig, key_of(rig, "aurora"), store=False, background=None).status_code == 200


OF_USERS = (
    ["session_key", "sessionUuid", "chat_session_id", "session_affinity", "affinity_key", "sticky_key", "chat_id",
     "user_id", "userId", "end_user", "end_user_id", "customer_id"]
)  # fmt: skip


def test_other_names_of_sessions_and_users_are_apart_too(rig):
    ours, theirs = key_of(rig, "aurora"), key_of(rig, "helios")
    for value in ("abc", 7):
        sent = []
        for secret in (ours, ours, theirs):
            assert call(rig, secret, **dict.fromkeys(OF_USERS, value)).status_code == 200
            body = rig.engine.seen()["last"]["body"]
            sent.append([body[name] for name in OF_USERS])
        assert sent[0] == sent[1]
        for one, other in zip(sent[0], sent[2], strict=True):
            assert len({one, other, "abc", 7, "7"}) == 5
    for name in OF_USERS:
        assert call(rig, ours, **{name: ["abc"]}).json()["error"]["param"] == name


@pytest.mark.parametrize(
    "name",
    ["tenant", "tenant_id", "tenantId", "namespace", "organization_id", "project_id", "slot", "id_slot"],
)
def test_a_client_names_no_tenant_and_no_slot_of_an_engine(rig, name):
    error = call(rig, key_of(rig, "aurora"), **{name: "x"}).json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", name)


@pytest.mark.parametrize(
    "inner", ["previous_response_id", "conversation", "session_id", "chatId", "user_id", "user"]
)
def test_none_of_it_passes_inside_of_what_is_handed_on(rig, inner):
    secret = key_of(rig, "aurora")
    answer = call(rig, secret, provider_options={"lab": [{inner: "x"}]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, f"provider_options.lab[0].{inner}")


PATHS = (
    ["files", "files/f-1/content", "batches", "assistants", "threads", "threads/t-1/runs", "vector_stores", "uploads",
     "responses/resp_1", "responses/resp_1/cancel", "conversations/c-1", "containers", "chat/completions/c-1",
     "fine_tuning/jobs", "slots", "load_lora_adapter", "reset_prefix_cache", "sleep"]
)  # fmt: skip


def test_no_path_leads_to_what_an_engine_keeps(rig):
    headers, before = {"authorization": f"Bearer {key_of(rig, 'aurora')}"}, rig.engine.seen()["calls"]
    for path in PATHS:
        for method in ("GET", "POST", "DELETE"):
            url = f"{rig.gateway.url}/v1/{path}"
            answer = requests.request(method, url, headers=headers, json={"model": MODEL}, timeout=60)
            assert answer.status_code in (404, 405)
    assert rig.engine.seen()["calls"] == before


def test_no_cookie_or_header_ties_a_tenant_to_what_another_left(rig):
    scripted = ScriptedBackend()
    try:
        serve(rig, scripted.backend(cache_key_field="cache_salt"))
        ours, theirs = key_of(rig, "aurora"), key_of(rig, "helios")
        left = {"set-cookie": "route=node7; Path=/", "x-session-id": "s7", "x-session-affinity": "node7"}
        scripted.says(plain(), headers=left)
        answer = call(rig, ours)
        assert answer.status_code == 200
        assert not {*left} & {name.lower() for name in answer.headers}
        sent = {"authorization": f"Bearer {theirs}", "cookie": "route=node7", "x-session-id": "s7",
                "x-session-affinity": "node7", "x-data-parallel-rank": "1", "x-correlation-id": "c"}  # fmt: skip
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
        answer = requests.post(f"{rig.gateway.url}/v1/chat/completions", json=body, headers=sent, timeout=60)
        assert answer.status_code == 200
        assert not {*sent} & {*scripted.asked[-1][0]}
    finally:
        scripted.close()
