"""Somebody with several tenants goes from one to another at the head of the menu; the address says where they are."""

import re

from django.urls import reverse

from tenants.actions import add_member
from tests.factories import TenantFactory


def switcher(client, tenant):
    """(name, address, whether it is the current one) of each tenant that the menu of a tenant's page offers."""
    page = client.get(reverse("tenant-home", args=[tenant.slug])).content.decode()
    menu = page.split('class="qm-menu l"')[1].split("</details>")[0]
    links = re.findall(r'<a href="(/t/[^"]+)"(\s+aria-current="true")?\s*>([^<]+)</a>', menu)
    return [(name, address, bool(current)) for address, current, name in links], "All tenants" in menu


def test_it_offers_ones_own_tenants_and_marks_the_current_one(client, lab, developer, stranger):
    other = TenantFactory(slug="aurora", name="Aurora")
    add_member(other, developer, "viewer", by=None)
    client.force_login(developer)
    for current in (lab, other):
        offered, has_more = switcher(client, current)
        assert sorted(offered) == [
            ("Aurora", "/t/aurora/", current == other),
            ("Lab", "/t/lab/", current == lab),
        ]
        assert not has_more


def test_where_somebody_is_stands_in_the_address_and_not_in_the_session(client, lab, developer):
    other = TenantFactory(slug="aurora", name="Aurora")
    add_member(other, developer, "viewer", by=None)
    client.force_login(developer)
    client.get("/t/lab/")
    before = dict(client.session)
    assert "Aurora" in client.get("/t/aurora/").content.decode()
    assert dict(client.session) == before


def test_beyond_twenty_it_leads_to_a_search(client, lab, developer):
    for number in range(20):
        add_member(TenantFactory(slug=f"t-{number:02}"), developer, "viewer", by=None)
    client.force_login(developer)
    offered, has_more = switcher(client, lab)
    assert len(offered) == 20
    assert has_more
    assert ("Lab", "/t/lab/", True) in offered
