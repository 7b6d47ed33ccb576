"""Sentences and states that a page must not get wrong, whatever the view hands over."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import path

pytestmark = pytest.mark.urls(__name__)


def nothing(request, **parts):
    return HttpResponse()


urlpatterns = [
    path("t/<tenant>/exports/new/", nothing, name="export-new"),
    path("t/<tenant>/exports/<pk>/", nothing, name="export-detail"),
    path("t/<tenant>/exports/<pk>/download/", nothing, name="export-download"),
    path("t/<tenant>/models/<name>/", nothing, name="model-detail"),
    path("t/<tenant>/requests/<pk>/", nothing, name="request-detail"),
    path("t/<tenant>/requests/<pk>/withdraw/", nothing, name="request-withdraw"),
    path("t/<tenant>/keys/<pk>/claim/", nothing, name="key-claim"),
    path("t/<tenant>/keys/<pk>/revoke/", nothing, name="key-revoke"),
    path("t/<tenant>/models/", nothing, name="model-list"),
]

TENANT = {"name": "Aurora Bank", "slug": "aurora-bank"}
NOW = datetime(2026, 11, 20, 9, 40, tzinfo=UTC)


def words(markup: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


def test_a_model_without_a_price_says_so_and_never_shows_a_zero():
    markup = render_to_string("catalog/_price.html", {"value": None})
    assert words(markup) == "Not priced"


def test_a_price_of_zero_is_a_price():
    assert words(render_to_string("catalog/_price.html", {"value": Decimal(0), "currency": "USD"})) == "$0.00"


def tiles(**changes):
    context = {
        "currency": "USD",
        "period": {"is_current": True},
        "spend": {"now": Decimal("19859.37123456"), "before": Decimal("17228")},
        "unit": {"now": Decimal("0.561"), "before": Decimal("0.579")},
        "token_count": {"now": 35_391_204_118, "before": 29_770_000_000},
        "calls": 4_820_000,
        "forecast": {
            "amount": Decimal("29970"),
            "low": Decimal("28600"),
            "high": Decimal("31500"),
            "end": date(2026, 11, 30),
        },
    }
    return render_to_string("billing/_cost_tiles.html", context | changes)


def test_the_tiles_say_the_amount_its_change_and_a_range_for_what_is_not_known_yet():
    text = words(tiles())
    assert "$19,859" in text
    assert "15.3% higher from $17,228" in text
    assert "$29,970 likely $28,600–$31,500" in text
    assert "35.39B" in text
    assert "in 4.82M calls" in text


def test_programs_find_every_digit_of_the_spend():
    assert '<data id="spend" value="19859.37123456"' in tiles()


def test_without_enough_days_there_is_no_forecast():
    text = words(tiles(forecast=None))
    assert "Forecast — not enough days" in text


def test_a_month_without_a_month_before_claims_no_change():
    text = words(tiles(spend={"now": Decimal("12"), "before": None}))
    assert "$12.00 no comparison" in text


def test_an_unpriced_model_is_named_and_left_out_of_the_shares():
    rows = [
        {
            "color": 1,
            "label": "glm-4.6",
            "cost": Decimal("9"),
            "before": None,
            "tokens": 10,
            "unit_cost": None,
        },
        {
            "color": 2,
            "label": "mystery-1",
            "cost": None,
            "before": None,
            "tokens": 123_456,
            "unit_cost": None,
        },
    ]
    total = {"cost": Decimal("9"), "before": None, "tokens": 123_466, "unit_cost": None}
    markup = render_to_string(
        "billing/_cost_models.html", {"model_rows": rows, "model_total": total, "currency": "USD"}
    )
    text = words(markup)
    assert "glm-4.6 $9.00 100%" in text
    assert "mystery-1 Not priced — 123.46K" in text
    assert "Total $9.00" in text


def export_row(**export):
    row = {"pk": "7", "label": "Costs, October 2026", "created_at": NOW, **export}
    return render_to_string("exports/_export_row.html", {"tenant": TENANT, "export": row})


@pytest.mark.parametrize("state", ["queued", "running"])
def test_an_export_asks_again_until_it_is_ready(state):
    assert 'hx-trigger="every 1s"' in export_row(state=state, rows_done=0, rows_total=None)


def test_a_ready_export_stops_asking_and_can_be_downloaded():
    markup = export_row(state="done", rows_total=6_300_123, size_bytes=41_200_300, sha256="ab12cd34" * 8)
    assert "hx-get" not in markup
    assert "/t/aurora-bank/exports/7/download/" in markup
    assert "6,300,123 41.2 MB ab12cd34" in words(markup)


def test_a_failed_export_says_why_and_offers_the_same_again():
    again = {"ask_url": "/t/aurora-bank/exports/new/", "form": {"month": "2026-10"}}
    markup = export_row(state="failed", error="The disk is full.", **again)
    assert "hx-get" not in markup
    assert "The disk is full." in words(markup)
    assert 'action="/t/aurora-bank/exports/new/"' in markup
    assert '<input type="hidden" name="month" value="2026-10">' in markup


def keys(**key):
    row = {
        "pk": "9",
        "name": "triage-bot",
        "badge": {"kind": "ok", "text": "Active"},
        "month_cost": None,
        **key,
    }
    return render_to_string(
        "tenants/_apikey_table.html", {"tenant": TENANT, "keys": [row], "tab": "current", "currency": "USD"}
    )


def test_a_key_shows_its_prefix_and_who_may_not_revoke_sees_no_button():
    markup = keys(prefix="qm_7Kd2a", can_revoke=False)
    assert "qm_7Kd2a…" in words(markup)
    assert "Revoke" not in markup
    assert "Revoke" in keys(prefix="qm_7Kd2a", can_revoke=True)


def test_a_key_that_was_never_used_says_never():
    assert "never" in words(keys(prefix="qm_7Kd2a", last_used_at=None))


def test_the_preview_says_what_it_costs_and_which_reviews_it_needs_and_why():
    preview = {
        "cost": Decimal("412.4"),
        "low": Decimal("310.9"),
        "high": Decimal("540.1"),
        "currency": "USD",
        "decision_on": date(2026, 11, 25),
        "decision_note": "2 reviews",
        "reviews": [{"label": "Security", "why": "vendor-hosted", "usual": "1 working day"}],
    }
    text = words(render_to_string("catalog/_request_preview.html", {"preview": preview}))
    assert "$410 / month likely $310–$540" in text
    assert "Security vendor-hosted 1 working day" in text


def test_the_preview_of_an_unpriced_model_does_not_invent_a_cost():
    text = words(render_to_string("catalog/_request_preview.html", {"preview": {"cost": None}}))
    assert "Unknown This model is not priced." in text
    assert "$0" not in text


def test_markup_in_what_people_typed_stays_text():
    attack = "<script>alert(1)</script>"
    request = {
        "pk": "1",
        "reference": "REQ-1",
        "model_title": attack,
        "project_name": attack,
        "purpose": attack,
    }
    markup = render_to_string(
        "catalog/_access_request.html",
        {"tenant": TENANT, "access_request": request, "badge": {}, "cost": {"amount": None}, "timeline": []},
    )
    assert "<script>" not in markup
    assert "&lt;script&gt;" in markup
