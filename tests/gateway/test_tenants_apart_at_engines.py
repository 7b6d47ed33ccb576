"""What tenants share behind the gateway: the prefix cache of an engine, and names that clients choose."""

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
def road(new_road):
    road = new_road()
    road.settings = SettingsConfig(separation_key="of this installation")
    serve(road, road.engine.backend(cache_key_field="cache_salt"))
    return road


def serve(road, *backends):
    road.routes = [RouteConfig(model=MODEL, modes=["chat"], backends=list(backends))]


def key_of(road, tenant):
    """A key of another tenant than the fixtures' own."""
    secret = road.new_key(models=[MODEL])
    road.keys[-1] = msgspec.structs.replace(road.keys[-1], tenant_id=tenant, tenant_slug=tenant)
    road.publish()
    return secret


def call(road, secret, prompt=PROMPT, gateway=None, **fields):
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 2, **fields}
    headers = {"authorization": f"Bearer {secret}"}
    url = (gateway or road.gateway).url
    return requests.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=20)


def cached(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_a_prefix_that_one_tenant_brought_in_does_not_show_to_another(road):
    ours, theirs = key_of(road, "aurora"), key_of(road, "helios")
    assert cached(call(road, ours)) == 0
    assert cached(call(road, ours)) > 0, "one's own prefix is cached"
    assert cached(call(road, theirs)) == 0, "another tenant's is not"
    assert cached(call(road, theirs)) > 0
    assert cached(call(road, key_of(road, "aurora"))) > 0, "keys of one tenant share it"


def test_a_tenant_has_one_salt_at_every_gateway_and_cannot_choose_or_see_it(road, tmp_path):
    secret = key_of(road, "aurora")
    call(road, secret)
    salt = road.engine.seen()["last"]["body"]["cache_salt"]
    assert (
        salt
        == Separation("of this installation").salt_of("aurora")
        != Separation("another").salt_of("aurora")
    )
    assert len(salt) == 43
    (tmp_path / "second").mkdir()
    second = Gateway(road.control, tmp_path / "second")
    second.start()
    try:
        assert cached(call(road, secret, gateway=second)) > 0
    finally:
        second.process.kill()
    for name in ("cache_salt", "Cache_Salt", "cacheSalt", "cache-salt"):
        answer = call(road, secret, **{name: "mine"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_parameter")
        assert answer.json()["error"]["param"] == name
    answer = call(road, secret, cache_salt=None)
    assert answer.status_code == 400


def test_the_field_goes_only_to_a_server_that_is_known_to_take_it(road):
    serve(road, road.engine.backend())
    call(road, key_of(road, "aurora"))
    assert "cache_salt" not in road.engine.seen()["last"]["body"]


def test_a_salt_that_a_server_repeats_in_an_error_is_cut_out(new_road):
    road, scripted = new_road(), ScriptedBackend()
    try:
        road.settings = SettingsConfig(separation_key="of this installation")
        serve(road, scripted.backend(cache_key_field="cache_salt"))
        secret = key_of(road, "aurora")
        salt = Separation("of this installation").salt_of("aurora")
        scripted.says({"error": {"message": f"bad input {salt} for user"}}, status=400)
        assert salt not in call(road, secret).text
        assert scripted.asked[-1][1]["cache_salt"] == salt
    finally:
        scripted.close()


def test_a_snapshot_with_a_salted_backend_and_no_key_changes_nothing(road):
    secret = key_of(road, "aurora")
    road.settings = SettingsConfig()
    road.publish(wait=False)
    wait_until(lambda: "brings no key" in road.control.acks[-1].problem, 20, "the refusal of the snapshot")
    assert call(road, secret).status_code == 200
    assert "cache_salt" in road.engine.seen()["last"]["body"]


def test_a_backend_of_one_tenant_serves_nobody_else(road):
    serve(road, road.engine.backend(only_tenant="aurora"))
    ours, theirs = key_of(road, "aurora"), key_of(road, "helios")
    assert call(road, ours).status_code == 200
    refused = call(road, theirs)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    for secret, listed in ((ours, [MODEL]), (theirs, [])):
        answer = requests.get(
            f"{road.gateway.url}/v1/models", headers={"authorization": f"Bearer {secret}"}, timeout=10
        )
        assert [one["id"] for one in answer.json()["data"]] == listed


def test_names_of_users_and_caches_are_apart_and_the_clients_own_words_stay_here(road):
    ours, theirs = key_of(road, "aurora"), key_of(road, "helios")
    names = {"user": "ada@aurora.example", "prompt_cache_key": "k1", "safety_identifier": "s1"}
    seen = []
    for secret in (ours, ours, theirs):
        assert call(road, secret, **names).status_code == 200
        body = road.engine.seen()["last"]["body"]
        seen.append({name: body[name] for name in names})
    assert seen[0] == seen[1]
    for name, sent in names.items():
        assert len({sent, seen[0][name], seen[2][name]}) == 3
    assert "ada@aurora.example" not in str(seen)
    answer = call(road, ours, user=7)
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


def test_what_would_be_kept_between_calls_is_refused_by_name(road):
    secret, before = key_of(road, "aurora"), road.engine.seen()["calls"]
    for name, value in KEPT:
        answer = call(road, secret, **{name: value})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", name)
        assert f"`{name}`" in error["message"]
    assert road.engine.seen()["calls"] == before


def test_saying_that_nothing_shall_be_kept_is_no_fault(road):
    assert call(road, key_of(road, "aurora"), store=False, background=None).status_code == 200


OF_USERS = (
    ["session_key", "sessionUuid", "chat_session_id", "session_affinity", "affinity_key", "sticky_key", "chat_id",
     "user_id", "userId", "end_user", "end_user_id", "customer_id"]
)  # fmt: skip


def test_other_names_of_sessions_and_users_are_apart_too(road):
    ours, theirs = key_of(road, "aurora"), key_of(road, "helios")
    for value in ("abc", 7):
        sent = []
        for secret in (ours, ours, theirs):
            assert call(road, secret, **dict.fromkeys(OF_USERS, value)).status_code == 200
            body = road.engine.seen()["last"]["body"]
            sent.append([body[name] for name in OF_USERS])
        assert sent[0] == sent[1]
        for one, other in zip(sent[0], sent[2], strict=True):
            assert len({one, other, "abc", 7, "7"}) == 5
    for name in OF_USERS:
        assert call(road, ours, **{name: ["abc"]}).json()["error"]["param"] == name


@pytest.mark.parametrize(
    "name",
    ["tenant", "tenant_id", "tenantId", "namespace", "organization_id", "project_id", "slot", "id_slot"],
)
def test_a_client_names_no_tenant_and_no_slot_of_an_engine(road, name):
    error = call(road, key_of(road, "aurora"), **{name: "x"}).json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", name)


@pytest.mark.parametrize(
    "inner", ["previous_response_id", "conversation", "session_id", "chatId", "user_id", "user"]
)
def test_none_of_it_passes_inside_of_what_is_handed_on(road, inner):
    secret = key_of(road, "aurora")
    answer = call(road, secret, provider_options={"lab": [{inner: "x"}]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, f"provider_options.lab[0].{inner}")


PATHS = (
    ["files", "files/f-1/content", "batches", "assistants", "threads", "threads/t-1/runs", "vector_stores", "uploads",
     "responses", "responses/resp_1", "conversations/c-1", "containers", "chat/completions/c-1", "fine_tuning/jobs",
     "slots", "load_lora_adapter", "reset_prefix_cache", "sleep"]
)  # fmt: skip


def test_no_path_leads_to_what_an_engine_keeps(road):
    headers, before = {"authorization": f"Bearer {key_of(road, 'aurora')}"}, road.engine.seen()["calls"]
    for path in PATHS:
        for method in ("GET", "POST", "DELETE"):
            url = f"{road.gateway.url}/v1/{path}"
            answer = requests.request(method, url, headers=headers, json={"model": MODEL}, timeout=20)
            assert answer.status_code in (404, 405)
    assert road.engine.seen()["calls"] == before


def test_no_cookie_or_header_ties_a_tenant_to_what_another_left(new_road):
    road, scripted = new_road(), ScriptedBackend()
    try:
        road.settings = SettingsConfig(separation_key="of this installation")
        serve(road, scripted.backend(cache_key_field="cache_salt"))
        ours, theirs = key_of(road, "aurora"), key_of(road, "helios")
        left = {"set-cookie": "route=node7; Path=/", "x-session-id": "s7", "x-session-affinity": "node7"}
        scripted.says(plain(), headers=left)
        answer = call(road, ours)
        assert answer.status_code == 200
        assert not {*left} & {name.lower() for name in answer.headers}
        sent = {"authorization": f"Bearer {theirs}", "cookie": "route=node7", "x-session-id": "s7",
                "x-session-affinity": "node7", "x-data-parallel-rank": "1", "x-correlation-id": "c"}  # fmt: skip
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
        answer = requests.post(f"{road.gateway.url}/v1/chat/completions", json=body, headers=sent, timeout=20)
        assert answer.status_code == 200
        assert not {*sent} & {*scripted.asked[-1][0]}
    finally:
        scripted.close()
