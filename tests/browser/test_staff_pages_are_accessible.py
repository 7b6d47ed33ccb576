"""What operators use to look after tenants and people: lists, forms and dialogs of the admin, light and dark."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils.timezone import now
from playwright.sync_api import expect

import audit
from catalog.models import PlannedChange, QuestionSet
from core.ids import uuid7
from deployments.routes import EntryPlan, change_route, make_routable, route_of
from directory.actions.scim_tokens import issue_scim_token
from directory.models import DirectoryGroup, FederatedIdentity, GroupMapping
from gateway.models import Gateway, RefusedCalls
from gateway.signing import new_signing_key
from tenants.actions import add_member
from tenants.models import ConfigChange
from tests.browser.conftest import LANGUAGES
from tests.browser.looking import accessibility_violations, look_again, sideways_scroll
from tests.factories import (
    ApiKeyFactory,
    CatalogModelFactory,
    ModelVersionFactory,
    ProviderFactory,
    ProviderModelFactory,
    UserFactory,
    credential_of,
)
from tests.url_arguments import waiting_entry

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def rows(house):
    """Something in every list, and somebody to whom actions can be done."""
    person = UserFactory(name="Lina Leaver")
    add_member(house.tenant, person, "developer", by=None)
    key = ApiKeyFactory(tenant=house.tenant, project=house.project, owner=person, name="nightly letters")
    FederatedIdentity.objects.create(user=person, issuer="https://id.example", subject="lina")
    DirectoryGroup.objects.create(display_name="harbour-engineers")
    token, _ = issue_scim_token("Directory", life=timedelta(days=30), by=None)
    listed = ProviderModelFactory()
    credential_of(listed.provider, "a-key-of-this-provider")
    # Still valid beside the newer one.
    credential = credential_of(listed.provider, "the-key-before-it", valid_until=now() + timedelta(hours=1))
    route = routed_to_two_providers()
    PlannedChange.objects.create(kind="retire", takes_effect_at=now() + timedelta(days=1))
    return {
        "version": ModelVersionFactory().pk,
        "import": waiting_entry().run_id,
        "questions": QuestionSet.objects.get(track_id="compliance").pk,
        "provider": listed.provider_id,
        "listed": listed.pk,
        "credential": credential.pk,
        "route": route.pk,
        "revision": ConfigChange.objects.latest("revision").pk,
        "gateway": speaking_gateway().pk,
        "signing": new_signing_key().pk,
        "refused": refused_by_a_limit(house, key).pk,
        "person": person.pk,
        "tenant": house.tenant.pk,
        "rule": GroupMapping.objects.create(group="harbour-engineers", tenant=house.tenant, role="viewer").pk,
        "token": token.pk,
        "line": audit.record("lab.marked", actor=person, subject=house.project, note="seen").pk,
    }


def routed_to_two_providers():
    """A route whose model has a provider in each of two regions; another model can be its fallback."""
    model, smaller = (CatalogModelFactory(name=f"pharos-{size}", title=f"Pharos {size}") for size in (7, 1))
    served = [
        ProviderModelFactory(provider=ProviderFactory(regions=[region]), name=f"pharos-{region}", model=model)
        for region in ("eu-west-1", "us-east-1")
    ]
    served.append(ProviderModelFactory(provider=served[0].provider, name="pharos-small", model=smaller))
    make_routable(served)
    for one in (model, smaller):
        route = route_of(one)
        plan = [EntryPlan(row.target.pk) for row in served if row.model == one]
        change_route(route.pk, plan, based_on=route.generation, by=None)
    return route_of(model)


def speaking_gateway():
    """A gateway that has reported everything a gateway can report."""
    report = {
        "version": "1.0", "contract_version": 2, "reads": [1, 2], "workers": 2, "region": "eu-west-1",
        "signing_keys": ["0123456789abcdef"], "problem": "The console did not answer.", "counters": {"calls": 12_345},
        "refused": {"revision": 7, "reason": "The signature is not valid."},
    }  # fmt: skip
    return Gateway.objects.create(
        name="gw-eu-1", prefix="qmg_", digest="0" * 8, last_seen_at=now(), report=report
    )


def refused_by_a_limit(house, key):
    return RefusedCalls.objects.create(
        id=uuid7(), tenant=house.tenant, project_id=key.project_id, key_id=key.pk, gateway_name="gw-eu-1", minute=now(),
        model="a-model-of-a-very-long-name-" * 4, status=429, code="rate_limit_exceeded", count=12_345,
        limit_id=uuid7(), limit_scope="project", limit_scope_id=key.project_id, limit_kind="tokens_per_day",
        limit_value=1_000_000, samples=[{"call_id": str(uuid7()), "at": 1_800_000_000}],
    )  # fmt: skip


LISTS = [
    "tenants/tenant", "tenants/project", "tenants/membership", "accounts/user", "accounts/staffroleassignment",
    "tenants/tenantclosing", "tenants/personalaccesstoken", "directory/groupmapping", "directory/federatedidentity",
    "directory/directorygroup", "directory/scimtoken", "audit/auditentry", "tenants/apikey", "tenants/limit",
    "deployments/provider", "deployments/providercredential", "deployments/providermodel", "deployments/route",
    "gateway/gateway", "gateway/refusedcalls", "gateway/signingkey", "tenants/configchange",
    "catalog/plannedchange", "catalog/modelversion", "catalog/catalogimport", "catalog/attestationcampaign",
    "catalog/questionset", "tenants/webhook", "tenants/webhookdelivery",
]  # fmt: skip
PAGES = [
    "tenants/tenant/new/", "tenants/tenant/{tenant}/change/", "tenants/tenant/{tenant}/settings/",
    "accounts/user/{person}/change/",
    "accounts/user/{person}/erase/", "directory/groupmapping/begin/", "directory/groupmapping/{rule}/replace/",
    "directory/groupmapping/{rule}/end/", "accounts/staffroleassignment/assign/", "audit/auditentry/{line}/change/",
    "audit/auditentry/?person=nobody%40example.com",
    "deployments/provider/add/", "deployments/provider/{provider}/change/", "deployments/provider/{provider}/settings/",
    "deployments/providermodel/{listed}/change/", "deployments/providercredential/{credential}/change/",
    "deployments/providermodel/?provider__id__exact={provider}", "deployments/route/?q=nothing-has-this-name",
    "deployments/route/{route}/change/",
    "gateway/gateway/{gateway}/change/", "gateway/refusedcalls/{refused}/change/",
    "gateway/signingkey/{signing}/change/", "tenants/configchange/{revision}/change/",
    "catalog/modelversion/{version}/change/", "catalog/catalogimport/{import}/change/",
    "catalog/questionset/{questions}/change/",
]  # fmt: skip
# Forms that first show what they would change.
PREVIEWED = ["targets", "fallbacks", "degrading", "handling"]
DIALOGS = [
    ("tenants/tenant/{tenant}/change/", "Suspend"),
    ("accounts/user/{person}/change/", "More", "Deactivate"),
    ("directory/scimtoken/", "Issue a token"),
    ("directory/scimtoken/{token}/change/", "Revoke"),
    ("deployments/provider/", "Allowed networks"),
    ("deployments/provider/{provider}/change/", "More", "Disable"),
    ("deployments/provider/{provider}/change/", "New credential"),
    ("deployments/providermodel/{listed}/change/", "Match"),
    *(("deployments/provider/{provider}/change/", button) for button in ("Test", "Route")),
    *(
        ("deployments/provider/{provider}/change/", "More", button)
        for button in ("Name a model", "Managers", "Delete")
    ),
    ("deployments/providercredential/{credential}/change/", "End now"),
    *(("gateway/gateway/", button) for button in ("Register a gateway", "Media hosts", "Order of regions")),
    *(("gateway/gateway/{gateway}/change/", button) for button in ("Renew token", "Revoke")),
    ("gateway/signingkey/", "Add a key"),
    ("gateway/signingkey/{signing}/change/", "Retire"),
    ("tenants/configchange/{revision}/change/", "Undo"),
]


LOOKS = pytest.mark.parametrize(("theme", "width"), [("light", 1360), ("dark", 390)])


def problems_of(page, seen, within=None):
    problems = accessibility_violations(page, within) + seen.complaints
    problems += [f"{by} pixels wider than the window"] if (by := sideways_scroll(page)) else []
    seen.complaints.clear()
    return problems


# A page is loaded once in each language, once in a wide window and once on a phone, and looked at twice.
@pytest.mark.parametrize(
    ("locale", "looks"),
    [("en", [("light", 1360), ("dark", 390)]), ("zh-CN", [("dark", 390), ("light", 768)])],
    ids=["en", "zh-CN"],
)
def test_no_page_of_staff_hinders_anybody(browser, house, rows, locale, looks):
    found = {}
    (theme, width), again = looks
    with house.visit(browser, "operator", theme=theme, width=width, locale=locale) as (page, seen):
        for path in ["", *(f"{name}/" for name in LISTS), *PAGES]:
            look_again(page, theme=theme, width=width)
            page.goto(f"{house.stack.console}/admin/{path.format(**rows)}")
            assert page.locator("html").get_attribute("lang") == LANGUAGES[locale]
            found[path] = problems_of(page, seen)
            look_again(page, theme=again[0], width=again[1])
            found[path] += problems_of(page, seen)
    assert {path: problems for path, problems in found.items() if problems} == {}


def test_no_dialog_of_staff_hinders_anybody(browser, house, rows):
    found = {}
    with house.visit(browser, "operator") as (page, seen):
        for path, *menu, button in DIALOGS:
            look_again(page, theme="light", width=1360)
            page.goto(f"{house.stack.console}/admin/{path.format(**rows)}")
            for name in menu:
                page.locator("summary", has_text=name).click()
            # An icon's word may come first.
            page.get_by_role("link", name=re.compile(rf"\b{button}$")).click()
            expect(page.locator("#dialog")).to_be_visible()
            found[f"{path} {button}"] = problems_of(page, seen, within="#dialog")
            look_again(page, theme="dark", width=390)
            found[f"{path} {button}"] += problems_of(page, seen, within="#dialog")
    assert {path: problems for path, problems in found.items() if problems} == {}


@pytest.mark.parametrize("form", PREVIEWED)
def test_no_preview_of_a_route_hinders_anybody(browser, house, rows, form):
    with house.visit(browser, "operator", theme="dark", width=390) as (page, seen):
        page.goto(f"{house.stack.console}/admin/deployments/route/{rows['route']}/{form}/")
        assert problems_of(page, seen) == []
        look_again(page, theme="light", width=1360)
        assert problems_of(page, seen) == []
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("button", name="Save")).to_be_visible()
        assert problems_of(page, seen) == []
        look_again(page, theme="dark", width=390)
        assert problems_of(page, seen) == []


@LOOKS
def test_the_keyboard_sees_where_it_is(browser, house, rows, theme, width):
    """Every stop of the Tab key looks different with the focus: an outline, a ring or another border."""
    unseen = {}
    with house.visit(browser, "operator", theme=theme, width=width) as (page, _):
        for path in KEYBOARD:
            page.goto(f"{house.stack.console}/admin/{path.format(**rows)}")
            unseen[path] = stops_without_a_ring(page)
    assert {path: stops for path, stops in unseen.items() if stops} == {}


KEYBOARD = [
    "deployments/provider/add/", "deployments/provider/{provider}/change/", "deployments/route/{route}/targets/",
    "deployments/route/{route}/handling/", "gateway/gateway/", "tenants/configchange/",
]  # fmt: skip

# The focused element by name, and whether it looks different without the focus. Null at the end of the page.
LOOK_OF_FOCUS = """() => {
    const element = document.activeElement;
    if (element === document.body) return null;
    element.style.transition = "none";
    // The ring of the search stands around its whole field.
    const seen = [element, element.closest(".qm-find")].filter(Boolean);
    const look = () => seen.map(one => {
        const style = getComputedStyle(one);
        const outline = style.outlineStyle === "none" ? "" : style.outlineWidth + style.outlineColor;
        return [outline, style.boxShadow, style.borderColor].join();
    }).join();
    const focused = look();
    element.blur();
    const idle = look();
    element.focus({focusVisible: true});
    const name = element.getAttribute("aria-label") || element.innerText || element.name || element.id;
    return [`${element.tagName} ${name}`.trim(), focused !== idle];
}"""


def stops_without_a_ring(page):
    """Names of what Tab reaches without a sign of it; at most 120 stops."""
    unseen = []
    for _stop in range(120):
        page.keyboard.press("Tab")
        if (stop := page.evaluate(LOOK_OF_FOCUS)) is None:
            break
        if not stop[1]:
            unseen.append(stop[0])
    return unseen


@LOOKS
def test_the_menu_in_the_head_of_a_page_is_reached_by_the_keyboard(browser, house, rows, theme, width):
    with house.visit(browser, "operator", theme=theme, width=width) as (page, seen):
        page.goto(f"{house.stack.console}/admin/deployments/provider/{rows['provider']}/change/")
        menu, disable = page.locator(".qm-head summary"), page.get_by_role("link", name="Disable")
        expect(disable).to_be_hidden()
        page.get_by_role("link", name="Route", exact=True).focus()
        page.keyboard.press("Tab")
        expect(menu).to_be_focused()
        page.keyboard.press("Enter")
        expect(disable).to_be_in_viewport()
        assert problems_of(page, seen) == []
        page.keyboard.press("Escape")
        expect(disable).to_be_hidden()
        expect(menu).to_be_focused()
        page.keyboard.press("Enter")
        disable.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#dialog")).to_be_visible()


@LOOKS
def test_the_name_in_the_head_of_a_route_is_whole(browser, house, theme, width):
    name = f"meta-llama-llama-3.3-70b-instruct-{theme}"
    route = route_of(CatalogModelFactory(name=name))
    with house.visit(browser, "operator", theme=theme, width=width) as (page, _):
        page.goto(f"{house.stack.console}/admin/deployments/route/{route.pk}/change/")
        title = page.locator("h1")
        expect(title).to_have_text(name)
        cut = title.evaluate(
            "it => [it, ...it.querySelectorAll('*')].filter(one => one.scrollWidth > one.clientWidth + 1).length"
        )
        assert cut == 0
