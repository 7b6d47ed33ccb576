"""Models through a provider, in a browser with every process real: routed, used, taken away; and a route's page."""

from __future__ import annotations

import os
import re
from pathlib import Path

import openai
import pytest
from playwright.sync_api import expect

from billing.models import UsageEvent
from deployments.models import Provider, Route
from deployments.routes import EntryPlan, change_route, make_routable, route_of
from tenants.revision import raise_revision
from tests.browser.conftest import House
from tests.browser.looking import accessibility_violations, sideways_scroll
from tests.browser.test_main_path import claim_the_key
from tests.deployments.provider_stub import GOOD_KEY, WRONG_KEY, serving
from tests.factories import (
    CatalogModelFactory,
    ProjectFactory,
    ProviderFactory,
    ProviderModelFactory,
    TenantFactory,
    allow_loopback,
    member_of,
    staff,
)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1_200)]

# The stub lists models of these names.
NAMES = [f"model-{number}" for number in range(10)]
MODEL, TITLE = "model-3", "Lighthouse 3"


@pytest.fixture(scope="module")
def upstream():
    with serving() as stub:
        yield stub


@pytest.fixture(scope="module")
def harbour(running_stack):
    """A tenant of its own, and ten models of the catalog that nothing serves yet."""
    allow_loopback()
    raise_revision()
    for number, name in enumerate(NAMES):
        CatalogModelFactory(
            name=name, title=f"Lighthouse {number}", maker="Lighthouse", risk_tier="low", regions=[],
            search_text=f"{name} lighthouse {number}", capabilities={"streaming": True},
        )  # fmt: skip
    tenant = TenantFactory(slug="pier-works", name="Pier Works", timezone="UTC")
    house = House(running_stack, tenant, ProjectFactory(tenant=tenant, slug="letters", name="Letters"))
    house.people["developer"] = member_of(tenant, "developer", name="Dana of the pier")
    for role in ("security-reviewer", "cost-reviewer", "operator"):
        house.people[role] = staff(role, name=f"{role.title()} of the pier")
    return house


def looked_at(page, name):
    """A page as people must find it: accessible, no wider than the window. QM_SCREENSHOTS keeps pictures."""
    assert accessibility_violations(page) == []
    assert not sideways_scroll(page)
    if folder := os.environ.get("QM_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_a_model_is_routed_used_and_taken_away(browser, harbour, upstream):
    says_nothing_serves(browser, harbour, "before")
    with harbour.visit(browser, "operator") as (page, _):
        add_with_a_wrong_key_and_mend_it(page, harbour, upstream)
        route_ten_models(page, harbour)
        harbour.stack.acknowledged()
        secret = ask_be_approved_and_claim(browser, harbour)
        call_it(harbour, secret, upstream)
        disable_and_see_whom_that_hits(page, harbour)
    says_nothing_serves(browser, harbour, "after")
    harbour.stack.acknowledged()
    with pytest.raises(
        openai.NotFoundError, match=rf"The model `{MODEL}` .* nothing serves it yet"
    ) as refused:
        say_hello(harbour.stack.client(secret))
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    assert [model.id for model in harbour.stack.client(secret).models.list()] == []


def add_with_a_wrong_key_and_mend_it(page, house, upstream):
    page.goto(f"{house.stack.console}/admin/deployments/provider/add/")
    page.get_by_label("Name", exact=False).first.fill("lighthouse-eu")
    page.get_by_label("Display name").fill("Lighthouse Europe")
    page.get_by_label("Dialect").select_option("openai")
    page.get_by_label("Base URL").fill(upstream.url)
    page.get_by_label("Credential").select_option("stored")
    page.get_by_label("Key optional", exact=True).fill(WRONG_KEY)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("It rejects the credential (401).")).to_be_visible()
    looked_at(page, "provider-wrong-key")
    assert not Provider.objects.filter(name="lighthouse-eu").exists()
    page.get_by_label("Key optional", exact=True).fill(GOOD_KEY)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text(re.compile(r"Reached, 37 models listed, \d+ ms\."))).to_be_visible()


def route_ten_models(page, house):
    provider = Provider.objects.get(name="lighthouse-eu")
    page.goto(f"{house.stack.console}/admin/deployments/provider/{provider.pk}/change/")
    looked_at(page, "provider")
    # The word of an icon comes first.
    page.get_by_role("link", name=re.compile(r"\bRoute$")).click()
    dialog = page.locator("#dialog")
    for name in NAMES:
        dialog.get_by_role("checkbox", name=re.compile(rf"^{name} →")).check()
    expect(dialog.get_by_text("nothing serves it now").first).to_be_visible()
    looked_at(page, "provider-route")
    dialog.get_by_role("button", name="Route", exact=True).click()
    expect(page.get_by_text("The chosen models are routed.")).to_be_visible()
    assert Route.objects.filter(model__name__in=NAMES, entries__weight=1).count() == 10


def ask_be_approved_and_claim(browser, house):
    with house.visit(browser, "developer") as (page, _):
        page.goto(f"{house.home}models/?q=lighthouse")
        page.locator("#results").get_by_role("link", name=TITLE, exact=True).click()
        page.get_by_role("link", name="Request access").click()
        panel = page.get_by_role("dialog", name=f"Request access to {TITLE}")
        panel.get_by_label("Project").select_option("Letters")
        panel.get_by_label("What is it for?").fill("Drafts of letters to ships.")
        panel.get_by_label("Expected tokens per day").fill("1000")
        reviews = panel.get_by_role("list", name="Required reviews").get_by_role("listitem")
        expect(reviews.first).to_be_visible()
        needed = [
            role for role in ("security", "cost") if role in " ".join(reviews.all_inner_texts()).lower()
        ]
        panel.get_by_role("button", name="Send request").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"{TITLE} for Letters")
        request_url = page.url
        for track in needed:
            with house.visit(browser, f"{track}-reviewer") as (desk, _):
                desk.get_by_role("link", name="Review queue").first.click()
                desk.locator("#result_list").get_by_role("link", name=re.compile(TITLE)).click()
                expect(desk.get_by_text("answered now")).to_be_visible()
                desk.get_by_label("Comment", exact=True).fill(f"Looked at by the {track}-reviewer: fits.")
                desk.get_by_role("button", name="Approve").click()
                expect(desk.get_by_text(re.compile("approved")).first).to_be_visible()
        page.goto(request_url)
        secret = claim_the_key(page)
        page.goto(f"{house.home}models/{MODEL}/")
        expect(page.get_by_role("link", name="Use", exact=True)).to_be_visible()
        looked_at(page, "model-served")
    return secret


def say_hello(client):
    return client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Hello, light!"}]
    )


def call_it(house, secret, upstream):
    def answer():
        try:
            return say_hello(house.stack.client(secret))
        except (openai.AuthenticationError, openai.NotFoundError):
            return None

    said = house.stack.wait_until(answer, what="an answer through the provider")
    assert said.choices[0].message.content == "A stub says hello."
    path, headers = upstream.calls[-1]
    assert (path, headers["authorization"]) == ("/v1/chat/completions", f"Bearer {GOOD_KEY}")
    events = UsageEvent.objects.in_tenant(house.tenant)
    house.stack.wait_until(events.exists, what="the call in the ledger")
    event = events.get()
    assert (event.model.name, event.quantities) == (MODEL, {"request": 1, "input": 12, "output": 5})


def disable_and_see_whom_that_hits(page, house):
    provider = Provider.objects.get(name="lighthouse-eu")
    page.goto(f"{house.stack.console}/admin/deployments/provider/{provider.pk}/change/")
    page.locator("summary", has_text="More").click()
    page.get_by_role("link", name=re.compile(r"\bDisable$")).click()
    dialog = page.locator("#dialog")
    lost = dialog.get_by_role("list", name="Tenants that lose a model")
    expect(lost).to_contain_text(f"Pier Works · {MODEL}: no longer served")
    looked_at(page, "provider-disable")
    dialog.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("Lighthouse Europe is disabled.")).to_be_visible()


def says_nothing_serves(browser, house, when):
    for theme, width in (("light", 1360), ("dark", 390)):
        with house.visit(browser, "developer", theme=theme, width=width) as (page, _):
            page.goto(f"{house.home}models/{MODEL}/")
            expect(page.get_by_text("Nothing serves this yet").filter(visible=True)).to_have_count(1)
            expect(page.get_by_role("link", name="Use", exact=True)).to_have_count(0)
            looked_at(page, f"model-{when}-{theme}-{width}")


@pytest.mark.parametrize(("theme", "width"), [("light", 1360), ("dark", 390)])
def test_weights_and_order_are_previewed_and_a_stale_page_is_refused(browser, harbour, theme, width):
    model = CatalogModelFactory(name=f"beacon-{width}", title=f"Beacon {width}", search_text="beacon")
    rows = [
        ProviderModelFactory(
            provider=ProviderFactory(name=f"{place}-{width}", title=place.title(), regions=[region]),
            name=f"beacon-{place}",
            model=model,
        )
        for place, region in (("near", "eu-west-1"), ("far", "us-east-1"))
    ]
    make_routable(rows)
    near, far = (row.target for row in rows)
    route = route_of(model)
    change_route(route.pk, [EntryPlan(near.pk)], based_on=route.generation, by=None)
    with harbour.visit(browser, "operator", theme=theme, width=width) as (page, seen):
        page.goto(f"{harbour.stack.console}/admin/deployments/route/{route.pk}/change/")
        looked_at(page, f"route-{theme}-{width}")
        page.goto(f"{harbour.stack.console}/admin/deployments/route/{route.pk}/targets/")
        looked_at(page, f"route-form-{theme}-{width}")
        weight = page.get_by_label(re.compile(r"^Weight of beacon-near"))
        weight.fill("3")
        page.get_by_label(re.compile(r"^Weight of beacon-far")).fill("1")
        page.get_by_role("button", name="Preview").click()
        preview = page.get_by_role("region", name="What would change")
        expect(preview).to_contain_text("100% of order 0 (weight 1) → 75% of order 0 (weight 3)")
        expect(preview).to_contain_text("Calls also go to us-east-1.")
        looked_at(page, f"route-preview-{theme}-{width}")
        route.refresh_from_db()
        change_route(route.pk, [EntryPlan(near.pk, 2)], based_on=route.generation, by=None)
        # A browser notes every refusal, a moment after the answer.
        with (
            page.expect_console_message(lambda line: "409 (Conflict)" in line.text),
            page.expect_response(lambda answer: answer.request.method == "POST") as refused,
        ):
            page.get_by_role("button", name="Save").click()
        assert refused.value.status == 409
        assert "409 (Conflict)" in seen.complaints.pop()
        expect(page.get_by_text("Someone else changed this route first.")).to_be_visible()
        looked_at(page, f"route-409-{theme}-{width}")
        page.get_by_role("link", name="Reload").click()
        expect(page.get_by_label(re.compile(r"^Weight of beacon-near"))).to_have_value("2")
        page.get_by_label(re.compile(r"^Weight of beacon-far")).fill("1")
        page.get_by_label(re.compile(r"^Order of beacon-far")).fill("1")
        page.get_by_role("button", name="Preview").click()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Gateways follow the new route within seconds.")).to_be_visible()
    assert {(entry.target_id, entry.weight, entry.priority) for entry in route.entries.all()} == {
        (near.pk, 2, 0),
        (far.pk, 1, 1),
    }
