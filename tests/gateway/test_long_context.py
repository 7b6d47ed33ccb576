"""Billing can price a call by the size of its prompt: the kinds of usage of an event say how large that was."""

import msgspec
import pytest
from django.db import connection

from tests.gateway.scripted_backend import ScriptedBackend, add_route, plain
from tests.gateway.test_control_usage import registered, report, send
from tests.gateway.test_failover import call
from tests.gateway.test_usage_versions import key, recorded  # noqa: F401

MODEL = "aurora-long"
# All of a prompt's text, each token under one of them.
OF_THE_PROMPT = ("input", "cache_read", "cache_write", "cache_write_1h")
THRESHOLD = 200_000


def prompt_size(usage):
    return sum(usage.get(kind, 0) for kind in OF_THE_PROMPT)


@pytest.mark.parametrize(
    ("prompt_tokens", "details"),
    [
        (THRESHOLD, {}),
        (THRESHOLD + 1, {"cached_tokens": 150_000}),
        (THRESHOLD + 1, {"cached_tokens": 150_000, "cache_write_tokens": 20_000}),
    ],
)
def test_the_size_of_a_prompt_is_exact_whatever_of_it_was_cached(shared_rig, prompt_tokens, details):
    backend, before = ScriptedBackend(), shared_rig.settings
    shared_rig.settings = msgspec.structs.replace(before, max_body_bytes=8 * 1024**2)
    try:
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 6, "prompt_tokens_details": details}
        backend.says(plain(usage=usage | {"total_tokens": prompt_tokens + 6}))
        secret = add_route(shared_rig, MODEL, backend.backend())
        messages = [{"role": "user", "content": "word " * THRESHOLD}]
        assert call(shared_rig, secret, MODEL, messages=messages).status_code == 200
        (event,) = shared_rig.events(secret, 1)
        assert event.is_exact
        assert prompt_size(event.usage) == prompt_tokens
        assert event.usage.get("cache_read", 0) == details.get("cached_tokens", 0)
    finally:
        shared_rig.settings = before
        shared_rig.routes = [one for one in shared_rig.routes if one.model != MODEL]
        shared_rig.publish()
        backend.close()


@pytest.mark.django_db
def test_the_ledger_finds_the_calls_with_a_long_context_by_the_threshold_of_a_price_list(key):  # noqa: F811
    short = {"input": 50_000, "cache_read": 150_000, "output": 90_000}
    longer = {"input": 1, "cache_read": 150_000, "cache_write": 25_000, "cache_write_1h": 25_000, "output": 1}
    send(registered()[1], report(key, usage=short), report(key, usage=longer))
    size = " + ".join(f"coalesce(usage_count(usage, '{kind}'), 0)" for kind in OF_THE_PROMPT)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT event_id, {size} FROM usage_event WHERE {size} > %s",
            [THRESHOLD],
        )
        [(event_id, found)] = cursor.fetchall()
    assert found == THRESHOLD + 1
    row = recorded().get(event_id=event_id)
    assert (prompt_size(row.quantities), row.is_long_context) == (THRESHOLD + 1, False)
