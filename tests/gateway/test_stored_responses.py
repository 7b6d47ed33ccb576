"""Stored answers: off unless a tenant allows them, and then nobody else's key opens them."""

import asyncio
import time

import msgspec
import openai
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from gateway.compile import compile_snapshot
from gateway.contract import DegradingConfig, PriceConfig, ProviderConfig, RouteConfig, SettingsConfig
from gateway.proxy.connections import Connections
from gateway.proxy.metrics import Metrics
from gateway.proxy.separation import Separation
from tenants.actions.tenancy import change_tenant
from tenants.models import Tenant
from tenants.revision import changes_between, current_revision
from tests.factories import CatalogModelFactory, member_of
from tests.gateway.backend_server import Server
from tests.gateway.granted import key_for
from tests.gateway.proxy_fixtures import limit
from tests.gateway.responses import BEGIN, END, MESSAGE, TEXTS, response
from tests.gateway.scripted_backend import ScriptedBackend, scripted_backend

MODEL = "aurora-remembers"
THEIRS = "resp_theirs"


@pytest.fixture
def backend(shared_rig):
    before = shared_rig.settings
    shared_rig.settings = SettingsConfig(
        separation_key="of this installation", allowed_networks=["127.0.0.0/8"]
    )
    with scripted_backend(shared_rig, MODEL, modes=["responses"]) as backend:
        backend.says(response(MESSAGE, id=THEIRS, store=True))
        yield backend
    shared_rig.settings = before
    shared_rig.publish()


def new_key(rig, tenant="tenant-a", *, stores=True):
    """A key of a tenant that allows stored answers, or does not."""
    secret = rig.new_key(models=[MODEL])
    rig.keys[-1] = msgspec.structs.replace(rig.keys[-1], tenant_id=tenant, stores_answers=stores)
    rig.publish()
    return secret


def ask(rig, key, **options):
    return rig.client(key).responses.create(model=MODEL, input="x", **options)


def request(rig, key, method, response_id):
    return requests.request(
        method, f"{rig.gateway.url}/v1/responses/{response_id}", headers={"authorization": f"Bearer {key}"}
    )


def test_an_allowed_answer_is_stored_under_an_id_of_the_tenant(shared_rig, backend):
    key = new_key(shared_rig)
    first = ask(shared_rig, key)
    assert backend.asked[-1][1]["store"] is True
    assert first.id.startswith("resp_")
    assert THEIRS not in first.id
    backend.says(response(MESSAGE, id="resp_second", store=True, previous_response_id=THEIRS))
    second = ask(shared_rig, key, previous_response_id=first.id)
    assert backend.asked[-1][1]["previous_response_id"] == THEIRS
    assert second.previous_response_id == first.id
    assert second.id not in (first.id, "resp_second")


def test_every_event_of_a_stream_has_the_same_id(shared_rig, backend):
    key = new_key(shared_rig)
    whole = ask(shared_rig, key).id
    stored = [one.replace(b'"store": false', b'"store": true') for one in (*BEGIN, *TEXTS, END)]
    backend.says(events=stored)
    events = list(ask(shared_rig, key, stream=True))
    assert {one.response.id for one in events if hasattr(one, "response")} == {whole}


def test_an_answer_that_the_call_does_not_want_stored_has_the_calls_id(shared_rig, backend):
    key = new_key(shared_rig)
    backend.says(response(MESSAGE, id=THEIRS, store=False))
    answer = ask(shared_rig, key, store=False)
    assert backend.asked[-1][1]["store"] is False
    assert answer.id == f"resp_{answer._request_id}"
    assert request(shared_rig, key, "GET", answer.id).status_code == 404
    backend.says(response(MESSAGE, id=THEIRS, store=False))
    unkept = ask(shared_rig, key)
    assert unkept.id == f"resp_{unkept._request_id}", "the server did not store it"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_the_tenants_keys_read_and_delete_it(shared_rig, backend, method):
    key = new_key(shared_rig)
    ours = ask(shared_rig, key).id
    backend.says(response(MESSAGE, id=THEIRS, store=True, previous_response_id="resp_first", user="theirs"))
    answer = request(shared_rig, new_key(shared_rig), method, ours)
    assert (answer.status_code, answer.json()["id"]) == (200, ours), answer.text
    assert (backend.methods[-1], backend.paths[-1]) == (method, f"/v1/responses/{THEIRS}")
    if method == "DELETE":
        assert answer.json() == {"id": ours, "object": "response", "deleted": True}
        return
    assert (answer.json()["model"], answer.json()["output"][0]["content"][0]["text"]) == (
        MODEL,
        "Hello there, friend.",
    )
    assert not [word for word in ("resp_first", "theirs", "up-scripted") if word in answer.text]
    client = shared_rig.client(key)
    assert client.responses.retrieve(ours).output_text == "Hello there, friend."
    assert client.responses.retrieve(ours).previous_response_id.startswith("resp_")


def test_head_answers_as_get_without_a_body(shared_rig, backend):
    key = new_key(shared_rig)
    ours = ask(shared_rig, key).id
    answer = request(shared_rig, key, "HEAD", ours)
    assert (answer.status_code, answer.content) == (200, b"")
    assert (backend.methods[-1], backend.paths[-1]) == ("GET", f"/v1/responses/{THEIRS}")
    assert request(shared_rig, new_key(shared_rig, "tenant-b"), "HEAD", ours).status_code == 404
    # The connection is fit for what follows.
    assert request(shared_rig, key, "GET", ours).json()["id"] == ours


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_no_other_tenants_key_opens_it(shared_rig, backend, method):
    ours = ask(shared_rig, new_key(shared_rig)).id
    asked = len(backend.asked)
    for other in (new_key(shared_rig, "tenant-b"), new_key(shared_rig, "tenant-a", stores=False)):
        refused = request(shared_rig, other, method, ours)
        assert refused.status_code == 404
        assert method == "HEAD" or refused.json()["error"]["code"] == "response_not_found"
        with pytest.raises(openai.APIStatusError) as failed:
            ask(shared_rig, other, previous_response_id=ours)
        assert failed.value.status_code in (400, 404)
    assert len(backend.asked) == asked, "nothing reached the provider"


@pytest.mark.parametrize(
    "forged", [THEIRS, "resp_", "resp_AAAA", "theirs", "resp_%C3%A4", "resp_" + "A" * 5000]
)
def test_an_id_that_the_gateway_did_not_make_is_unknown(shared_rig, backend, forged):
    key = new_key(shared_rig)
    for method in ("GET", "DELETE"):
        assert request(shared_rig, key, method, forged).status_code == 404
    with pytest.raises(openai.NotFoundError):
        ask(shared_rig, key, previous_response_id=forged)
    assert backend.asked == []


def test_only_the_target_that_has_the_earlier_answer_is_asked(shared_rig, backend):
    other = ScriptedBackend()
    try:
        key = new_key(shared_rig)
        ours = ask(shared_rig, key).id
        shared_rig.routes[-1].targets[:] = [other.backend(weight=1000), backend.backend(weight=1)]
        shared_rig.publish()
        for _ in range(5):
            ask(shared_rig, key, previous_response_id=ours)
            assert request(shared_rig, key, "GET", ours).ok
        assert (len(backend.asked), other.asked) == (11, [])
        shared_rig.routes[-1].targets[:] = [other.backend()]
        shared_rig.publish()
        with pytest.raises(openai.NotFoundError):
            ask(shared_rig, key, previous_response_id=ours)
        assert request(shared_rig, key, "GET", ours).status_code == 404
        assert other.asked == []
    finally:
        other.close()


def test_a_call_that_refers_to_an_answer_gets_no_fallback_model(shared_rig, backend):
    other = ScriptedBackend()
    other.says(response(MESSAGE, id="resp_other"))
    small = RouteConfig(model="small", modes=["responses"], targets=[other.backend()])
    before = list(shared_rig.routes)
    try:
        key = new_key(shared_rig)
        both = {"models": [MODEL, "small"], "data_classes": {MODEL: "public", "small": "public"}}
        shared_rig.keys[-1] = msgspec.structs.replace(shared_rig.keys[-1], **both)
        shared_rig.routes[-1] = msgspec.structs.replace(shared_rig.routes[-1], fallbacks=["small"])
        shared_rig.routes.append(small)
        shared_rig.publish()
        ours = ask(shared_rig, key).id
        backend.says({"error": {"message": "Boom"}}, status=500)
        with pytest.raises(openai.InternalServerError):
            ask(shared_rig, key, previous_response_id=ours)
        assert other.asked == []
        assert ask(shared_rig, key).model == "small"
    finally:
        other.close()
        shared_rig.routes[:] = before
        shared_rig.publish()


@pytest.mark.parametrize(
    "theirs", [THEIRS, "resp_68af0c1e9d0081a2b7b1f2c3d4e5f60718293a4b5c6d7e8f", "cmVzcF9vZl94YWk"]
)
def test_a_provider_that_forgot_an_answer_does_not_show_its_id(shared_rig, backend, theirs):
    key = new_key(shared_rig)
    backend.says(response(MESSAGE, id=theirs, store=True))
    ours = ask(shared_rig, key).id
    said = {"message": f"Previous response with id '{theirs}' not found.", "type": "invalid_request_error"}
    backend.says({"error": {**said, "param": "previous_response_id", "code": theirs}}, status=400)
    with pytest.raises(openai.BadRequestError) as refused:
        ask(shared_rig, key, previous_response_id=ours)
    assert theirs not in refused.value.response.text
    assert refused.value.param == "previous_response_id"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_limits_count_requests_for_stored_answers(shared_rig, backend, method):
    key = new_key(shared_rig)
    ours = ask(shared_rig, key).id
    limits = [
        limit("requests_per_minute", 2),
        limit("concurrent_calls", 1),
        limit("tokens_per_day", 10, model=MODEL, time_zone="UTC"),
    ]
    shared_rig.keys[-1] = msgspec.structs.replace(shared_rig.keys[-1], limits=limits)
    shared_rig.publish()
    answers = [request(shared_rig, key, method, ours) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"
    assert len(backend.asked) == 3


@pytest.fixture
def other(shared_rig, backend):
    """The only target of another model."""
    other = ScriptedBackend()
    other.says(response(MESSAGE, id="resp_others", store=True))
    shared_rig.routes.append(RouteConfig(model="other", modes=["responses"], targets=[other.backend()]))
    yield other
    shared_rig.routes.pop()
    other.close()


def key_of_both(rig, **fields):
    secret = new_key(rig)
    granted = {"models": [MODEL, "other"], "data_classes": dict.fromkeys((MODEL, "other"), "internal")}
    rig.keys[-1] = msgspec.structs.replace(rig.keys[-1], **granted, **fields)
    rig.publish()
    return secret


def test_a_stored_answer_stays_with_the_model_that_later_calls_name(shared_rig, backend, other):
    route, prices = shared_rig.routes[-2], shared_rig.prices
    degrading = DegradingConfig(model="other", money_percent=80)
    shared_rig.routes[-2] = msgspec.structs.replace(route, degrading=degrading)
    shared_rig.prices = [
        PriceConfig(model=model, nano_per_unit=dict.fromkeys(("input", "output"), nano))
        for model, nano in ((MODEL, 1000), ("other", 1))
    ]
    spent = limit("money_per_month", 10**9, used=9 * 10**8, used_as_of=int(time.time()))
    key = key_of_both(shared_rig, may_degrade=True, limits=[spent])
    backend.says(response(MESSAGE, id=THEIRS, store=True))
    ours = ask(shared_rig, key)
    assert ours.model == MODEL
    backend.says(response(MESSAGE, id="resp_second", store=False))
    assert ask(shared_rig, key, store=False, previous_response_id=ours.id).model == MODEL
    assert other.asked == []
    other.says(response(MESSAGE, id="resp_others", store=False))
    assert ask(shared_rig, key, store=False).model == "other"
    shared_rig.routes[-2], shared_rig.prices = route, prices


def test_a_key_without_the_model_does_not_reach_its_answers(shared_rig, backend):
    ours = ask(shared_rig, new_key(shared_rig)).id
    key = new_key(shared_rig)
    shared_rig.keys[-1] = msgspec.structs.replace(shared_rig.keys[-1], models=[])
    shared_rig.publish()
    assert request(shared_rig, key, "GET", ours).status_code == 404
    ended = new_key(shared_rig)
    shared_rig.keys[-1] = msgspec.structs.replace(shared_rig.keys[-1], grant_ends={MODEL: 1})
    shared_rig.publish()
    assert request(shared_rig, ended, "GET", ours).status_code == 404


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (
            {"status": 404, "content": {"error": {"message": "resp_theirs not found"}}},
            404,
            "response_not_found",
        ),
        ({"status": 500, "content": {"error": {"message": "Boom at 10.0.0.7"}}}, 502, "backend_failed"),
        ({"content": response(MESSAGE, id="resp_of_somebody_else")}, 502, "backend_failed"),
        ({"content": [1]}, 502, "backend_failed"),
    ],
)
def test_what_goes_wrong_at_the_provider_says_nothing_of_it(shared_rig, backend, answer, status, code):
    key = new_key(shared_rig)
    ours = ask(shared_rig, key).id
    backend.says(answer["content"], status=answer.get("status", 200))
    failed = request(shared_rig, key, "GET", ours)
    assert (failed.status_code, failed.json()["error"]["code"]) == (status, code)
    assert "theirs" not in failed.text
    assert "10.0.0.7" not in failed.text


def test_other_methods_and_parts_are_refused(shared_rig, backend):
    key = new_key(shared_rig)
    ours = ask(shared_rig, key).id
    assert request(shared_rig, key, "POST", ours).status_code == 405
    assert request(shared_rig, key, "GET", f"{ours}/input_items").status_code == 404
    assert requests.get(f"{shared_rig.gateway.url}/v1/responses/{ours}").status_code == 401
    assert len(backend.asked) == 1


def test_a_provider_is_asked_with_its_credential(shared_rig, backend):
    key = new_key(shared_rig)
    config = ProviderConfig(dialect="openai", headers={"openai-organization": "org-1"})
    shared_rig.routes[-1].targets[0] = backend.backend(provider=config)
    shared_rig.publish()
    ours = ask(shared_rig, key).id
    assert request(shared_rig, key, "GET", ours).ok
    headers, _ = backend.asked[-1]
    assert headers["openai-organization"] == "org-1"
    assert key not in str(headers)


def test_background_and_conversations_stay_refused(shared_rig, backend):
    key = new_key(shared_rig)
    for field, value in (("background", True), ("conversation", "conv_1")):
        with pytest.raises(openai.BadRequestError) as refused:
            ask(shared_rig, key, **{field: value})
        assert refused.value.param == field
    with pytest.raises(openai.BadRequestError):
        shared_rig.client(key).responses.create(
            model=MODEL, input=[{"type": "item_reference", "id": "msg_1"}]
        )


def test_without_the_installations_key_nothing_is_stored(shared_rig, backend):
    shared_rig.settings = SettingsConfig()
    key = new_key(shared_rig)
    ask(shared_rig, key)
    assert backend.asked[-1][1]["store"] is False
    with pytest.raises(openai.BadRequestError):
        ask(shared_rig, key, store=True)


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=40), st.text(max_size=40))
def test_an_id_opens_for_its_tenant_only(target, theirs, tenant, other):
    target = target.replace("\0", "")
    one = Separation("k")
    sealed = one.seal_id(tenant, target, theirs)
    assert one.open_id(tenant, sealed) == (target, theirs)
    assert one.seal_id(tenant, target, theirs) == sealed
    assert tenant == other or one.open_id(other, sealed) is None
    assert Separation("another").open_id(tenant, sealed) is None
    assert one.open_id(tenant, sealed[:-2]) is None


@pytest.mark.django_db
def test_the_tenants_setting_reaches_gateways_by_name(lab, project):
    key_for(project, CatalogModelFactory())
    assert compile_snapshot().keys[0].stores_answers is False
    before = current_revision()
    change_tenant(lab.pk, by=member_of(lab, "owner"), answer_storage=Tenant.AnswerStorage.ON)
    assert compile_snapshot().keys[0].stores_answers is True
    changes = changes_between(before, current_revision())
    assert changes is not None
    assert changes.tenants == {lab.pk}


def test_failures_of_countless_urls_take_no_memory():
    async def main():
        failure = b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"
        async with Server(*[failure] * 6) as server, Connections(Metrics(), most=10) as connections:
            for number in range(6):
                answer = await connections.post(
                    f"http://127.0.0.1:{server.port}/v1/responses/{number}",
                    data=b"",
                    lines=b"",
                    connect_seconds=5,
                    response_seconds=5,
                    method="GET" if number % 2 else "DELETE",
                )
                answer.close()
            assert len(connections._failing) == 1

    asyncio.run(main())
