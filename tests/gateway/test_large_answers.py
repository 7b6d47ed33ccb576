"""A plain answer is read within bounds, and one that is not kept is refused in our words and billed by evidence."""

import asyncio
import json

import pytest

from gateway.proxy import intake, plain_answers
from gateway.proxy.intake import BodyBudget
from gateway.proxy.plain_answers import DroppedAnswer, read_plain
from tests.gateway.proxy_fixtures import Rig
from tests.gateway.scripted_backend import USAGE, plain, scripted_backend
from tests.gateway.test_whole_answers import MODEL, call, recorded

MIB = 1024 * 1024


def long_answer(size, **changes):
    message = {"role": "assistant", "content": "a" * size}
    return plain(choices=[{"index": 0, "message": message, "finish_reason": "stop"}], **changes)


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    rig = Rig(
        tmp_path_factory.mktemp("large-answers"),
        GATEWAY_LARGEST_ANSWER_MIB="1",
        GATEWAY_ANSWER_MEMORY_MIB="2",
    )
    yield rig
    rig.close()


@pytest.fixture
def scripted(road):
    with scripted_backend(road, MODEL) as backend:
        yield backend


def refused(answer):
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (502, "answer_too_large")
    assert "more than 1 MiB" in error["message"]
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("is_announced", [True, False])
def test_an_answer_that_is_too_large_is_refused_counted_logged_and_billed_as_told(
    road, scripted, is_announced
):
    told = {"prompt_tokens": 12, "completion_tokens": 300_000, "total_tokens": 300_012}
    content = json.dumps(long_answer(MIB, usage=told)).encode()
    headers = {"content-length": str(len(content))} if is_announced else {}
    before = road.gateway.metric('llm_gateway_answers_dropped_total{reason="too_large"}')
    scripted.says(content, headers=headers)
    refused(call(road, scripted.key))
    event = recorded(road, scripted.key)
    assert (event.status, event.http_status, event.is_exact) == ("error", 502, False)
    assert (event.usage.get("input", 0), event.usage.get("output", 0)) == (12, 300_000)
    assert road.gateway.metric('llm_gateway_answers_dropped_total{reason="too_large"}') == before + 1
    lines = [line for line in road.gateway.process.output().splitlines() if "answer_dropped" in line]
    assert event.call_id in lines[-1]
    assert "aaaa" not in lines[-1]
    scripted.says(plain())
    assert call(road, scripted.key).status_code == 200


def test_one_that_says_nothing_of_tokens_costs_its_prompt(road, scripted):
    scripted.says(long_answer(MIB, usage=None))
    refused(call(road, scripted.key))
    event = recorded(road, scripted.key)
    assert (event.status, event.is_exact, event.tokens) == ("error", False, event.usage.get("input", 0))
    assert event.usage.get("input", 0) > 0


def test_one_that_never_ends_is_given_up(road, scripted):
    scripted.says(
        events=[b'{"choices":[' + b" " * MIB] + [b" " * MIB] * 200,
        headers={"content-type": "application/json"},
    )
    for _ in range(4):
        refused(call(road, scripted.key, max_tokens=5))
    assert all(event.usage.get("output", 0) == 0 for event in road.events(scripted.key, 4))
    scripted.says(plain())
    # One caller takes no backend from all others.
    assert call(road, scripted.key).status_code == 200


def test_an_embedding_costs_its_prompt(road, scripted):
    vectors = {"data": [{"embedding": "A" * MIB}], "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    scripted.says(vectors)
    refused(call(road, scripted.key, "embeddings", input="some words of it"))
    assert recorded(road, scripted.key).usage == {"input": 7}


def test_one_that_just_fits_is_passed_on(road, scripted):
    scripted.says(
        long_answer(MIB - 1000, usage={**USAGE, "completion_tokens": 262_144, "total_tokens": 262_156})
    )
    answer = call(road, scripted.key)
    assert (answer.status_code, len(answer.json()["choices"][0]["message"]["content"])) == (200, MIB - 1000)
    assert recorded(road, scripted.key).is_exact
    assert road.gateway.metric("llm_gateway_answer_bytes") == 0


class Response:
    """As much of an `Answer` as is read."""

    def __init__(self, *pieces, announced=None):
        self.content_length = announced or 0
        self.pieces = list(pieces)

    def take_whole(self, most):
        """It comes piece by piece."""

    async def read(self, until=None):
        return self.pieces.pop(0) if self.pieces else b""


def read(*pieces, budget, announced=None, largest=MIB):
    async def live():
        return await read_plain(Response(*pieces, announced=announced), budget.share_of("t", "k"), largest)

    return asyncio.run(live())


@pytest.mark.parametrize("announced", [200_000, None])
def test_where_there_is_no_room_an_answer_is_not_kept_and_its_end_is_read(monkeypatch, announced):
    monkeypatch.setattr(intake, "WAIT_SECONDS", 0.01)
    budget = BodyBudget(300_000)
    asyncio.run(budget.share_of("u", "x").take(250_000))
    pieces = (b" " * 100_000, b" " * 90_000, b'"usage": {"prompt_tokens": 3, "completion_tokens": 4}}')
    with pytest.raises(DroppedAnswer) as dropped:
        read(*pieces, budget=budget, announced=announced)
    assert (dropped.value.reason, dropped.value.refusal.status) == ("no_room", 503)
    assert dropped.value.refusal.headers["x-should-retry"] == "false"
    assert (dropped.value.reported.prompt, dropped.value.reported.completion) == (3, 4)
    assert dropped.value.size == sum(map(len, pieces))
    assert budget.used == 250_000


def test_larger_answers_are_counted_while_they_are_held_and_small_ones_never(monkeypatch):
    async def live():
        budget = BodyBudget(MIB)
        share = budget.share_of("t", "k")
        assert await read_plain(Response(b"x" * 1000), share, MIB) == b"x" * 1000
        assert budget.used == 0
        # Another backend's answer to the same call.
        for _ in range(2):
            whole = await read_plain(Response(b"x" * 90_000, b"y" * 90_000), share, MIB)
            assert whole == b"x" * 90_000 + b"y" * 90_000
            assert 180_000 <= budget.used <= 400_000
        share.release()
        assert budget.used == 0

    asyncio.run(live())


def test_an_end_that_never_comes_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(plain_answers, "_DRAIN_SECONDS", 0.01)

    class Hanging(Response):
        async def read(self, until=None):
            if self.pieces:
                return self.pieces.pop(0)
            async with asyncio.timeout_at(until):
                return await asyncio.Event().wait()

    async def live():
        async with asyncio.timeout(5):
            with pytest.raises(DroppedAnswer) as dropped:
                await read_plain(Hanging(b"x" * 200), BodyBudget(MIB).share_of("t", "k"), 100)
        assert (dropped.value.size, dropped.value.reported) == (200, None)

    asyncio.run(live())
