"""Money on home pages: the same as on the cost page, for those who may see it, of their own tenant only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.forecast import Forecast
from billing.home.tenant import run_out_of
from billing.ingest import record_usage
from billing.models import BillingPeriod
from billing.tenant_months import most_urgent_first, sum_by_currency, tenant_months
from tenants.models import Limit
from tests.factories import (
    ApiKeyFactory,
    CatalogModelFactory,
    ProjectFactory,
    TenantFactory,
    member_of,
    staff,
)
from tests.gateway.granted import grant

pytestmark = pytest.mark.django_db

# A Wednesday.
TODAY = datetime(2026, 11, 18, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def today(monkeypatch):
    """It is the 18th of November, for every page."""
    for place in ("billing.costs", "billing.tenant_months", "billing.home.staff"):
        monkeypatch.setattr(f"{place}.now", lambda: TODAY)


@pytest.fixture
def spend(prices, call):
    """Record so many thousand input tokens of a key on a day: 2.50 dollars for each million."""

    def record(key, days_ago, thousands, model="aya"):
        at = TODAY - timedelta(days=days_ago)
        made = call(key_id=key.pk, occurred_at=at, input=thousands * 1000, output=0, model=model)
        record_usage("gateway", [made])

    return record


def limit(tenant, value, **place):
    return Limit.objects.create(tenant=tenant, kind=Limit.Kind.MONEY_PER_MONTH, value=Decimal(value), **place)


def home_of(client, person, tenant):
    client.force_login(person)
    response = client.get(reverse("tenant-home", args=[tenant.slug]))
    assert response.status_code == 200
    return response


def staff_home(client, person, **query):
    client.force_login(person)
    response = client.get(reverse("admin:index"), query)
    assert response.status_code == 200
    return response


def block(response, template):
    """The facts of a block; None if the page does not have it."""
    home = response.context["home"]
    found = [one.facts for one in home.blocks + home.aside if one.template.endswith(template)]
    return found[0] if found else None


def cost_page(client, tenant, **query):
    return client.get(reverse("cost", args=[tenant.slug]), query).context


def test_a_controller_reads_what_the_cost_pages_say(client, controller, lab, key, spend):
    far = TenantFactory(slug="far", name="Far", timezone="Pacific/Auckland")
    far_key = ApiKeyFactory(tenant=far)
    # The last of these is in the next day of Auckland, and the first in another month there.
    for days_ago in (18, 3, 0):
        spend(key, days_ago, 1000 + days_ago)
        spend(far_key, days_ago, 7000 + days_ago)
    spend(key, 20, 40)
    # A clock that is ahead: days after today do not count yet.
    spend(key, -2, 900)
    response = staff_home(client, controller)
    facts = block(response, "_tenants.html")
    assert [row.slug for row in facts.rows] == ["far", "lab"]
    for row, tenant in zip(facts.rows, (far, lab), strict=True):
        for cell in row.cells:
            shown = cost_page(client, tenant, month=f"{cell.month:%Y-%m}")
            assert cell.cost == shown["spend"].now, (tenant, cell.month)
    assert facts.rows[1].cells[-1].cost > 0
    assert facts.sums[0].spent == sum(row.cells[-1].cost for row in facts.rows)
    assert facts.sums[0].last_month == sum(row.cells[-2].cost for row in facts.rows)


def test_each_tenants_month_begins_at_its_own_midnight(client, controller, lab, key, spend, monkeypatch):
    late = datetime(2026, 11, 30, 15, tzinfo=UTC)
    for place in ("billing.costs", "billing.tenant_months", "billing.home.staff"):
        monkeypatch.setattr(f"{place}.now", lambda: late)
    # There it is the first of December.
    far = TenantFactory(slug="far", name="Far", timezone="Pacific/Auckland")
    far_key = ApiKeyFactory(tenant=far)
    # The 29th and the 30th of November (UTC): 5 dollars, and 2 in December of Auckland.
    for of in (key, far_key):
        spend(of, -11, 2000)
        spend(of, -12, 800)
    limit(lab, 6)
    limit(far, 6)
    BillingPeriod.objects.in_tenant(lab).update(state="open")
    BillingPeriod.objects.in_tenant(far).update(state="open")
    response = staff_home(client, controller)
    facts = block(response, "_tenants.html")
    assert (facts.over, facts.near, facts.open_periods) == (1, 0, 1)
    assert [need.url for need in response.context["home"].needs] == [reverse("cost", args=["lab"])]
    assert facts.month_labels[-1].startswith("Dec")
    assert "Last month still open" in response.content.decode()
    rows = {row.slug: row for row in facts.rows}
    assert [cell.is_ahead for cell in rows["lab"].cells] == [False, False, False, True]
    assert [cell.is_open for cell in rows["lab"].cells] == [False] * 4
    assert [cell.is_open for cell in rows["far"].cells] == [False, False, True, False]
    assert (rows["lab"].last, rows["far"].last) == (None, rows["far"].cells[-2].cost)
    for slug, tenant in (("lab", lab), ("far", far)):
        assert rows[slug].spent == cost_page(client, tenant)["spend"].now > 0
    assert facts.sums[0].spent == rows["lab"].spent + rows["far"].spent


def test_tenants_over_their_budget_come_first_then_the_expensive_ones(client, controller, spend):
    keys = {}
    for name, budget in [("near", 3), ("over", 1), ("rich", 500), ("free", None), ("quiet", None)]:
        tenant = TenantFactory(slug=name, name=name.title())
        keys[name] = ApiKeyFactory(tenant=tenant)
        if budget:
            limit(tenant, budget)
            # Not the tenant's own.
            limit(tenant, "0.01", project=keys[name].project)
            limit(tenant, "0.01", model="aya")
    for name in ("near", "over", "rich"):
        spend(keys[name], 1, 1000)
    spend(keys["free"], 1, 4000)
    response = staff_home(client, controller)
    facts = block(response, "_tenants.html")
    assert [row.slug for row in facts.rows] == ["over", "near", "free", "rich", "lab", "quiet"]
    assert (facts.over, facts.near) == (1, 1)
    assert [row.is_over for row in facts.rows] == [True, False, False, False, False, False]
    (need,) = response.context["home"].needs
    assert (str(need.text), need.url) == ("1 tenant is over its budget", reverse("cost", args=["over"]))
    found = block(staff_home(client, controller, tenant="RIC"), "_tenants.html")
    assert [row.slug for row in found.rows] == ["rich"]
    assert "No tenant matches." in staff_home(client, controller, tenant="nobody").content.decode()


def test_periods_and_unpriced_calls_are_counted(client, controller, lab, key, spend):
    other = TenantFactory(slug="other")
    spend(key, 1, 1)
    spend(key, 1, 1, model="unpriced")
    spend(key, 30, 1)
    BillingPeriod.objects.in_tenant(lab).filter(month="2026-10-01").update(state="open")
    BillingPeriod.objects.create(
        tenant=other, month="2026-10-01", state="closed", total=0, sha256="x", closed_at=TODAY
    )
    response = staff_home(client, controller)
    facts = block(response, "_tenants.html")
    assert (facts.open_periods, facts.unpriced, facts.held) == (1, 1, 0)
    held = reverse("admin:billing_quarantinedevent_changelist")
    assert f'<a href="{held}">0</a>' in response.content.decode()
    assert client.get(held).status_code == 200
    (row,) = [row for row in facts.rows if row.slug == "lab"]
    assert [cell.is_open for cell in row.cells] == [False, False, True, False]


def test_pages_of_tenants_follow_each_other(client, controller, lab):
    for number in range(59):
        TenantFactory(name=f"Tenant {number:02}")
    seen, query = [], {}
    for first, last in [(1, 25), (26, 50), (51, 60)]:
        facts = block(staff_home(client, controller, **query), "_tenants.html")
        assert (facts.first, facts.last, facts.total) == (first, last, 60)
        seen += [row.slug for row in facts.rows]
        query = {"from": last}
    assert len(set(seen)) == 60
    for nonsense in ("-1", "x", "99999", "²"):
        assert block(staff_home(client, controller, **{"from": nonsense}), "_tenants.html").first == 1


def test_money_of_all_tenants_takes_the_same_queries_however_many_there_are(client, controller):
    def asked():
        with CaptureQueriesContext(connection) as questions:
            staff_home(client, controller)
        return len(questions)

    TenantFactory()
    asked()
    few = asked()
    for _ in range(40):
        limit(TenantFactory(), 5)
    asked()  # The audit log is told once an hour which tenants were read.
    assert asked() == few


@pytest.mark.parametrize("role", ["operator", "security-reviewer", "cost-reviewer", "auditor"])
def test_other_staff_see_no_money_of_all_tenants(client, lab, key, spend, role):
    spend(key, 1, 1234)
    response = staff_home(client, staff(role))
    assert block(response, "_tenants.html") is None
    assert "$3.08" not in response.content.decode()


def test_sums_are_kept_apart_by_currency(lab, key, spend):
    euros = TenantFactory(currency="EUR")
    spend(key, 1, 1000)
    everyone = tenant_months()
    assert {tenant.pk for tenant in everyone} == {lab.pk, euros.pk}
    sums = sum_by_currency(everyone, lambda tenant: tenant.this_month)
    assert {currency: totals.cost for currency, totals in sums.items()} == {"USD": Decimal("2.5")}
    assert most_urgent_first(everyone)[0].pk == lab.pk


OWN = {
    "owner": {
        "_budget.html",
        "_projects.html",
        "_requests.html",
        "_keys.html",
        "_week.html",
        "_quick_start.html",
    },
    "finance": {"_budget.html", "_projects.html", "_requests.html", "_week.html", "_quick_start.html"},
    "developer": {"_requests.html", "_week.html", "_quick_start.html"},
    "viewer": {"_requests.html", "_week.html", "_quick_start.html"},
}


@pytest.mark.parametrize("role", OWN)
def test_each_role_of_a_tenant_sees_its_blocks_and_nothing_of_another_tenant(client, lab, key, spend, role):
    other = TenantFactory(slug="other", name="Other Bank")
    other_key = ApiKeyFactory(tenant=other, name="key-of-other", project__name="Project of other")
    spend(key, 1, 1000)
    spend(other_key, 1, 777_000)
    limit(other, 1)
    response = home_of(client, member_of(lab, role), lab)
    home = response.context["home"]
    assert {one.template.split("/")[-1] for one in home.blocks + home.aside} == OWN[role]
    assert "Nothing needs you." in response.content.decode()
    for word in ("Other Bank", "key-of-other", "Project of other", "$1,94"):
        assert word not in response.content.decode()
    assert client.get(reverse("tenant-home", args=["other"])).status_code == 404


def test_the_budget_of_a_home_agrees_with_the_cost_page(client, finance, lab, key, spend):
    limit(lab, 100)
    for days_ago in range(40):
        spend(key, days_ago, 1000 + days_ago)
    facts = block(home_of(client, finance, lab), "_budget.html")
    shown = cost_page(client, lab)
    assert facts.spent == shown["spend"].now
    assert facts.before == shown["spend"].before
    assert facts.forecast == shown["forecast"]
    # The month costs about as much a day as the four weeks before: no day of them counts as free.
    assert facts.forecast.amount > 30 * Decimal("2.5")
    assert (facts.budget, facts.run_out, facts.is_over) == (100, None, False)


def test_the_day_on_which_the_budget_runs_out_needs_somebody(client, finance, lab, key, spend):
    budget = limit(lab, 60)
    for days_ago in range(30):
        spend(key, days_ago, 1000)
    # 18 days at 2.50 are spent; six more make sixty.
    response = home_of(client, finance, lab)
    assert block(response, "_budget.html").run_out.isoformat() == "2026-11-24"
    assert [str(need.text) for need in response.context["home"].needs] == [
        "The budget of this month probably lasts until 24 Nov"
    ]
    Limit.objects.in_tenant(lab).filter(pk=budget.pk).update(value=Decimal(45))
    response = home_of(client, finance, lab)
    assert [str(need.text) for need in response.context["home"].needs] == [
        "The budget of this month is used up"
    ]
    assert block(response, "_budget.html").is_over


def test_a_budget_without_a_forecast_has_no_date():
    today = TODAY.date()
    assert run_out_of(Decimal(5), None, None, today) is None
    assert run_out_of(Decimal(5), Decimal(6), None, today) is None
    more = {today: Decimal("0.5"), today + timedelta(days=1): Decimal("0.5")}
    forecast = Forecast(Decimal(6), Decimal(6), Decimal(6), today, more)
    assert run_out_of(Decimal(5), Decimal(6), forecast, today) == today + timedelta(days=1)
    assert run_out_of(Decimal(5), Decimal("6.01"), forecast, today) is None


def test_projects_over_their_budget_come_first(client, finance, lab, spend):
    for name, thousands, budget in [
        ("big", 9000, None),
        ("over", 1000, 2),
        ("near", 1000, 3),
        ("idle", 0, 9),
    ]:
        project = ProjectFactory(tenant=lab, slug=name, name=name.title())
        if thousands:
            spend(ApiKeyFactory(tenant=lab, project=project), 1, thousands)
        if budget:
            limit(lab, budget, project=project)
    facts = block(home_of(client, finance, lab), "_projects.html")
    assert [row.name for row in facts.rows] == ["Over", "Near", "Big", "Idle"]
    assert (facts.over, facts.near, facts.with_usage) == (1, 1, 3)
    for row in facts.rows:
        assert row.spent == client.get(row.url).context["spend"].now


def test_an_owner_reads_the_keys_that_changed_most(client, owner, lab, project, spend):
    steady, risen, new, gone = (ApiKeyFactory(tenant=lab, project=project, name=name) for name in "abcd")
    for key, thousands, before in [(steady, 500, 500), (risen, 900, 100), (new, 300, 0), (gone, 0, 2000)]:
        for days_ago, count in ((1, thousands), (8, before)):
            if count:
                spend(key, days_ago, count)
    facts = block(home_of(client, owner, lab), "home/_keys.html")
    assert [(row.name, row.now, row.before) for row in facts.rows] == [
        ("d", Decimal(0), Decimal(5)),
        ("b", Decimal("2.25"), Decimal("0.25")),
        ("c", Decimal("0.75"), Decimal(0)),
    ]


def test_a_developer_reads_what_their_own_keys_spent(client, developer, lab, key, spend):
    own = ApiKeyFactory(tenant=lab, project=key.project, owner=developer)
    spend(key, 1, 5000)
    spend(own, 1, 1000)
    spend(own, 6, 1000)
    spend(own, 7, 1000)
    facts = block(home_of(client, developer, lab), "_own_keys.html")
    assert (facts.keys, facts.spend, facts.is_more) == (1, Decimal(5), False)


def test_a_sum_of_some_own_keys_says_so(client, developer, lab, key, spend, monkeypatch):
    monkeypatch.setattr("billing.home.tenant.MOST_KEYS", 2)
    for number in range(3):
        own = ApiKeyFactory(tenant=lab, project=key.project, owner=developer, name=f"own-{number}")
        spend(own, 1, 1000)
    response = home_of(client, developer, lab)
    facts = block(response, "_own_keys.html")
    assert (facts.keys, facts.spend, facts.is_more) == (2, Decimal(5), True)
    assert "on the newest 2 keys you answer for; older ones are not counted" in response.content.decode()


def test_a_member_reads_which_models_their_projects_can_call(client, developer, lab, key):
    model = CatalogModelFactory()
    assert block(home_of(client, developer, lab), "home/_models.html") is None
    given = grant(key, model)
    # Over, and of another tenant.
    grant(ApiKeyFactory(tenant=lab), model, valid_until=TODAY, valid_from=TODAY - timedelta(days=1))
    grant(ApiKeyFactory(), model)
    (line,) = block(home_of(client, developer, lab), "home/_models.html")
    assert (line.model, line.project, line.until) == (model.title, key.project.name, given.valid_until)
    page = client.get(line.url)
    assert page.context["tab"] == "use"
