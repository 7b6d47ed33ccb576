"""A price map with characters, addresses or numbers that break programs is refused entry by entry, in words."""

from __future__ import annotations

import json
import time

import pytest

from catalog.actions import start_import
from catalog.models import CatalogImport, CatalogModel, Offer
from catalog.price_map.reading import UnreadableFile, read_json
from core.names import is_seen
from tests.catalog.price_maps import run

pytestmark = pytest.mark.django_db
GOOD = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 1e-6,
    "output_cost_per_token": 2e-6,
}


def imported(entries):
    return run({"good-1": GOOD} | entries)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("evil\u0000", {}),
        ("evil\u202egnp", {}),
        ("evil\ud800", {}),
        ("evil\u2028line", {}),
        ("bedrock/eu-\u202ewest-1/anthropic.claude-3-haiku", {"litellm_provider": "bedrock"}),
        ("\u202e", {"litellm_provider": "\u0000"}),
        ("m", {"supported_modalities": ["text\u0000"]}),
        ("m", {"supported_output_modalities": ["\ud800"]}),
        ("m", {"mode": "chat\n"}),
        ("m", {"deprecation_date": "2026-01-01\n"}),
        ("m", {"input_cost_per_token": "\u0000"}),
    ],
)
def test_such_an_entry_is_refused_and_the_others_are_imported(key, change):
    imported({key: GOOD | change})
    assert CatalogModel.objects.get().name == "good-1"
    (refused, reason) = CatalogImport.objects.get().refused.popitem()
    assert reason
    assert is_seen(refused + reason)


def test_names_of_fields_reach_the_report_without_unseen_characters():
    fields = '{"a\\u202e": 1, "a\\u202e": 2, "b\\u0000": 1, "b\\u0000": 2}'
    text = f'{{"good-1": {json.dumps(GOOD)}, "m": {fields}}}'
    start_import(text, file_name="t.json", by=None)
    assert CatalogImport.objects.get().refused == {"m": "has a, b more than once"}


@pytest.mark.parametrize("text", ['"\\', "/* "], ids=["strings", "comments"])
def test_strings_and_comments_that_do_not_end_are_read_once(text):
    began = time.monotonic()
    with pytest.raises(UnreadableFile, match="not JSON"):
        read_json(text * 30_000)
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("source", ["http://[", "https://e.com/\u202efdp", "https://e.com/\u0000"])
def test_an_address_that_is_none_is_left_out(source):
    imported({"m-1": GOOD | {"source": source}})
    assert Offer.objects.get(source_key="m-1").source_url == ""


def test_a_number_beyond_all_measure_refuses_the_file_in_words():
    with pytest.raises(UnreadableFile, match="too large"):
        start_import('{"m": {"input_cost_per_token": 1e99999999999999999999}}', file_name="t.json", by=None)
