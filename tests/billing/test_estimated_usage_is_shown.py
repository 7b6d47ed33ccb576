"""Calls whose tokens were estimated are summed, and shown as such on the page, in the API and in the file."""

from __future__ import annotations

import csv
import io
import re
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from billing.cost_reports import ask_for_cost_report
from billing.estimates import Estimated, estimated_usage
from billing.ingest import record_usage
from billing.prices import publish_prices
from billing.usage import as_json
from exports.building import build_export
from exports.files import path_of
from exports.models import Export
from tests.billing.conftest import NOON, one, rows
from tests.usage_records import counted

FIRST, LAST = date(2026, 10, 1), date(2026, 10, 31)
COUNTS = ("input", "cache_read", "cache_write", "output", "reasoning", "image", "audio")
SUM = " + ".join(counted(kind) for kind in COUNTS)


@pytest.fixture
def usage(transactional_db, lab, call, prices, settings, tmp_path):
    """Exact and estimated calls, priced and unpriced, over a change of price in the middle of a day."""
    settings.EXPORT_DIR = tmp_path / "exports"
    publish_prices("aya", {"input": Decimal(4), "cache_read": Decimal(1), "output": Decimal(7)},
                   valid_from=datetime.fromisoformat("2026-10-14T15:00:00+00:00"), reason="Next", by=None)  # fmt: skip
    calls = [
        call(
            model=("aya", "bree", "stranger")[n % 3],
            input=100 + n,
            cache_read=n % 4,
            output=n % 7,
            is_exact=n % 5 != 0,
            status="error" if n % 11 == 0 else "ok",
            occurred_at=NOON + timedelta(minutes=17 * n),
        )
        for n in range(60)
    ]
    record_usage("gateway", calls)
    return calls


def test_their_sums_are_those_of_the_inexact_events(usage, lab):
    for where in ("true", "model_id = (SELECT id FROM billed_model WHERE name = 'aya')", "is_unpriced"):
        told = rows(
            f"SELECT sum(calls), {SUM}, {counted('request')}, sum(amount) FROM rollup_estimated WHERE {where}"
        )
        assert told == rows(
            f"SELECT count(*), {SUM}, count(*) FILTER (WHERE status <> 'error'), sum(amount) "
            f"FROM usage_event WHERE NOT is_exact AND {where}"
        )
    calls, tokens, cost = rows(
        f"SELECT count(*), ({SUM})::bigint, sum(amount) FROM usage_event WHERE NOT is_exact"
    )[0]
    assert estimated_usage(lab, FIRST, LAST) == {(): Estimated(calls, tokens, cost)}
    assert calls == 12


def test_a_call_that_is_sent_twice_is_estimated_once(usage, lab):
    before = one("SELECT sum(calls) FROM rollup_estimated")
    record_usage("gateway", usage)
    assert one("SELECT sum(calls) FROM rollup_estimated") == before
    assert as_json(usage[0])["is_exact"] is False


def test_page_api_and_file_say_how_much_was_estimated(usage, lab, finance, client):
    tokens = one(f"SELECT {SUM} FROM usage_event WHERE NOT is_exact")
    client.force_login(finance)
    page = client.get(reverse("cost", args=["lab"]), {"month": "2026-10"}).content.decode()
    assert int(re.search(r'id="estimated"\s+data-tokens="(\d+)"', page)[1]) == tokens
    assert re.search(r"of these, \d+% estimated", page)

    api = APIClient()
    api.force_authenticate(finance)
    for path in ("costs", "usage"):
        for grouping in (
            "",
            "day",
            "month",
            "day,model",
            "project,model",
            "key",
            "month,key",
            "day,model,project,key",
        ):
            entry_filter = {"tenant": "lab", "start": FIRST, "end": LAST, "group_by": grouping}
            answer = api.get(f"/api/v1/{path}/", entry_filter).json()
            assert answer["total"]["estimated_calls"] == 12
            assert answer["total"]["estimated_tokens"] == tokens
            assert sum(row["estimated_tokens"] for row in answer["rows"]) == tokens
            assert all(row["estimated_calls"] <= row["calls"] for row in answer["rows"])

    export = ask_for_cost_report(lab, start_day=FIRST, end_day=LAST, by=finance)
    build_export(export.pk)
    file = list(csv.DictReader(io.StringIO(path_of(Export.objects.in_tenant(lab).get()).read_text())))
    assert sum(int(row["estimated_quantity"]) for row in file if row["kind"] != "request") == tokens
    assert all(0 <= int(row["estimated_quantity"]) <= int(row["quantity"]) for row in file)
    assert len({(row["day"], row["model"], row["kind"], row["price_per_million"]) for row in file}) == len(
        file
    )
    by_kind = {kind: one(f"SELECT {counted(kind)} FROM usage_event WHERE NOT is_exact") for kind in COUNTS}
    for kind, number in by_kind.items():
        assert sum(int(row["estimated_quantity"]) for row in file if row["kind"] == kind) == number
    dear = [
        row for row in file if (row["model"], row["kind"], row["price_per_million"]) == ("aya", "input", "4")
    ]
    assert sum(int(row["estimated_quantity"]) for row in dear) == one(
        f"SELECT {counted('input')} FROM usage_event WHERE NOT is_exact AND occurred_at >= '2026-10-14T15:00:00Z' "
        "AND model_id = (SELECT id FROM billed_model WHERE name = 'aya')"
    )


def test_where_nothing_was_estimated_nothing_is_said(transactional_db, lab, finance, call, prices, client):
    record_usage("gateway", [call()])
    assert rows("SELECT 1 FROM rollup_estimated") == []
    client.force_login(finance)
    page = client.get(reverse("cost", args=["lab"]), {"month": "2026-10"}).content.decode()
    assert 'id="estimated"' not in page
