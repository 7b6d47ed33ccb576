"""The gateway calls providers: in their dialect, with a credential that nobody can read, and only where it may."""

import json
import stat

import openai
import pytest
import requests

from gateway.contract import CredentialConfig, ProviderConfig, TargetConfig
from gateway.contract.sealing import seal
from tests.deployments.provider_stub import Authority, serving
from tests.gateway.proxy_fixtures import wait_until
from tests.gateway.scripted_backend import ScriptedBackend, add_route, chunk, plain

MODEL = "aurora-outside"
SECRET = "sk-of-the-provider-0123456789"
LOOPBACK = ["127.0.0.0/8"]

MESSAGE = {
    "id": "msg_theirs",
    "type": "message",
    "role": "assistant",
    "model": "up-scripted",
    "content": [{"type": "text", "text": "hi there friend"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "output_tokens": 6, "cache_read_input_tokens": 5},
}


def sse(*events):
    return [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events]


MESSAGES = sse(
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    *(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        for word in ("hi ", "there ", "friend")
    ),
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 6}},
    {"type": "message_stop"},
)


@pytest.fixture
def outside(shared_rig):
    """A stand-in for a provider, on this machine."""
    backend = ScriptedBackend()
    before = shared_rig.settings
    shared_rig.settings = type(before)(**{**vars_of(before), "allowed_networks": LOOPBACK})
    yield backend
    shared_rig.settings = before
    shared_rig.routes = [route for route in shared_rig.routes if route.model != MODEL]
    shared_rig.publish()
    backend.close()


def vars_of(struct):
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def target(rig, backend, dialect="openai_compatible", *, secret=SECRET, **provider):
    """The provider as a target, whose credential is sealed as the console seals it."""
    own = backend.backend()
    if secret:
        sealed = seal(secret, rig.control.credential_key, own.id)
        provider.setdefault("credentials", [CredentialConfig(kind="stored", value=sealed)])
    config = ProviderConfig(dialect=dialect, **provider)
    return TargetConfig(
        id=own.id, addresses=own.addresses, upstream_model=own.upstream_model, provider=config
    )


def route_to(rig, backend, *arguments, **provider):
    """A key for a model that the provider serves."""
    return add_route(rig, MODEL, target(rig, backend, *arguments, **provider))


def call(rig, key, **fields):
    messages = [{"role": "user", "content": "hello"}]
    return rig.client(key).chat.completions.create(model=MODEL, messages=messages, **fields)


def all_files_of(rig):
    return b"".join(path.read_bytes() for path in rig.gateway.state.rglob("*") if path.is_file())


def test_a_stored_credential_reaches_the_provider_and_is_written_nowhere(shared_rig, outside):
    key = route_to(shared_rig, outside, headers={"openai-organization": "org-1"})
    assert call(shared_rig, key).choices[0].message.content == "hi there friend"
    [(headers, body)] = outside.asked
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["openai-organization"] == "org-1"
    assert body["model"] == "up-scripted"
    assert SECRET.encode() not in all_files_of(shared_rig)
    assert SECRET not in shared_rig.gateway.log.read_text()
    assert SECRET not in str(shared_rig.control.acks[-1])
    private = shared_rig.gateway.state / "sealing.key"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_a_trace_stays_here_unless_the_provider_is_to_get_it(shared_rig, outside):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    sent = {
        "traceparent": f"00-{trace}-00f067aa0ba902b7-01",
        "tracestate": "shop=checkout",
        "x-trace-id": "order-of-jane",
    }

    def told(key, headers):
        messages = [{"role": "user", "content": "hello"}]
        client = shared_rig.client(key, default_headers=headers)
        client.chat.completions.create(model=MODEL, messages=messages)
        return outside.asked[-1][0]

    key = route_to(shared_rig, outside)
    for headers in (sent, {"x-trace-id": "order-of-jane"}):
        got = told(key, headers)
        assert not {"traceparent", "tracestate", "x-trace-id"} & got.keys()
        assert "jane" not in str(got)
    # The ledger has it all the same.
    assert {event.trace_id for event in shared_rig.events(key, 2)} == {trace, "order-of-jane"}
    key = route_to(shared_rig, outside, receives_traces=True)
    got = told(key, sent)
    assert got["traceparent"] == sent["traceparent"]
    assert (got["tracestate"], got["x-trace-id"]) == (sent["tracestate"], trace)


@pytest.mark.parametrize(
    ("dialect", "header", "value", "path"),
    [
        ("openai", "authorization", f"Bearer {SECRET}", "/v1/chat/completions"),
        ("azure", "api-key", SECRET, "/v1/deployments/up-scripted/chat/completions"),
        ("anthropic", "x-api-key", SECRET, "/v1/messages"),
    ],
)
def test_each_dialect_has_its_own_path_and_header(shared_rig, outside, dialect, header, value, path):
    outside.says(MESSAGE if dialect == "anthropic" else plain())
    key = route_to(shared_rig, outside, dialect)
    assert call(shared_rig, key).choices[0].message.content == "hi there friend"
    [(headers, _)] = outside.asked
    assert (headers[header], outside.paths) == (value, [path])


def test_a_chat_call_is_answered_by_a_messages_backend(shared_rig, outside):
    outside.says(MESSAGE)
    key = route_to(shared_rig, outside, "anthropic")
    answer = call(shared_rig, key, max_tokens=50)
    assert (answer.model, answer.choices[0].finish_reason) == (MODEL, "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (17, 6)
    [(headers, body)] = outside.asked
    assert headers["anthropic-version"] == "2023-06-01"
    assert (body["model"], body["max_tokens"]) == ("up-scripted", 50)
    assert "msg_theirs" not in answer.model_dump_json()


def test_a_streamed_chat_call_is_answered_by_a_messages_backend(shared_rig, outside):
    outside.says(events=MESSAGES)
    key = route_to(shared_rig, outside, "anthropic")
    chunks = list(call(shared_rig, key, stream=True, stream_options={"include_usage": True}))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == "hi there friend"
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (17, 6)
    [event] = recorded(shared_rig, key)
    assert (event.status, event.is_exact) == ("ok", True)
    assert (event.usage["input"], event.usage["cache_read"], event.usage["output"]) == (12, 5, 6)


def recorded(rig, key):
    mine = {one.key_id for one in rig.keys if one.prefix == key[: len(one.prefix)]}

    def found():
        return [event for event in rig.control.events.values() if event.key_id in mine]

    wait_until(found, what="the call in the ledger")
    return found()


def test_a_messages_backend_that_breaks_off_is_an_error_like_any_other(shared_rig, outside):
    outside.says(events=[*MESSAGES[:3], None])
    key = route_to(shared_rig, outside, "anthropic")
    with pytest.raises(openai.APIError):
        list(call(shared_rig, key, stream=True))
    [event] = recorded(shared_rig, key)
    assert event.status == "error"


def test_a_client_that_hangs_up_is_billed_the_prompt_that_the_provider_has_reported(shared_rig, outside):
    outside.says(events=[*MESSAGES[:4], 30.0])
    key = route_to(shared_rig, outside, "anthropic")
    with call(shared_rig, key, stream=True) as chunks:
        next(chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content)
    [event] = recorded(shared_rig, key)
    assert (event.status, event.is_exact) == ("cancelled", False)
    assert (event.usage["input"], event.usage["cache_read"]) == (12, 5)


def test_a_field_that_no_target_can_take_is_refused_by_name_and_nothing_is_sent(shared_rig, outside):
    key = route_to(shared_rig, outside, "anthropic")
    with pytest.raises(openai.BadRequestError, match="logprobs"):
        call(shared_rig, key, logprobs=True)
    assert outside.asked == []


@pytest.mark.parametrize("dialect", ["deepseek", "anthropic"])
def test_an_endpoint_that_a_provider_does_not_have_is_refused_by_name(shared_rig, outside, dialect):
    key = route_to(shared_rig, outside, dialect)
    with pytest.raises(openai.BadRequestError):
        shared_rig.client(key).embeddings.create(model=MODEL, input="hello")
    assert outside.asked == []


# Nothing about it says that it is one.
PLAIN_SECRET = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ"


def assert_no_part_of_it(text):
    for start in range(len(PLAIN_SECRET) - 9):
        assert PLAIN_SECRET[start : start + 10].lower() not in text.lower()


@pytest.mark.parametrize("dialect", ["azure", "openai", "anthropic"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_credential_that_a_provider_repeats_reaches_no_client(shared_rig, outside, dialect, is_stream):
    parts = f"{PLAIN_SECRET[:14]}, …{PLAIN_SECRET[-12:]}. or {PLAIN_SECRET.upper()}"
    error = {
        "message": f"No use for {PLAIN_SECRET} here, nor {parts}",
        "param": PLAIN_SECRET,
        "code": PLAIN_SECRET,
    }
    key = route_to(shared_rig, outside, dialect, secret=PLAIN_SECRET)
    outside.says({"error": error}, status=400)
    with pytest.raises(openai.BadRequestError, match="No use for") as refused:
        call(shared_rig, key, stream=is_stream)
    assert_no_part_of_it(refused.value.response.text)
    if is_stream:
        first = MESSAGES[:4] if dialect == "anthropic" else [chunk()]
        last = {"type": "error", "error": {"type": "invalid_request_error", **error}}
        # The wait makes the beginning of the answer go out before the error comes.
        outside.says(events=[*first, 0.5, *(sse(last) if dialect == "anthropic" else [{"error": error}])])
        text = requests.post(
            f"{shared_rig.gateway.url}/v1/chat/completions",
            json={"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "hello"}]},
            headers={"authorization": f"Bearer {key}"},
            timeout=60,
        ).text
        assert "No use for" in text
        assert_no_part_of_it(text)
    assert PLAIN_SECRET not in shared_rig.gateway.log.read_text()


def test_another_target_takes_what_the_first_cannot(shared_rig, outside):
    second = ScriptedBackend("second")
    first = target(shared_rig, outside, "anthropic")
    key = add_route(shared_rig, MODEL, first, second.backend(priority=1))
    assert call(shared_rig, key, logprobs=True).choices[0].message.content == "hi there friend"
    assert (len(outside.asked), len(second.asked)) == (0, 1)
    second.close()


@pytest.mark.parametrize("allowed", [[], ["10.0.0.0/8"]])
def test_the_gateway_connects_only_where_operators_allow_it(shared_rig, outside, allowed):
    shared_rig.settings = type(shared_rig.settings)(
        **{**vars_of(shared_rig.settings), "allowed_networks": allowed}
    )
    key = route_to(shared_rig, outside)
    with pytest.raises(openai.APIStatusError) as refused:
        call(shared_rig, key)
    assert (refused.value.status_code, refused.value.code) == (503, "no_backend_available")
    assert outside.asked == []


def test_without_a_credential_no_call_goes_out_and_operators_learn_why(shared_rig, outside):
    variable = CredentialConfig(kind="environment", value="PROVIDER_NOT_SET")
    key = route_to(shared_rig, outside, credentials=[variable])
    with pytest.raises(openai.APIStatusError) as refused:
        call(shared_rig, key)
    assert (refused.value.status_code, outside.asked) == (503, [])
    assert "PROVIDER_NOT_SET" not in refused.value.response.text
    wait_until(lambda: "PROVIDER_NOT_SET" in shared_rig.control.acks[-1].problem, what="the alarm")


def test_a_dialect_of_a_later_release_serves_nobody_here(shared_rig, outside):
    key = route_to(shared_rig, outside, "of-next-year")
    with pytest.raises(openai.NotFoundError):
        call(shared_rig, key)
    assert outside.asked == []


def test_a_redirect_is_not_followed(shared_rig, outside):
    outside.says({}, status=307, headers={"location": "http://127.0.0.1:1/v1/chat/completions"})
    key = route_to(shared_rig, outside)
    with pytest.raises(openai.APIStatusError) as refused:
        call(shared_rig, key)
    assert refused.value.status_code == 502
    assert len(outside.asked) == 1


def test_a_restarted_gateway_uses_the_credential_while_the_console_is_away(new_rig):
    rig = new_rig()
    outside = ScriptedBackend()
    rig.settings = type(rig.settings)(**{**vars_of(rig.settings), "allowed_networks": LOOPBACK})
    key = route_to(rig, outside)
    assert call(rig, key).choices
    rig.control.down()
    rig.gateway.process.kill()
    rig.gateway.start()
    assert call(rig, key).choices
    assert [headers["authorization"] for headers, _ in outside.asked] == [f"Bearer {SECRET}"] * 2
    assert SECRET.encode() not in all_files_of(rig)
    outside.close()
    rig.control.up()


def test_tls_is_verified_against_the_providers_own_authority(shared_rig, outside, tmp_path):
    authority = Authority()
    with serving(authority.server(tmp_path, "127.0.0.1")) as stub:
        own = outside.backend()
        for private_ca, is_answered in ((authority.pem, True), ("", False)):
            config = ProviderConfig(dialect="openai_compatible", private_ca=private_ca)
            address = stub.url if stub.url.endswith("/v1") else f"{stub.url}/v1"
            key = add_route(
                shared_rig,
                MODEL,
                TargetConfig(
                    id=f"{own.id}-{is_answered}", addresses=[address], upstream_model="m", provider=config
                ),
            )
            with pytest.raises(openai.APIStatusError) as refused:
                call(shared_rig, key)
            # The stub serves no chat; that it answered at all is what counts.
            assert (refused.value.code != "no_backend_available") is is_answered


def test_searches_and_tools_of_a_provider_are_asked_of_our_own_engines_only(shared_rig, outside):
    """A provider bills them beside tokens, which nothing here meters; an engine of ours does what it does."""
    wishes = ({"search_parameters": {"mode": "auto"}}, {"tools": [{"type": "web_search"}]})
    key = route_to(shared_rig, outside)
    for wish in wishes:
        with pytest.raises(openai.BadRequestError) as refused:
            call(shared_rig, key, extra_body=wish)
        assert refused.value.code == "unsupported_parameter"
        assert "not metered here" in str(refused.value)
    assert outside.asked == []
    own = ScriptedBackend("own")
    try:
        both = (target(shared_rig, outside), own.backend(priority=1))
        key = add_route(shared_rig, MODEL, *both)
        for wish in wishes:
            assert call(shared_rig, key, extra_body=wish).choices[0].message.content == "hi there friend"
        assert (len(own.asked), outside.asked) == (2, [])
        call(shared_rig, key)
        assert len(outside.asked) == 1
    finally:
        own.close()
