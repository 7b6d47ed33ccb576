"""The catalog page of a tenant with many projects offers some of them, and takes any of them."""

from __future__ import annotations

import pytest

from tests.factories import CatalogModelFactory, ProjectFactory

pytestmark = pytest.mark.django_db


def test_a_choice_of_projects_is_short_and_an_address_may_name_any_other(client, developer, lab):
    CatalogModelFactory(name="chat", title="Chat")
    projects = [ProjectFactory(tenant=lab, name=f"Project {n:03}", slug=f"project-{n:03}") for n in range(40)]
    client.force_login(developer)
    page = client.get("/t/lab/models/")
    assert len(page.context["project_options"]) == 26  # and "All projects"
    chosen = client.get("/t/lab/models/?project=project-039")
    assert chosen.context["project"] == projects[39]
    assert [option["label"] for option in chosen.context["project_options"] if option["selected"]] == [
        "Project 039"
    ]
    for nowhere in ("elsewhere", "%00"):
        assert client.get(f"/t/lab/models/?project={nowhere}").context["project"] is None
