"""What cannot be read, counted or paid is refused by name before a backend is asked, at every endpoint."""

import msgspec
import pytest
import requests

from gateway.contract import PriceConfig
from tests.gateway.proxy_fixtures import limit
from tests.gateway.served import CALLS, DRAWN, IMAGE, MP3, RANKED, RERANK, SOUND

PICTURE_INSIDE = {"type": "image_url", "image_url": {"url": "http://10.0.0.1/a"}}


@pytest.mark.parametrize(
    ("path", "changes", "param"),
    [
        ("rerank", {"query": ""}, "query"),
        ("rerank", {"query": ["a"]}, "query"),
        ("rerank", {"documents": []}, "documents"),
        ("rerank", {"documents": "a"}, "documents"),
        ("rerank", {"documents": [1]}, "documents"),
        ("rerank", {"documents": ["a"] * 10_001}, "documents"),
        ("rerank", {"top_n": 0}, "top_n"),
        ("rerank", {"documents": [{"image_url": "http://169.254.169.254/"}]}, "documents[0].image_url"),
        ("rerank", {"priority": 1}, "priority"),
        ("moderations", {"input": []}, "input"),
        ("moderations", {"input": [1]}, "input"),
        ("moderations", {"input": [PICTURE_INSIDE]}, "input[0].image_url.url"),
        ("audio/speech", {"input": ""}, "input"),
        ("audio/speech", {"voice": {"id": "voice_1"}}, "voice"),
        ("audio/speech", {"stream_format": "x"}, "stream_format"),
        ("images/generations", {"prompt": None}, "prompt"),
        ("images/generations", {"n": 101}, "n"),
        ("images/generations", {"stream": "yes"}, "stream"),
        ("images/generations", {"svg": {"model": "gpt-another"}}, "svg"),
        ("images/generations", {"frame_count": 90}, "frame_count"),
        ("images/generations", {"model": None}, "model"),
        ("images/generations", {"size": "x" * 50}, "size"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_or_counted_is_refused_by_name(served, path, changes, param):
    model = served(path)
    came = model.call(**CALLS[path][0] | changes)
    assert (came.status_code, came.json()["error"]["param"]) == (400, param)
    assert model.backend.asked == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"), ({"url": "http://x/a.mp3"}, "url"), ({"file_url": "http://x/a.mp3"}, "file_url"),
        ({"file_id": "file-1"}, "file_id"), ({"stream": "perhaps"}, "stream"), ({"priority": "1"}, "priority"),
        ({"file": "not a file"}, None),
    ],
)  # fmt: skip
def test_a_form_with_what_cannot_be_counted_is_refused(served, fields, param):
    model = served("audio/transcriptions")
    came = model.call(form=SOUND, **fields)
    assert (came.status_code, came.json()["error"]["param"]) == (400, param or "file")
    assert model.backend.asked == []


def test_a_call_for_a_transcript_without_a_form_is_refused(served):
    came = served("audio/transcriptions").call(file="x")
    assert (came.status_code, came.json()["error"]["code"]) == (400, "invalid_form")


def test_a_chat_model_is_not_called_at_another_endpoint(configured_rig):
    secret = configured_rig.new_key()
    came = requests.post(
        f"{configured_rig.gateway.url}/v1/rerank",
        json={"model": "aurora-chat", **RERANK},
        headers={"authorization": f"Bearer {secret}"},
        timeout=60,
    )
    assert (came.status_code, came.json()["error"]["code"]) == (400, "wrong_endpoint")


# limits


@pytest.mark.parametrize(
    ("path", "prices", "units"),
    [
        ("rerank", {"search": 2_000_000}, 1),
        ("moderations", {"input": 100}, 10),
        ("audio/speech", {"character": 15_000}, 14),
        ("images/generations", {"image_output_1792x1024": 80_000_000}, 1),
    ],
)
def test_money_is_reserved_in_the_kinds_of_the_endpoint(served, path, prices, units):
    model = served(path)
    call, answer = CALLS[path]
    if answer:
        model.backend.says(answer)
    else:
        model.backend.says(events=[b"sound"], headers=MP3)
    money = [limit("money_per_month", 1)]
    key = model.rig.new_key(models=[model.model], limits=money)
    unpriced = model.call(key, **call)
    assert (unpriced.status_code, unpriced.json()["error"]["code"]) == (403, "model_unpriced")
    model.rig.prices.append(PriceConfig(model=model.model, nano_per_unit=prices))
    model.rig.publish()
    reached = model.call(key, **call)
    assert (reached.status_code, reached.json()["error"]["code"]) == (429, "insufficient_quota")
    assert model.backend.asked == []
    # Enough for one call, and not for two.
    most = 2 * units * next(iter(prices.values())) - 1
    key = model.rig.new_key(models=[model.model], limits=[limit("money_per_month", most)])
    assert [model.call(key, **call).status_code for _ in range(2)] == [200, 429]


def test_the_other_size_of_a_picture_needs_its_own_price(served):
    model = served("images/generations")
    model.rig.prices.append(
        PriceConfig(model=model.model, nano_per_unit={"image_output_1024x1024": 40_000_000})
    )
    key = model.rig.new_key(models=[model.model], limits=[limit("money_per_month", 10**12)])
    model.backend.says(DRAWN)
    assert model.call(key, **IMAGE).json()["error"]["code"] == "model_unpriced"
    assert model.call(key, **IMAGE | {"size": "1024x1024"}).status_code == 200


def test_a_call_that_is_counted_without_a_price_still_counts_for_a_limit_on_money(served):
    """Its backend reports tokens, and only searches have a price: the ledger flags it, and the limit holds."""
    model = served("rerank")
    model.rig.prices.append(PriceConfig(model=model.model, nano_per_unit={"search": 10}))
    key = model.rig.new_key(models=[model.model], limits=[limit("money_per_month", 25)])
    model.backend.says(RANKED | {"usage": {"total_tokens": 9}})
    assert [model.call(key, **RERANK).status_code for _ in range(3)] == [200, 200, 429]


def test_tokens_of_these_endpoints_count_for_limits_on_tokens(served):
    model = served("rerank")
    key = model.rig.new_key(models=[model.model], limits=[limit("tokens_per_minute", 60)])
    model.backend.says(RANKED | {"usage": {"total_tokens": 50}})
    assert [model.call(key, **RERANK).status_code for _ in range(2)] == [200, 429]


def test_a_limit_on_tokens_does_not_bound_what_is_counted_in_units_and_one_on_requests_does(served):
    """docs/gateway/limits.md, "Tokens are tokens": pages say so where a limit is set."""
    model = served("images/generations")
    model.backend.says(DRAWN)
    daily = limit("tokens_per_day", 10_000, time_zone="UTC")
    key = model.rig.new_key(models=[model.model], limits=[daily])
    assert {model.call(key, **IMAGE).status_code for _ in range(12)} == {200}
    assert {event.tokens for event in model.rig.events(key, 12)} == {0}
    # It needs room for the tokens that the backend may report instead.
    none_left = limit("tokens_per_day", 1, time_zone="UTC")
    assert model.call(model.rig.new_key(models=[model.model], limits=[none_left]), **IMAGE).status_code == 429
    key = model.rig.new_key(models=[model.model], limits=[daily, limit("requests_per_minute", 2)])
    assert [model.call(key, **IMAGE).status_code for _ in range(3)] == [200, 200, 429]


# sizes


def test_a_sound_file_may_be_larger_than_other_calls(served):
    model = served("audio/transcriptions")
    model.backend.says({"text": "hello"})
    largest = model.rig.settings
    model.rig.settings = msgspec.structs.replace(largest, max_body_bytes=1000, max_upload_bytes=300_000)
    model.rig.publish()
    try:
        assert model.call(form=b"\x01" * 290_000).status_code == 200
        came = model.call(form=b"\x01" * 301_000)
        assert (came.status_code, came.json()["error"]["code"]) == (413, "request_too_large")
        assert len(model.backend.asked) == 1
    finally:
        model.rig.settings = largest
        model.rig.publish()
