"""What the first visit of a page loads, as `benchmarks.pages` measures it."""

from __future__ import annotations

import pytest

from benchmarks.pages import Place, look

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def place(browser, house):
    states = {}
    for role in ("owner", "operator"):
        with house.visit(browser, role) as (page, _):
            states[role] = page.context.storage_state()
    return Place(house.stack.console, house.tenant.slug, states)


def test_the_first_page_of_the_portal_loads_little_css_and_javascript(browser, place):
    figures = look(browser, place, "owner", "/t/{tenant}/", slowdown=1, network="none")
    assert 0 < figures["first paint"] <= figures["largest paint"]
    assert figures["requests"] > 3
    assert 10 < figures["CSS kB"] + figures["JS kB"] < 150
