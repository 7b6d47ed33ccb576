"""The search of the top bar: finds what its reader may open, by the beginning of a name, and nothing else."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import (
    AccessRequestFactory,
    ApiKeyFactory,
    CatalogModelFactory,
    ProjectFactory,
    TenantFactory,
    member_of,
    staff,
)

PART = {"HX-Request": "true", "HX-Request-Type": "partial"}


def hits(client, url, term):
    """The names and addresses found, in order."""
    answer = client.get(url, {"q": term}, headers=PART)
    assert answer.status_code == 200, answer.content[:300]
    found = re.findall(
        r'<a href="([^"]+)">.*?<span class="qm-cut">(.*?)</span>', answer.content.decode(), re.DOTALL
    )
    return {name: address for address, name in found}


@pytest.fixture
def rows(lab, project):
    model = CatalogModelFactory(name="zephyr-7b", title="Zephyr 7B")
    member_of(lab, "developer", name="Zoe Zimmer", email="zoe@lab.example")
    return {
        "Zephyr 7B": model,
        "Zebra": ApiKeyFactory(tenant=lab, project=project, name="Zebra"),
        "Zoo": ProjectFactory(tenant=lab, slug="zoo", name="Zoo"),
        "request": AccessRequestFactory(tenant=lab, project=project, model=model),
    }


def test_an_owner_finds_each_kind_and_every_address_opens(client, lab, owner, rows):
    client.force_login(owner)
    found = hits(client, "/t/lab/find/", "z")
    assert {"Zephyr 7B", "Zebra", "Zoo", "Zoe Zimmer", str(rows["request"])} <= set(found)
    for address in found.values():
        assert client.get(address).status_code == 200, address
    assert "Zebra" in client.get(found["Zebra"]).content.decode()


@pytest.mark.parametrize("spelled", ["REQ-{}", "{}", "req-{}"])
def test_a_request_is_found_by_its_reference(client, owner, rows, spelled):
    client.force_login(owner)
    request = rows["request"]
    found = hits(client, "/t/lab/find/", spelled.format(request.reference.removeprefix("REQ-")))
    assert found == {str(request): f"/t/lab/requests/{request.pk}/"}


def test_pages_are_found_and_the_one_that_begins_so_comes_first(client, owner):
    client.force_login(owner)
    assert next(iter(hits(client, "/t/lab/find/", "ke"))) == "Keys"
    assert hits(client, "/t/lab/find/", "cost")["Cost"] == "/t/lab/cost/"


def test_nobody_finds_what_is_not_theirs(client, lab, rows, stranger, developer):
    client.force_login(stranger)
    assert client.get("/t/lab/find/", {"q": "z"}).status_code == 404
    # The catalog is everybody's, the rest of the lab is not.
    assert set(hits(client, "/t/elsewhere/find/", "z")) == {"Zephyr 7B"}
    assert client.get("/admin/find/", {"q": "z"}).status_code == 302
    client.force_login(developer)
    assert "Audit" not in hits(client, "/t/lab/find/", "audit")


def test_another_tenant_is_found_only_by_its_members(client, lab, owner):
    TenantFactory(slug="zenith", name="Zenith")
    client.force_login(owner)
    assert "Zenith" not in hits(client, "/t/lab/find/", "zen")


def test_staff_find_the_rows_of_lists_that_they_may_open(client, lab, rows):
    client.force_login(staff("operator"))
    found = hits(client, "/admin/find/", "ze")
    assert {"Zephyr 7B"} <= set(found)
    assert "Lab" in hits(client, "/admin/find/", "lab")
    for address in found.values():
        assert client.get(address).status_code == 200, address
    client.force_login(staff("controller"))
    limited = hits(client, "/admin/find/", "ze")
    assert not any("/apikey/" in address or "/user/" in address for address in limited.values())


@pytest.mark.parametrize("url", ["/t/lab/find/", "/admin/find/"])
@pytest.mark.parametrize("term", ["", " ", "\0", "a\0b", "%", "_", "'", "x" * 5000, "\ufffe"])
def test_any_text_is_answered(client, lab, url, term):
    client.force_login(staff("operator"))
    for headers in (PART, {}):
        answer = client.get(url, {"q": term}, headers=headers)
        assert answer.status_code == 200
    assert "<html" in answer.content.decode()


def test_a_search_asks_no_more_for_more_rows(client, lab, project, owner):
    client.force_login(owner)

    def queries():
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert hits(client, "/t/lab/find/", "z")
        return len(caught)

    ProjectFactory(tenant=lab, slug="z0", name="Z0")
    ApiKeyFactory(tenant=lab, project=project, name="Z0")
    queries()
    few = queries()
    for n in range(1, 30):
        ProjectFactory(tenant=lab, slug=f"z{n}", name=f"Z{n}")
        ApiKeyFactory(tenant=lab, project=project, name=f"Z{n}")
    assert queries() == few
    assert len(hits(client, "/t/lab/find/", "z")) <= 10
