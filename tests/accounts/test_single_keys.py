"""A person switches shortcuts of a single key off and on, for both sites."""

from __future__ import annotations

import pytest

from accounts.actions import choose_single_keys
from audit.models import AuditEntry

OFF = b'data-single-keys="off"'


def choose(client, work, **more):
    return client.post("/account/single-keys/", {"work": work}, **more)


def test_the_choice_is_in_every_page_of_the_person(client, lab, developer):
    client.force_login(developer)
    page = f"http://testserver/t/{lab.slug}/"
    assert OFF not in client.get(page).content
    assert choose(client, "no", headers={"Referer": page})["Location"] == page
    for path in (page, "/account/sessions/"):
        assert OFF in client.get(path).content
    choose(client, "yes")
    assert OFF not in client.get(page).content


def test_the_staff_site_keeps_to_it(client, operator):
    client.force_login(operator)
    choose(client, "no")
    assert OFF in client.get("/admin/").content


def test_the_choice_is_recorded_once(developer):
    choose_single_keys(developer, work=False)
    choose_single_keys(developer, work=False)
    entry = AuditEntry.objects.across_tenants().get(verb="person.single_keys_chosen")
    assert entry.changes == {"single_keys": [True, False]}


@pytest.mark.django_db
def test_a_visitor_has_nothing_to_choose_for(client):
    assert choose(client, "no")["Location"].startswith("/login/")
    assert client.get("/account/single-keys/").status_code == 405


def test_nobody_is_led_to_another_site(client, developer):
    client.force_login(developer)
    assert choose(client, "no", headers={"Referer": "https://evil.example/"})["Location"] == "/"
