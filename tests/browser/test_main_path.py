"""The main path as people walk it: a browser, every process real, from the search for a model to its bill."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal
from functools import partial

import openai
import pytest
from django.utils.timezone import now
from playwright.sync_api import expect

from core.local_days import end_of_month
from deployments.actions import add_cluster
from deployments.models import Cluster
from tests.browser.conftest import INPUT_PRICE, MODEL, OUTPUT_PRICE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

PURPOSE = "Draft replies to letters. <b>A clerk</b> reads & sends every one; DROP TABLE letters;"


@pytest.fixture(scope="module")
def served(house):
    """The model has an engine that is up, deployed by the operator through the API."""
    from catalog.models import ModelVersion

    add_cluster(Cluster(name="local", driver="local"), by=None)
    api = house.stack.api(house.people["operator"])
    version = ModelVersion.objects.get(model__name=MODEL)
    wanted = {"version": str(version.pk), "cluster": "local", "replicas": 1, "name": MODEL}
    answer = api.post("deployments/", json=wanted)
    assert answer.status_code == 201, answer.text
    api.add_to_route(answer.json()["id"])

    def is_healthy():
        return api.get(f"deployments/{answer.json()['id']}/").json()["state"] == "healthy"

    return partial(house.stack.wait_until, is_healthy, 30, "the engine being up")


def test_the_main_path_from_the_search_for_a_model_to_its_bill(browser, house, served):
    with house.visit(browser, "developer") as (page, _):
        ask_for_the_model(page)
        request_url = page.url
        for role in ("security-reviewer", "cost-reviewer"):
            with house.visit(browser, role) as (desk, _):
                approve(desk, role)
        page.goto(request_url)
        secret = claim_the_key(page)
        served()
        used = call_the_model(house, secret)
        read_the_cost_of_today(page, house, used)
        total = read_the_cost_of_last_month(page, house)
    with house.visit(browser, "controller") as (desk, _):
        assert sum_of_the_report(desk, house) == total


def ask_for_the_model(page):
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Catalog").click()
    page.get_by_role("main").get_by_role("searchbox").press_sequentially("harbour chat")
    results = page.locator("#results")
    # The other one of Harbour's chats is found by its kind.
    expect(results.get_by_text("2 models", exact=True)).to_be_visible()
    # A reload or a colleague sees the same.
    expect(page).to_have_url(re.compile("q=harbour"))
    results.get_by_role("link", name="Harbour Chat 1", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Harbour Chat 1")

    page.get_by_role("link", name="Request access").click()
    panel = page.get_by_role("dialog", name="Request access to Harbour Chat 1")
    expect(panel).to_be_visible()
    assert page.url.endswith("#request")
    panel.get_by_label("Project").select_option("Letters")
    panel.get_by_label("What is it for?").fill(PURPOSE)
    panel.get_by_label("Expected tokens per day").fill("20000000")
    expect(panel.get_by_text(re.compile(r"^\$[\d,]+ / month$"))).to_be_visible()
    reviews = panel.get_by_role("list", name="Required reviews")
    expect(reviews.get_by_role("listitem")).to_have_count(2)
    expect(reviews).to_contain_text("Security")
    expect(reviews).to_contain_text("Cost")
    panel.get_by_label("Requests per minute").fill("30")
    # Enter sends: it presses no other button, such as the one that adds a model.
    panel.get_by_label("Requests per minute").press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("Harbour Chat 1 for Letters")
    expect(page.get_by_text(PURPOSE)).to_be_visible()


def approve(page, role):
    page.get_by_role("link", name="Review queue").first.click()
    page.locator("#result_list").get_by_role("link", name=re.compile("Harbour Chat 1")).click()
    main = page.get_by_role("main").or_(page.locator("#content")).first
    for fact in ("Risk tier", "Data class", "Expected monthly cost", PURPOSE):
        expect(main.get_by_text(fact).first).to_be_visible()
    page.get_by_label("Comment", exact=True).fill(f"Looked at by the {role}: fits.")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text(re.compile("approved")).first).to_be_visible()
    expect(page.locator("#result_list").get_by_text("Harbour Chat 1")).to_have_count(0)


def claim_the_key(page):
    expect(page.get_by_text("Looked at by the cost-reviewer: fits.")).to_be_visible()
    page.get_by_role("link", name="Claim key").click()
    page.get_by_role("button", name="Show the secret").click()
    secret = page.get_by_role("status", name="Secret").inner_text()
    assert re.fullmatch(r"qm_[A-Za-z0-9_-]{40,}", secret)
    claim_url = page.url
    page.get_by_role("link", name="I stored it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
    assert secret not in page.content()
    page.goto(claim_url)
    assert secret not in page.content()
    return secret


def call_the_model(house, secret):
    """Call once the gateway knows the key; the tokens that the engine counted."""
    client = house.stack.client(secret)

    def answer():
        try:
            return client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "Say hello to Harbour Bank."}]
            )
        except (openai.AuthenticationError, openai.NotFoundError, openai.InternalServerError):
            return None

    return house.stack.wait_until(answer, what="an answer to the new key").usage


def read_the_cost_of_today(page, house, used):
    """The call is on the page within seconds, priced exactly, and the API says the same."""
    amount = (used.prompt_tokens * INPUT_PRICE + used.completion_tokens * OUTPUT_PRICE) / 1_000_000

    def shown():
        page.goto(f"{house.home}cost/")
        return page.locator("#spend").count() and value_of(page.locator("#spend"))

    assert house.stack.wait_until(shown, what="the call on the cost page") == amount
    row = page.locator("#cost-by-model").get_by_role("row", name=re.compile(MODEL))
    assert value_of(row.locator("data").first) == amount
    assert value_of(page.locator("#tokens")) == used.total_tokens
    assert cost_by_api(house, now().date().replace(day=1), now().date()) == amount


def read_the_cost_of_last_month(page, house):
    """Chart, tiles, tables and API agree; the total."""
    end = end_of_month(house.last_month)
    page.get_by_label("Month").select_option(f"{end:%Y-%m}")
    page.wait_for_url(f"**/cost/?month={end:%Y-%m}")
    chart = page.get_by_role("img", name=re.compile("cost per day by model"))
    expect(chart.locator(".bars .point").first).to_be_visible()
    assert chart.locator(".trace.bars").count() == 2  # one a model
    total = value_of(page.locator("#spend"))
    assert total == cost_by_api(house, end.replace(day=1), end) > 0
    assert sum(map(Decimal, values_in(page, "#cost-by-kind", column=1))) == total
    assert sum(map(Decimal, values_in(page, "#cost-by-project", column=0))) == total
    page.get_by_role("button", name="Cumulative").click()
    expect(chart.locator(".bars .point")).to_have_count(0)
    return total


def values_in(page, table, column):
    rows = page.locator(f"{table} tbody tr")
    return [row.locator("data").nth(column).get_attribute("value") for row in rows.all()]


def value_of(data):
    return Decimal(data.get_attribute("value"))


def cost_by_api(house, start, end):
    answer = house.stack.api(house.people["developer"]).get(
        "costs/", params={"tenant": house.tenant.slug, "start": start, "end": end, "group_by": "day,model"}
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert sum(Decimal(row["cost"]) for row in body["rows"]) == Decimal(body["total"]["cost"])
    return Decimal(body["total"]["cost"])


def sum_of_the_report(page, house):
    """Ask for last month's report, watch it being built, download it; the sum of its rows."""
    page.get_by_role("link", name="Cost reports").first.click()
    page.get_by_role("link", name="New cost report").click()
    page.get_by_label("Tenant").select_option("Harbour Bank")
    page.get_by_label("Month").fill(f"{house.last_month:%Y-%m}")
    page.get_by_role("button", name="Build report").click()
    download_link = page.locator("#export-progress").get_by_role("link", name="Download")
    # The page asks by itself.
    expect(download_link).to_be_visible(timeout=15_000)
    with page.expect_download() as download:
        download_link.click()
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(io.StringIO(file.read())))
    assert rows
    return sum(Decimal(row["amount"]) for row in rows if row["amount"])
