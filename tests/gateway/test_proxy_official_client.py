"""The official `openai` client against the gateway: what works, and what each refusal raises."""

import math
import time

import openai
import pytest
import requests

from core.secrets import new_key_secret
from gateway.contract import PriceConfig
from tests.gateway.proxy_fixtures import ENGINE_MODEL, MODEL, VECTORS, ask, limit


def test_a_plain_call_is_answered_and_its_usage_arrives_once_and_exact(shared_rig):
    secret = shared_rig.new_key()
    answer = ask(shared_rig.client(secret), "What are you?", max_tokens=20)
    assert "not a language model" in answer.choices[0].message.content
    assert answer.model == MODEL
    (event,) = shared_rig.events(secret, 1)
    assert (event.status, event.http_status, event.is_exact, event.is_stream) == ("ok", 200, True, False)
    assert event.usage.get("output", 0) == answer.usage.completion_tokens == 20
    assert event.usage.get("input", 0) == answer.usage.prompt_tokens
    assert event.model == MODEL
    assert event.call_id == event.request_id == answer._request_id
    assert event.config_revision == shared_rig.revision
    assert [one.call_id for one in shared_rig.control.deliveries].count(event.call_id) == 1


def test_usage_arrives_within_two_seconds(shared_rig):
    secret = shared_rig.new_key()
    ask(shared_rig.client(secret))
    shared_rig.events(secret, 1)


def test_cached_prompt_tokens_are_counted_apart_and_only_once(shared_rig):
    secret = shared_rig.new_key()
    client = shared_rig.client(secret)
    text = "The same long beginning of a prompt, " * 20 + secret[-8:]
    ask(client, text)
    second = ask(client, text)
    cached = second.usage.prompt_tokens_details.cached_tokens
    assert cached > 100
    _, event = shared_rig.events(secret, 2)
    assert event.usage.get("cache_read", 0) == cached
    assert event.usage.get("input", 0) == second.usage.prompt_tokens - cached
    assert event.tokens == second.usage.total_tokens


def test_a_streamed_call_hides_the_usage_that_the_client_did_not_ask_for(shared_rig):
    secret = shared_rig.new_key()
    chunks = list(ask(shared_rig.client(secret), stream=True, max_tokens=12))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert {chunk.model for chunk in chunks} == {MODEL}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).startswith(
        "I am Quartermaster's"
    )
    (event,) = shared_rig.events(secret, 1)
    assert (event.status, event.is_exact, event.is_stream, event.usage.get("output", 0)) == (
        "ok",
        True,
        True,
        12,
    )
    assert event.first_token_ms is not None
    assert shared_rig.engine.seen()["last"]["body"]["stream_options"] == {"include_usage": True}


def test_a_streamed_call_shows_the_usage_that_the_client_asked_for(shared_rig):
    chunks = list(ask(shared_rig.client(), stream=True, stream_options={"include_usage": True}, max_tokens=5))
    assert chunks[-1].usage.completion_tokens == 5
    assert chunks[-1].choices == []


def test_embeddings_are_unit_vectors_and_metered(shared_rig):
    secret = shared_rig.new_key()
    answer = shared_rig.client(secret).embeddings.create(model=VECTORS, input=["one text", "another"])
    assert [round(sum(part * part for part in item.embedding), 4) for item in answer.data] == [1.0, 1.0]
    (event,) = shared_rig.events(secret, 1)
    assert (event.usage.get("input", 0), event.usage.get("output", 0)) == (answer.usage.prompt_tokens, 0)


def test_only_granted_models_that_something_serves_are_listed(shared_rig):
    client = shared_rig.client(shared_rig.new_key(models=[MODEL, "nobody-serves-me"]))
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(VECTORS)


def test_neither_the_key_nor_the_client_reaches_the_backend(shared_rig):
    secret = shared_rig.new_key()
    ask(shared_rig.client(secret, default_headers={"x-custom": "mine", "cookie": "a=b"}))
    last = shared_rig.engine.seen()["last"]
    names = {name.lower() for name in last["headers"]}
    assert not names & {"authorization", "cookie", "x-custom", "x-forwarded-for"}
    assert secret not in str(last)
    assert last["body"]["model"] == ENGINE_MODEL


@pytest.mark.parametrize("secret", ["sk-garbage", new_key_secret()], ids=["garbage", "unknown"])
def test_an_unknown_key_is_refused(shared_rig, secret):
    with pytest.raises(openai.AuthenticationError) as refused:
        ask(shared_rig.client(secret))
    assert refused.value.code == "invalid_api_key"
    assert refused.value.response.headers["x-request-id"]
    assert secret not in refused.value.message


def test_a_missing_key_is_refused(shared_rig):
    answer = requests.get(f"{shared_rig.gateway.url}/v1/models")
    assert answer.status_code == 401
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_an_expired_key_is_refused_although_nobody_withdrew_it(shared_rig):
    client = shared_rig.client(shared_rig.new_key(expires_at=int(time.time()) - 1))
    with pytest.raises(openai.AuthenticationError, match="expired") as refused:
        ask(client)
    assert refused.value.code == "invalid_api_key"


@pytest.mark.parametrize("network", ["10.0.0.0/8", "2001:db8::/32"])
def test_a_key_is_refused_from_another_network(shared_rig, network):
    with pytest.raises(openai.AuthenticationError) as refused:
        ask(shared_rig.client(shared_rig.new_key(networks=[network])))
    assert refused.value.code == "ip_not_authorized"
    assert ask(shared_rig.client(shared_rig.new_key(networks=[network, "127.0.0.0/8"])))


@pytest.mark.parametrize(
    "model", ["no-such-model", VECTORS, "nobody-serves-me"], ids=["unknown", "not granted", "no route"]
)
def test_a_model_that_is_unknown_not_granted_or_not_served_is_not_found(shared_rig, model):
    client = shared_rig.client(shared_rig.new_key(models=[MODEL, "nobody-serves-me"]))
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}])
    assert refused.value.code == "model_not_found"


def test_a_grant_ends_by_itself(shared_rig):
    client = shared_rig.client(shared_rig.new_key(grant_ends={MODEL: int(time.time()) - 1}))
    with pytest.raises(openai.NotFoundError):
        ask(client)
    assert MODEL not in [model.id for model in client.models.list()]


def test_the_fourth_call_of_three_per_minute_is_told_when_to_come_back(limited_rig):
    secret = limited_rig.new_key(limits=[limit("requests_per_minute", 3)])
    client = limited_rig.client(secret)
    before = time.monotonic()
    for _ in range(3):
        ask(client)
    with pytest.raises(openai.RateLimitError, match="project limit of 3 requests per minute") as refused:
        ask(client)
    taken = time.monotonic() - before
    headers = refused.value.response.headers
    assert refused.value.code == "rate_limit_exceeded"
    assert 60 - taken <= int(headers["retry-after-ms"]) / 1000 <= 60
    assert int(headers["retry-after"]) == math.ceil(int(headers["retry-after-ms"]) / 1000)
    assert headers["x-ratelimit-limit-requests"] == "3"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    limited_rig.events(secret, 3)


def test_a_used_up_month_is_an_insufficient_quota(limited_rig):
    used = limit("tokens_per_month", 1000, used=1000, used_as_of=int(time.time()))
    with pytest.raises(openai.RateLimitError, match="1,000 tokens per month") as refused:
        ask(limited_rig.client(limited_rig.new_key(limits=[used])))
    assert refused.value.code == "insufficient_quota"
    assert refused.value.response.headers["x-should-retry"] == "false"


def test_money_is_reserved_and_settled(limited_rig):
    # Nano: fifty output tokens at 4,000.
    spent = limit("money_per_month", 200_000)
    secret = limited_rig.new_key(limits=[spent])
    client = limited_rig.client(secret)
    ask(client, max_tokens=20)
    # Fits only because the first one was settled below its reserve or exactly.
    ask(client, max_tokens=20)
    with pytest.raises(openai.RateLimitError, match="per month") as refused:
        ask(client, max_tokens=20)
    assert refused.value.code == "insufficient_quota"
    limited_rig.events(secret, 2)


def test_an_unpriced_model_is_refused_under_a_money_limit(limited_rig):
    client = limited_rig.client(limited_rig.new_key(limits=[limit("money_per_month", 10**12)]))
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client.embeddings.create(model=VECTORS, input="x")
    assert refused.value.code == "model_unpriced"


def test_a_model_whose_answers_have_no_price_is_refused_under_a_money_limit(new_rig):
    rig = new_rig()
    rig.prices = [PriceConfig(model=name, nano_per_unit={"input": 1000}) for name in (MODEL, VECTORS)]
    client = rig.client(rig.new_key(limits=[limit("money_per_month", 10**12)]))
    with pytest.raises(openai.PermissionDeniedError) as refused:
        ask(client)
    assert refused.value.code == "model_unpriced"
    # An embedding has no answer to price.
    assert client.embeddings.create(model=VECTORS, input="x").data


def test_a_call_that_can_never_fit_is_told_to_ask_for_less(limited_rig):
    client = limited_rig.client(limited_rig.new_key(limits=[limit("tokens_per_minute", 100)]))
    with pytest.raises(openai.RateLimitError, match="Lower max_tokens") as refused:
        ask(client, max_tokens=101)
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert ask(client, max_tokens=20)


def test_a_soft_limit_refuses_nothing(limited_rig):
    client = limited_rig.client(limited_rig.new_key(limits=[limit("requests_per_minute", 1, is_hard=False)]))
    assert ask(client)
    assert ask(client)
    line = 'llm_soft_limit_exceeded_total{kind="requests_per_minute",scope="project"}'
    assert limited_rig.gateway.metric(line) >= 1


def test_a_limit_on_one_model_leaves_others_alone(limited_rig):
    client = limited_rig.client(limited_rig.new_key(limits=[limit("requests_per_minute", 0, model=MODEL)]))
    assert client.embeddings.create(model=VECTORS, input="x")
    with pytest.raises(openai.RateLimitError, match="allows no calls"):
        ask(client)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"model": 7}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream": True, "stream_options": []}, "stream_options"),
    ],
)
def test_a_malformed_call_names_the_field(shared_rig, change, field):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(shared_rig.client(), extra_body=change)
    assert refused.value.param == field


def test_what_is_no_json_is_a_bad_request(shared_rig):
    headers = {"authorization": f"Bearer {shared_rig.new_key()}"}
    for body in (b"", b"{", b"[]", b'"x"', b"\xff\xfe"):
        answer = requests.post(f"{shared_rig.gateway.url}/v1/chat/completions", data=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_a_refusal_of_the_engine_comes_back_under_the_public_name(shared_rig):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(shared_rig.client(), n=2)
    assert refused.value.param == "n"


def test_a_body_that_is_too_large_is_refused(shared_rig):
    with pytest.raises(openai.APIStatusError) as refused:
        ask(shared_rig.client(), "x" * 200_000)
    assert refused.value.status_code == 413


def test_a_body_that_is_too_large_and_does_not_say_so_is_refused(shared_rig):
    headers = {"authorization": f"Bearer {shared_rig.new_key()}"}
    pieces = (b"x" * 50_000 for _ in range(4))
    answer = requests.post(f"{shared_rig.gateway.url}/v1/chat/completions", data=pieces, headers=headers)
    assert answer.status_code == 413


def test_a_key_for_some_endpoints_opens_no_other(shared_rig):
    client = shared_rig.client(shared_rig.new_key(endpoints=["/v1/embeddings", "/v1/models"]))
    assert client.embeddings.create(model=VECTORS, input="hello").data
    assert client.models.list().data
    assert client.models.retrieve(VECTORS).id == VECTORS
    with pytest.raises(openai.PermissionDeniedError) as refused:
        ask(client)
    assert refused.value.code == "endpoint_not_allowed"
    with pytest.raises(openai.PermissionDeniedError):
        shared_rig.client(shared_rig.new_key(endpoints=["/v1/embeddings"])).models.list()


def test_the_wrong_endpoint_is_named(shared_rig):
    with pytest.raises(openai.BadRequestError, match="/v1/embeddings"):
        shared_rig.client().chat.completions.create(
            model=VECTORS, messages=[{"role": "user", "content": "x"}]
        )


def test_a_tenant_or_project_that_contradicts_the_key_is_refused(shared_rig):
    secret = shared_rig.new_key()
    agreeing = {"x-tenant-id": "aurora-bank", "x-project-id": "0199c0de-0000-7000-8000-00000000000a"}
    assert ask(shared_rig.client(secret, default_headers=agreeing))
    for header in ("x-tenant-id", "x-project-id"):
        with pytest.raises(openai.BadRequestError, match=header):
            ask(shared_rig.client(secret, default_headers={header: "helios-retail"}))


def test_the_trace_of_the_client_is_recorded(shared_rig):
    secret = shared_rig.new_key()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    ask(shared_rig.client(secret, default_headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}))
    (event,) = shared_rig.events(secret, 1)
    assert event.trace_id == trace
    assert shared_rig.engine.seen()["last"]["headers"]["traceparent"].startswith(f"00-{trace}")


@pytest.mark.parametrize("path", ["/v1/assistants", "/v1", "/v1/files/x", "/v1/chat/completions/"])
def test_other_paths_are_not_found_in_openais_shape(shared_rig, path):
    answer = requests.post(f"{shared_rig.gateway.url}{path}", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
    assert answer.headers["x-request-id"]


def test_metrics_count_calls_and_tokens(shared_rig):
    gateway = shared_rig.gateway
    calls = f'llm_requests_total{{model="{MODEL}",status="ok"}}'
    tokens = f'llm_tokens_total{{model="{MODEL}",type="output"}}'
    before = gateway.metric(calls), gateway.metric(tokens)
    ask(shared_rig.client(), max_tokens=7)
    assert (gateway.metric(calls), gateway.metric(tokens)) == (before[0] + 1, before[1] + 7)


def test_no_log_line_holds_a_secret_or_a_prompt(shared_rig):
    secret = shared_rig.new_key(expires_at=1)
    with pytest.raises(openai.AuthenticationError):
        ask(shared_rig.client(secret), "my secret prompt")
    ask(shared_rig.client(), "my secret prompt")
    output = shared_rig.gateway.process.output()
    assert '"event":"call_refused"' in output
    assert secret not in output
    assert "my secret prompt" not in output
