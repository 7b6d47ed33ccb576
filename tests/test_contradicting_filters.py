"""Filters that contradict each other are an error that says what to leave out; neither of them wins silently."""

from __future__ import annotations

import pytest

PAGES = [
    "/t/lab/audit/",
    "/t/lab/keys/",
    "/t/lab/members/",
    "/t/lab/projects/",
    "/t/lab/projects/{project}/limits/",
    "/t/lab/requests/",
    "/t/lab/models/",
    "/t/lab/tokens/",
]
PLACES = {"before": "01a2285f-4c77-78e3-a0b8-596f01d3368b", "after": "01a2285f-4c77-78e3-a0b8-596f01d3368b"}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_before_and_after_a_place_is_an_error(client, project, owner, path):
    client.force_login(owner)
    path = path.format(project=project.pk)
    for name, value in PLACES.items():
        assert client.get(path, {name: value}, follow=True).status_code == 200
    answer = client.get(path, PLACES)
    assert answer.status_code == 400
    assert "Leave out before or after." in answer.content.decode()


def test_the_api_says_the_same(client, project, owner):
    client.force_login(owner)
    answer = client.get(f"/api/v1/projects/{project.pk}/limits/", PLACES)
    assert answer.status_code == 400
    assert answer.json()["errors"]["before"] == [
        "A page is either before a place in the list or after one. Leave out before or after."
    ]


@pytest.mark.parametrize("before", ["2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z"])
def test_a_time_that_ends_before_it_begins_is_an_error(client, lab, owner, before):
    client.force_login(owner)
    times = {"after": "2026-10-02T00:00:00Z", "before": before}
    answer = client.get("/api/v1/audit/", times)
    assert (answer.status_code, [*answer.json()["errors"]]) == (400, ["before"])
    assert "Leave one out" in answer.json()["errors"]["before"][0]
    times["before"] = "2026-10-02T00:00:01Z"
    assert client.get("/api/v1/audit/", times).status_code == 200
