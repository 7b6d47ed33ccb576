"""Answers that speak of an error or an end and mean none, or leave their end open: served, and exact only if ended."""

import pytest

from tests.gateway.scripted_backend import chunk, plain, scripted_backend
from tests.gateway.test_whole_answers import DONE, MODEL, TOLD, call, end


@pytest.fixture
def scripted(shared_rig):
    with scripted_backend(shared_rig, MODEL) as backend:
        yield backend


@pytest.mark.parametrize("nothing", [None, 0, "0", "", [], {}, False])
def test_an_error_that_is_none_spoils_no_answer(shared_rig, scripted, nothing):
    told = dict.fromkeys(("error_code",) if nothing == "0" else ("error", "errors", "error_code"), nothing)
    scripted.says(plain(**told))
    assert call(shared_rig, scripted.key).status_code == 200
    scripted.says(events=[*[chunk(**told) for _ in range(6)], end(**told), TOLD, DONE])
    assert call(shared_rig, scripted.key, stream=True).text.count("word ") == 6
    for event in shared_rig.events(scripted.key, 2):
        assert (event.status, event.is_exact, event.usage.get("input", 0), event.usage.get("output", 0)) == (
            "ok",
            True,
            12,
            6,
        )


@pytest.mark.parametrize(
    ("end_told", "is_exact"),
    [({"finish_reason": "stop"}, True), ({}, True), ({"finish_reason": None}, False), ({"finish_reason": ""}, False)],
)  # fmt: skip
def test_a_plain_answer_that_says_it_has_no_end_is_never_exact(shared_rig, scripted, end_told, is_exact):
    """Whole answers of OpenAI itself came with null at times; engines that know no ends leave the name out."""
    scripted.says(plain(choices=[{"index": 0, "message": {"content": "hi there friend"}, **end_told}]))
    assert call(shared_rig, scripted.key).status_code == 200
    (event,) = shared_rig.events(scripted.key, 1)
    assert (event.status, event.is_exact, event.usage.get("output", 0)) == ("ok", is_exact, 6)
