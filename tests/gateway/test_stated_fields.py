"""The field that an operator stated for a target: the gateway sends it there, and no client can."""

import json

import pytest
import requests

from gateway.contract import RouteConfig, SettingsConfig
from gateway.proxy.separation import Separation
from tests.gateway.scripted_backend import ScriptedBackend
from tests.gateway.test_tenants_apart_at_engines import MODEL, call, key_of, serve

FIELD = "tenant_tag"
SALT = Separation("of this installation").salt_of


@pytest.fixture
def stated(configured_rig):
    """A rig to one backend that separates by a stated field; `other` is one of which nothing is stated."""
    rig = configured_rig
    rig.settings = SettingsConfig(separation_key="of this installation")
    rig.stated, rig.other = ScriptedBackend("stated"), ScriptedBackend("other")
    serve(rig, rig.stated.backend(cache_key_field=FIELD))
    yield rig
    rig.stated.close()
    rig.other.close()


def last(backend):
    return backend.asked[-1][1]


def test_each_tenant_has_its_own_value_in_that_field(stated):
    for tenant in ("aurora", "helios"):
        assert call(stated, key_of(stated, tenant)).status_code == 200
        body = last(stated.stated)
        assert (body[FIELD], "cache_salt" in body) == (SALT(tenant), False)
    assert SALT("aurora") != SALT("helios")


def test_the_field_goes_to_that_target_only(stated):
    secret = key_of(stated, "aurora")
    stated.stated.says({"error": {"message": "busy"}}, status=503)
    serve(stated, stated.stated.backend(cache_key_field=FIELD), stated.other.backend(priority=1))
    stated.publish()
    assert call(stated, secret).status_code == 200
    assert (last(stated.stated)[FIELD], FIELD in last(stated.other)) == (SALT("aurora"), False)


@pytest.mark.parametrize(
    "name",
    [FIELD, "Tenant_Tag", "TENANT_TAG", "tenantTag", "tenant-tag", "TenantTag", "_tenant__tag", "tenant.tag",
     "tenant tag"],
)  # fmt: skip
def test_a_client_cannot_send_it_in_any_spelling(stated, name):
    secret = key_of(stated, "aurora")
    for value in (SALT("helios"), None, 7, {"a": 1}):
        error = call(stated, secret, **{name: value}).json()["error"]
        assert (error["code"], error["param"]) == ("unsupported_parameter", name)
    assert stated.stated.asked == []


def test_a_client_cannot_hide_it(stated):
    secret = key_of(stated, "aurora")
    head = '{"model":"' + MODEL + '","messages":[{"role":"user","content":"hello"}],'
    for tail in (
        '"\\u0074enant_tag":"x"}',
        '"tenant_tag":"a","tenant_tag":"b"}',
        '"a":1,"tenant_tag":"b","a":2}',
    ):
        answer = requests.post(
            f"{stated.gateway.url}/v1/chat/completions",
            data=head + tail,
            headers={"authorization": f"Bearer {secret}"},
            timeout=60,
        )
        assert answer.status_code == 400, tail
    for inside in (
        {"provider_options": {"a": [{"tenantTag": "x"}]}}, {"stream_options": {FIELD: "x"}},
        {"structured_outputs": {FIELD: "x"}}, {"chat_template_kwargs": {FIELD: "x"}}, {"extra_body": {FIELD: "x"}},
        {"metadata": {"a": {"tenant-tag": "x"}}},
    ):  # fmt: skip
        assert call(stated, secret, **inside).status_code == 400, inside
    assert stated.stated.asked == []


def test_it_is_refused_where_any_target_of_the_tenant_takes_it_and_passes_elsewhere(stated):
    secret = key_of(stated, "aurora")
    serve(stated, stated.other.backend(), stated.stated.backend(cache_key_field=FIELD, priority=1))
    stated.publish()
    assert call(stated, secret, **{FIELD: "x"}).status_code == 400
    serve(stated, stated.other.backend(), stated.stated.backend(cache_key_field=FIELD, only_tenant="helios"))
    stated.publish()
    assert call(stated, secret, **{FIELD: "x"}).status_code == 200, "to aurora's targets it means nothing"
    assert last(stated.other)[FIELD] == "x"


def test_no_allowed_control_opens_it(stated):
    secret = key_of(stated, "aurora")
    serve(stated, stated.stated.backend(cache_key_field="kv_scope", allowed_controls=["kv_scope", "kvScope"]))
    stated.publish()
    assert call(stated, secret, kvScope="x").status_code == 400
    assert call(stated, secret).status_code == 200
    assert last(stated.stated)["kv_scope"] == SALT("aurora")


def test_the_value_is_cut_out_of_errors_and_the_model_is_named_whatever_is_stated(stated):
    secret = key_of(stated, "aurora")
    stated.stated.says({"error": {"message": f"bad {SALT('aurora')} for you"}}, status=400)
    assert SALT("aurora") not in call(stated, secret).text
    stated.stated.says({"error": {"message": "x"}}, status=400)
    stated.routes = [
        RouteConfig(model=MODEL, modes=["chat"], targets=[stated.stated.backend(cache_key_field="model")])
    ]
    stated.publish()
    call(stated, secret)
    assert json.dumps(last(stated.stated)["model"]) == f'"{stated.stated.backend().upstream_model}"'
