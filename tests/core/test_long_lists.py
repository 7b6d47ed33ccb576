"""Lists cost the same however long they are: keyset pages, no counting, and a search that an index answers."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.admin.keyset import KeysetChangeList
from billing.models import QuarantinedEvent
from core.prefix import begins_with
from tenants.models import ApiKey, Membership
from tests.factories import (
    ApiKeyFactory,
    ClusterFactory,
    DeploymentFactory,
    ProjectFactory,
    TenantFactory,
    UserFactory,
    member_of,
)

pytestmark = pytest.mark.django_db
KEYS = "admin:tenants_apikey_changelist"


@pytest.fixture
def desk(client):
    """The client of somebody who sees every list of the admin."""
    person = UserFactory(is_staff=True, is_superuser=True)
    client.force_login(person)
    return client


@pytest.fixture
def many_keys(lab, project):
    return [ApiKeyFactory(tenant=lab, project=project, name=f"key number {n:03}") for n in range(60)]


def lists():
    return {
        model._meta.label_lower: reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
    }


def names_in(text):
    return re.findall(r"key number \d{3}", text)


def way(text, rel):
    """The address of the link to the rows before or after; None where there is none."""
    found = re.search(rf'rel="{rel}"\s+href="([^"]+)"', text)
    return unescape(found[1]) if found else None


def test_no_list_of_the_admin_counts_skips_or_reads_through_rows(desk, many_keys):
    """Also those of our libraries. LIKE and UPPER are how Django searches in the middle of words."""
    assert len(lists()) >= 30
    for label, page in lists().items():
        for address in (page, f"{page}?q=lab"):
            with CaptureQueriesContext(connection) as asked:
                assert desk.get(address).status_code == 200, address
            statements = [one["sql"] for one in asked]
            wrong = [one for one in statements if re.search(r"^SELECT COUNT\(|OFFSET| LIKE |UPPER\(", one)]
            assert not wrong, label


def test_every_list_of_the_admin_is_a_list_by_keyset():
    """Another one would count as soon as it has no order of its own columns."""
    for model, desk in admin.site._registry.items():
        assert desk.get_changelist(None) is KeysetChangeList, model
        assert not desk.show_full_result_count, model
        assert not desk.date_hierarchy, model
        assert not [name for name in desk.search_fields if name[0] in "^=@" or "__icontains" in name], model


def test_a_tenants_page_shows_the_first_rows_and_leads_to_all(desk, lab, project):
    for n in range(40):
        member_of(lab, "developer", email=f"one-{n:02}@example.com")
        ProjectFactory(tenant=lab, name=f"Project number {n:02}")
    elsewhere = ProjectFactory(name="Project number 99")
    page = reverse("admin:tenants_tenant_change", args=[lab.pk])
    with CaptureQueriesContext(connection) as asked:
        text = desk.get(page).content.decode()
    assert not [one["sql"] for one in asked if re.search(r"^SELECT COUNT\(|OFFSET", one["sql"])]
    assert len(set(re.findall(r"Project number \d\d", text))) == 24, "and Letters"
    ways = [unescape(way) for way in re.findall(r'href="([^"]+tenant__id__exact=[^"]+)"', text)]
    assert len(ways) == 2
    names = set()
    further = ways[0].partition("?")[0] + way(desk.get(ways[0]).content.decode(), "next")
    for address in (ways[0], further):
        names |= set(re.findall(r"Project number \d\d", desk.get(address).content.decode()))
    assert len(names) == 40
    assert elsewhere.name not in names


def test_pages_of_a_list_lead_through_all_rows_and_back(desk, many_keys):
    page, seen = reverse(KEYS), []
    for _ in range(3):
        text = desk.get(page).content.decode()
        seen.append(list(dict.fromkeys(names_in(text))))
        page = reverse(KEYS) + (way(text, "next") or "")
    assert [len(names) for names in seen] == [25, 25, 10]
    assert [name for names in seen for name in names] == [key.name for key in reversed(many_keys)]
    assert way(text, "next") is None
    back = desk.get(reverse(KEYS) + way(text, "prev")).content.decode()
    assert list(dict.fromkeys(names_in(back))) == seen[1]


@pytest.mark.parametrize("term", ["Letter", "letter", "LETTERS", "lab", "Lab", "etters"])
def test_a_search_finds_keys_by_the_beginning_of_their_tenant_or_project(desk, lab, many_keys, term):
    elsewhere = TenantFactory(slug="elsewhere", name="Elsewhere")
    ApiKeyFactory(tenant=elsewhere, project=ProjectFactory(tenant=elsewhere), name="key number 999")
    text = desk.get(reverse(KEYS), {"q": term}).content.decode()
    found = names_in(text)
    assert "key number 999" not in found
    assert bool(found) is (term != "etters")


def test_a_search_finds_what_begins_with_the_term_and_nothing_else(desk, many_keys):
    assert set(names_in(desk.get(reverse(KEYS), {"q": "key number 01"}).content.decode())) == {
        f"key number 01{n}" for n in range(10)
    }
    for term in ("number 01", "%", "_", "\\", "'"):
        assert not names_in(desk.get(reverse(KEYS), {"q": term}).content.decode().replace(term, "")), term


def test_the_search_is_answered_by_an_index_as_the_console_asks_it(lab, many_keys):
    """LIKE and lower() are not leakproof: behind a policy they are no index conditions."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        found = ApiKey.objects.across_tenants().filter(begins_with("key number 01", ["name"]))
        assert "api_key_name_prefix" in found.explain()
        assert (
            "api_key_name_prefix"
            not in ApiKey.objects.across_tenants().filter(name__startswith="key number 01").explain()
        )


def test_a_tenants_keys_are_found_by_name_prefix_and_project(client, developer, lab, many_keys):
    client.force_login(developer)
    other = ApiKeyFactory(
        tenant=lab, project=ProjectFactory(tenant=lab, name="Numbers"), name="key number 500"
    )
    for term, wanted in {
        "key number 00": {f"key number 00{n}" for n in range(10)},
        other.prefix: {"key number 500"},
        "numb": {"key number 500"},
        "number": {"key number 500"},
        "no such": set(),
    }.items():
        text = client.get("/t/lab/keys/", {"q": term}).content.decode()
        assert wanted <= set(names_in(text)), term
        if len(term) > 4 and term != other.prefix:
            assert set(names_in(text)) == wanted, term
    first = client.get("/t/lab/keys/", {"q": "key number"}).content.decode()
    second = client.get("/t/lab/keys/" + way(first, "next")).content.decode()
    assert "q=key+number" in way(first, "next")
    assert set(names_in(first)).isdisjoint(names_in(second))


def test_a_foreign_project_is_no_way_to_find_a_key(client, developer, lab, many_keys):
    client.force_login(developer)
    elsewhere = TenantFactory(slug="elsewhere")
    ProjectFactory(tenant=elsewhere, name="Foreign letters")
    text = client.get("/t/lab/keys/", {"q": "Foreign"}).content.decode()
    assert not names_in(text)
    assert "No key here begins with" in text


@pytest.mark.parametrize("name", ["keys", "projects", "limits", "access-requests", "grants", "members"])
def test_lists_of_the_api_name_the_only_tenant_of_whoever_asks(client, developer, lab, many_keys, name):
    """Through their memberships alone the database would read and sort all rows of a tenant for a page of them."""
    client.force_login(developer)
    with CaptureQueriesContext(connection) as asked:
        assert client.get(f"/api/v1/{name}/").status_code == 200
    [rows] = [one["sql"] for one in asked if "LIMIT 51" in one["sql"]]
    assert f"\"tenant_id\" = '{lab.pk.hex}'" in rows
    other = TenantFactory(slug="other")
    Membership.objects.create(tenant=other, user=developer, role="viewer")
    with CaptureQueriesContext(connection) as asked:
        assert client.get(f"/api/v1/{name}/").status_code == 200
    [rows] = [one["sql"] for one in asked if "LIMIT 51" in one["sql"]]
    assert f"\"tenant_id\" = '{lab.pk.hex}'" not in rows


def test_filters_offer_few_values_and_take_any(desk, lab):
    clusters = [ClusterFactory(name=f"cluster-{n:02}") for n in range(30)]
    deployments = [DeploymentFactory(name=f"engine-{n:02}", cluster=one) for n, one in enumerate(clusters)]
    QuarantinedEvent.objects.across_tenants().bulk_create(
        QuarantinedEvent(
            source=f"source-{n:02}",
            event_id=f"call-{n:02}",
            reason="malformed",
            payload={},
            payload_sha=b"",
        )
        for n in range(30)
    )
    page = reverse("admin:deployments_deployment_changelist")
    for cluster in (clusters[0], clusters[-1]):
        answer = desk.get(page, {"cluster__id__exact": str(cluster.pk)})
        assert [row.cluster for row in answer.context["cl"].result_list] == [cluster]
        [spec] = [one for one in answer.context["cl"].filter_specs if one.title == "cluster"]
        offered = [one["display"] for one in spec.choices(answer.context["cl"])]
        assert cluster.name in offered
        assert len(offered) <= 27, "all, 25 of them, and the one that is chosen"
    calls = reverse("admin:billing_quarantinedevent_changelist")
    answer = desk.get(calls, {"source": "source-29"})
    assert [row.event_id for row in answer.context["cl"].result_list] == ["call-29"]
    [spec] = [one for one in answer.context["cl"].filter_specs if one.title == "source"]
    assert len(list(spec.choices(answer.context["cl"]))) == 27
    assert [one["display"] for one in spec.choices(answer.context["cl"]) if one["selected"]] == ["source-29"]
    for address, name in ((page, "cluster__id__exact"), (calls, "source")):
        for wrong in ("abc", "\0", "", str(deployments[0].pk)):
            answer = desk.get(address, {name: wrong})
            assert answer.status_code in (200, 302, 400), (name, wrong)
