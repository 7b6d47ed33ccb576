"""A project's limits cost the same however many there are: pages, a search, and what is checked beside each number."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants.actions import set_limits
from tenants.models import ApiKey, Limit
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory

pytestmark = pytest.mark.django_db
MODELS = ("glm-4.6", "llama-4", "qwen-3")
PAGE = 25


def keys_with_limits(project, count, begins="robot"):
    keys = [
        ApiKeyFactory.build(
            tenant=project.tenant,
            project=project,
            name=f"{begins} {n:03}",
            prefix=f"qm_{begins[0]}{n:04}",
            model_names=MODELS,
        )
        for n in range(count)
    ]
    ApiKey.objects.across_tenants().bulk_create(keys)
    Limit.objects.across_tenants().bulk_create(
        Limit(tenant=project.tenant, key=key, model=model, kind="tokens_per_day", value=1000 + n)
        for n, key in enumerate(keys)
        for model in MODELS
    )
    return keys


@pytest.fixture
def many(lab, project):
    """Sixty keys with three limits each, beside two of the tenant and two of the project."""
    both = {"tokens_per_month": 5_000_000, "requests_per_minute": 600}
    set_limits(lab, both, by=None)
    set_limits(lab, both, by=None, project=project)
    return keys_with_limits(project, 60)


@pytest.fixture
def page(project):
    return f"/t/lab/projects/{project.pk}/limits/"


@pytest.fixture
def api(project):
    return f"/api/v1/projects/{project.pk}/limits/"


def rows_of(text):
    """What each row of the table is set on, and for which model."""
    table = text.partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        (unescape(on.strip()), model.strip())
        for on, model in re.findall(
            r'<span class="wrap-any">([^<]*)</span>.*?data-label="Model">\s*(?:<span[^>]*>)?([^<]*)<',
            table,
            re.DOTALL,
        )
    ]


def way(text, rel):
    found = re.search(rf'rel="{rel}"\s+href="([^"]+)"', text)
    return unescape(found[1]).partition("#")[0] if found else None


def walked(client, page, rel="next", query=""):
    """The rows of each page from `query` on, and the last page."""
    found = []
    while True:
        text = client.get(page + query).content.decode()
        found.append(rows_of(text))
        if not (query := way(text, rel)):
            return found, text


def test_pages_lead_through_every_limit_once_and_back(client, owner, many, page):
    client.force_login(owner)
    pages, last = walked(client, page)
    rows = [row for rows in pages for row in rows]
    assert [len(rows) for rows in pages] == [PAGE] * 7 + [184 - 7 * PAGE]
    everything = "All together"
    assert rows[:4] == [("Lab", everything)] * 2 + [("This project", everything)] * 2
    assert rows[4:] == [(str(key), model) for key in sorted(many, key=lambda k: k.pk) for model in MODELS]
    back, first = walked(client, page, "prev", way(last, "prev"))
    assert [row for rows in reversed(back) for row in rows] == rows[: 7 * PAGE]
    assert way(first, "prev") is None


def test_a_search_finds_limits_by_the_beginning_of_a_key_its_prefix_or_a_model(client, owner, many, page):
    client.force_login(owner)
    for term, wanted in {
        "robot 01": {f"robot 01{n}" for n in range(10)},
        "qm_r0007": {"robot 007"},
        "obot": set(),
    }.items():
        text = client.get(page, {"q": term}).content.decode()
        pages, _last = walked(client, page, query=f"?q={term}")
        assert {on[:9] for rows in pages for on, _model in rows} == wanted, term
        assert ("No limit&#x27;s model or key begins with" in text) is not wanted
    found, _last = walked(client, page, query="?q=llama")
    assert {model for rows in found for _on, model in rows} == {"llama-4"}
    assert sum(map(len, found)) == 60


def test_the_search_stays_when_turning_pages_and_when_another_key_is_chosen(client, owner, many, page):
    client.force_login(owner)
    text = client.get(f"{page}?q=robot&key={many[3].pk}").content.decode()
    assert {"q=robot", f"key={many[3].pk}"} <= set(way(text, "next").removeprefix("?").split("&"))
    assert f'type="hidden" name="key" value="{many[3].pk}"' in text


def test_limits_of_other_projects_and_tenants_are_not_found(client, owner, lab, many, page, api):
    keys_with_limits(ProjectFactory(tenant=lab, name="Other"), 3, "other")
    elsewhere = TenantFactory(slug="elsewhere")
    set_limits(elsewhere, {"tokens_per_day": 7}, by=None, model="other-model")
    keys_with_limits(ProjectFactory(tenant=elsewhere), 3, "other")
    client.force_login(owner)
    for term in ("other", "qm_o"):
        assert rows_of(client.get(page, {"q": term}).content.decode()) == []
        assert client.get(api, {"q": term}).json() == []


def test_a_page_of_many_limits_asks_no_more_than_one_of_few(client, owner, lab, project, many, page, api):
    few = ProjectFactory(tenant=lab, name="Few")
    # Its first page ends in the list of its keys, too.
    keys_with_limits(few, 9, "few")
    client.force_login(owner)

    def asked(address):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        return len(queries)

    for address in (page, api, f"{page}?q=robot", f"{api}?q=robot"):
        small = address.replace(str(project.pk), str(few.pk)).replace("robot", "few")
        asked(small)
        assert asked(address) <= asked(small), address


def test_each_number_stands_beside_all_that_is_checked_however_many_others_there_are(
    client, owner, lab, project, many, page
):
    key = many[-1]
    set_limits(lab, {"tokens_per_day": 9_000}, by=None, model="qwen-3")
    set_limits(lab, {"tokens_per_day": 8_000}, by=None, key=key)
    client.force_login(owner)
    text = client.get(f"{page}?key={key.pk}&model=qwen-3").content.decode()
    hint = re.search(r'id="id_tokens_per_day_helptext">([^<]*)<', text)[1]
    assert hint.startswith(f"Now 1,059. Also checked: 9,000 (Lab, qwen-3), 8,000 ({key.name}).")


def test_a_key_among_many_is_named_by_its_prefix(client, owner, lab, project, many, page):
    client.force_login(owner)
    text = client.get(page).content.decode()
    assert re.search(r'<input[^>]*name="key"', text)
    assert text.count("<option") < 60
    named = client.get(page, {"key": many[7].prefix}).content.decode()
    assert "robot 007 (qm_r0007…) · " in re.sub(r"\s+", " ", named)
    assert f'value="{many[7].prefix}"' in named
    unknown = client.get(page, {"key": "qm_nobody"})
    assert unknown.status_code == 200
    assert "This project has no such key." in unknown.content.decode()
    before = Limit.objects.in_tenant(lab).count()
    assert client.post(f"{page}?key=qm_nobody", {"concurrent_calls": "4"}).status_code == 404
    assert Limit.objects.in_tenant(lab).count() == before, "not for all keys of the project instead"
    assert client.post(f"{page}?key={many[7].prefix}", {"concurrent_calls": "4"}).status_code == 302
    assert Limit.objects.in_tenant(lab).get(kind="concurrent_calls").key == many[7]


def test_a_key_that_has_ended_can_still_be_looked_at(client, owner, project, page):
    [key] = keys_with_limits(project, 1)
    ApiKey.objects.across_tenants().filter(pk=key.pk).update(state="revoked", revoked_at=key.claimed_at)
    client.force_login(owner)
    assert f'<option value="{key.pk}"' not in client.get(page).content.decode()
    shown = client.get(page, {"key": str(key.pk)}).content.decode()
    assert re.search(rf'<option value="{key.pk}"\s+selected', shown)


def test_the_api_lists_limits_in_pages_that_its_links_lead_through(client, owner, many, api):
    client.force_login(owner)
    whole = client.get(api)
    assert (len(whole.json()), whole.headers.get("Link")) == (184, None)
    address, found = f"{api}?page_size=50", []
    while address:
        answer = client.get(address)
        found += answer.json()
        links = {
            rel: where for where, rel in re.findall(r'<([^>]+)>; rel="(\w+)"', answer.headers.get("Link", ""))
        }
        assert len(answer.json()) <= 50
        address = links.get("next")
    assert found == whole.json()
    assert client.get(links["prev"]).json() == found[100:150]


def test_what_a_patch_answers_is_bounded_too(client, owner, lab, project, api):
    keys_with_limits(project, 170)
    client.force_login(owner)
    answer = client.patch(api, {"limits": {"tokens_per_day": 5}}, "application/json")
    assert len(answer.json()) == 500
    assert answer.json()[0]["value"] == "5.00000000"
    assert 'rel="next"' in answer.headers["Link"]
    assert "before=x" not in client.get(f"{api}?before=x&page_size=9").headers["Link"]


def test_a_place_that_cannot_be_read_is_the_beginning(client, owner, many, page):
    client.force_login(owner)
    first = rows_of(client.get(page).content.decode())
    place = way(client.get(page).content.decode(), "next").partition("after=")[2]
    assert place.startswith("2."), "the page ends among the limits of keys"
    for wrong in ("1", "2.", place[2:], f"9.{place[2:]}", f"1.{place[2:]}", place[:-1], "\0"):
        assert rows_of(client.get(page, {"after": wrong}).content.decode()) == first, wrong
