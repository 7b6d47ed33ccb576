"""What a printed page says to somebody who has nothing but the paper."""

import re

import pytest
from playwright.sync_api import expect

from audit.models import AuditEntry
from catalog.actions import raise_access_request
from tests.browser.conftest import MODEL

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CONTROLS = ".qm-side, .qm-top, .qm-skip, .btn, .qm-chip, .qm-seg, dialog, .qm-toasts"


def printed(page, path):
    """Print to `path` as the browser's menu does, then show the page as it is on paper. Returns the sheets' sizes."""
    page.pdf(path=path, prefer_css_page_size=True)
    page.emulate_media(media="print")
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", path.read_bytes())
    return {(round(float(width)), round(float(height))) for width, height in boxes}


def test_a_printed_cost_page_says_whose_it_is_and_what_it_covers(browser, house, tmp_path):
    with house.visit(browser, "owner", theme="dark") as (page, _):
        page.goto(f"{house.home}cost/?month={house.last_month:%Y-%m}&project=letters")
        expect(page.locator(".qm-chart .main-svg").first).to_be_visible()
        assert "Not a statement" not in page.get_by_role("main").inner_text()
        assert printed(page, tmp_path / "cost.pdf") == {(842, 595)}

        text = " ".join(page.get_by_role("main").inner_text().split())
        for fact in (
            "Harbour Bank", "Scope Letters", f"Period {house.last_month:%B %Y}", "Currency USD", "Metered to",
            "Not a statement.", "Printed for Owner of Harbour",
        ):  # fmt: skip
            assert fact in text
        assert re.search(r"\d{1,2} [A-Z][a-z]{2} 20\d\d, \d\d:\d\d:\d\d UTC", text)
        assert page.locator(CONTROLS).locator("visible=true").count() == 0
        legend = page.locator("#cost-by-model .qm-sw").first.evaluate(
            "sign => [getComputedStyle(sign).printColorAdjust, getComputedStyle(sign).backgroundColor]"
        )
        assert legend[0] == "exact"
        assert legend[1] != "rgba(0, 0, 0, 0)"
        assert (
            page.locator("#cost-by-model thead").evaluate("head => getComputedStyle(head).display")
            == "table-header-group"
        )


def test_a_printed_request_and_audit_entry_are_whole(browser, house, tmp_path):
    request = raise_access_request(
        house.project, MODEL, by=house.people["developer"], purpose="On paper.", expected_tokens_per_day=1000
    )
    entry = AuditEntry.objects.in_tenant(house.tenant).filter(subject_id=str(request.pk)).latest("pk")
    with house.visit(browser, "owner") as (page, _):
        for path, facts in (
            (f"requests/{request.pk}/", (request.reference, "Developer of Harbour", "On paper.")),
            (f"audit/{entry.pk}/", (entry.actor_label, str(request.pk))),
        ):
            page.goto(house.home + path)
            assert printed(page, tmp_path / f"{path.partition('/')[0]}.pdf") == {(842, 595)}
            text = page.get_by_role("main").inner_text()
            for fact in ("Harbour Bank", "Printed for Owner of Harbour", *facts):
                assert fact in text
            assert page.locator(CONTROLS).locator("visible=true").count() == 0
            page.emulate_media(media="null")
