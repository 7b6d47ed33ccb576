"""Staff who open a page of a tenant read what their role does not show, and never that there is none."""

import pytest

from tests.factories import AccessRequestFactory, ApiKeyFactory

HIDDEN = "Not shown to your role"


@pytest.fixture
def house(lab, project):
    return {
        "keys": ApiKeyFactory(tenant=lab, project=project, name="letters-key"),
        "requests": AccessRequestFactory(tenant=lab, project=project),
        "projects": project,
    }


def page(client, person, path):
    client.force_login(person)
    return client.get(path).content.decode()


@pytest.mark.parametrize("path", ["keys", "projects", "requests"])
def test_a_controller_reads_who_sees_them(client, controller, house, path):
    text = page(client, controller, f"/t/lab/{path}/")
    assert HIDDEN in text
    assert "Members of Lab see them" in text
    assert "Operator" in text
    assert "No keys yet" not in text
    assert "No projects yet" not in text


@pytest.mark.parametrize("path", ["keys", "projects", "requests"])
def test_members_and_staff_who_see_them_read_no_such_thing(client, developer, operator, house, path):
    for person in (developer, operator):
        assert HIDDEN not in page(client, person, f"/t/lab/{path}/?tab=open")


def test_a_reviewer_sees_requests_but_no_keys(client, security_reviewer, house):
    assert HIDDEN not in page(client, security_reviewer, "/t/lab/requests/?tab=open")
    assert HIDDEN in page(client, security_reviewer, "/t/lab/keys/")


def test_the_cost_page_counts_the_projects_that_its_sums_cover(client, controller, house):
    text = page(client, controller, "/t/lab/cost/")
    assert "All 0 projects" not in text
    assert "1 project" in text
    assert client.get("/t/lab/cost/?project=letters").status_code == 200
    assert client.get("/t/lab/cost/?project=other").status_code == 404
