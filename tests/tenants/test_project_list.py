"""Projects by name in pages, found by the beginning of a name or slug."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def many_projects(lab):
    return [ProjectFactory(tenant=lab, name=f"Project no {n:03}", slug=f"p-{n:03}") for n in range(60)]


def names_in(answer):
    return list(dict.fromkeys(re.findall(r"Project no \d{3}", answer.content.decode())))


def test_pages_lead_through_all_projects_in_a_constant_number_of_questions(
    client, owner, lab, many_projects, django_assert_max_num_queries
):
    client.force_login(owner)
    ApiKeyFactory(tenant=lab, project=many_projects[59])
    address, seen = "/t/lab/projects/", []
    while address:
        with django_assert_max_num_queries(12):
            answer = client.get(address)
        seen += names_in(answer)
        assert len(names_in(answer)) <= 25
        found = re.search(r'rel="next"\s+href="([^"]+)"', answer.content.decode())
        address = "/t/lab/projects/" + unescape(found[1]) if found else ""
    assert seen == [project.name for project in many_projects]
    assert answer.context["rows"][-1].active_keys == 1


def test_a_search_finds_beginnings_of_names_and_slugs_of_the_tenant_alone(client, owner, lab, many_projects):
    client.force_login(owner)
    ProjectFactory(tenant=TenantFactory(slug="elsewhere"), name="Project no 999", slug="p-999")
    assert names_in(client.get("/t/lab/projects/", {"q": "project no 01"})) == [
        f"Project no 01{n}" for n in range(10)
    ]
    assert names_in(client.get("/t/lab/projects/", {"q": "p-007"})) == ["Project no 007"]
    nothing = client.get("/t/lab/projects/", {"q": "p-999"})
    assert not nothing.context["rows"]
    assert "No project begins with" in nothing.content.decode()
