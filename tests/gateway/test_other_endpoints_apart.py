"""At the endpoints that are no chats too, a call stays in its regions, its class of data and within its key."""

import pytest
import requests

from gateway.contract import ENDPOINTS
from tests.gateway.served import CALLS, MODES, MP3, SOUND


def answered(model, key):
    """The status of one call with this key."""
    if model.path == "audio/transcriptions":
        return model.call(key, form=SOUND).status_code
    return model.call(key, **CALLS[model.path][0]).status_code


def says_what_it_should(backend, path):
    if path == "audio/transcriptions":
        backend.says({"text": "hello"})
    elif path == "audio/speech":
        backend.says(events=[b"sound"], headers=MP3)
    else:
        backend.says(CALLS[path][1])


@pytest.fixture(params=list(MODES))
def two(served, request):
    """A model at two targets: one in eu-west for public data, one in us-east for all."""
    model = served(request.param)
    other = model.second()
    mode = MODES[request.param]
    model.targets[:] = [
        model.backend.backend(modes=[mode], regions=["eu-west"], highest_data_class="public"),
        other.backend(modes=[mode], regions=["us-east"], priority=1),
    ]
    for backend in (model.backend, other):
        says_what_it_should(backend, request.param)
    model.routed()
    model.rig.publish()
    return model, other


def test_a_call_never_leaves_the_regions_of_its_tenant_even_if_they_fail(two):
    model, other = two
    resident = model.rig.new_key(models=[model.model], regions=["eu"])
    assert answered(model, resident) == 200
    model.backend.says({"error": {"message": "down"}}, status=429)
    assert answered(model, resident) == 429
    assert (len(model.backend.asked), len(other.asked)) == (2, 0)
    free = model.rig.new_key(models=[model.model])
    assert answered(model, free) == 200
    assert len(other.asked) == 1


def test_data_of_a_higher_class_goes_only_where_it_may(two):
    model, other = two
    secret = model.rig.new_key(models=[model.model], data_classes={model.model: "confidential"})
    assert answered(model, secret) == 200
    assert (len(model.backend.asked), len(other.asked)) == (0, 1)


def test_a_key_for_some_endpoints_opens_no_others(two):
    model, _ = two
    mine = f"/v1/{model.path}"
    narrow = model.rig.new_key(models=[model.model], endpoints=[mine])
    assert answered(model, narrow) == 200
    elsewhere = model.rig.new_key(
        models=[model.model], endpoints=[path for path in ENDPOINTS if path != mine]
    )
    assert answered(model, elsewhere) == 403
    others = model.rig.new_key(models=["nobody-serves-me"])
    assert answered(model, others) == 404


def test_without_a_key_nothing_is_read(two):
    model, other = two
    url = f"{model.rig.gateway.url}/v1/{model.path}"
    assert requests.post(url, data=b"--b1\r\n", timeout=30).status_code == 401
    assert (model.backend.asked, other.asked) == ([], [])
