"""Lists show the rows of those who ask: theirs, and nobody else's."""

from __future__ import annotations

import pytest

from tests.isolation.sweep import ACCOUNT, API, PORTAL, address, assert_silent, owned_model, row_of, text_of

pytestmark = pytest.mark.django_db
LISTS = [
    route
    for route in [*PORTAL, *API]
    if owned_model(route) is not None and "get" in route.methods and not set(route.parameters) - {"tenant"}
]


def test_every_list_shows_the_labs_row_to_the_lab(client, full_lab, owner):
    """Otherwise the walk would prove little: a list that is always empty leaks nothing either."""
    client.force_login(owner)
    blank = {}
    for route in LISTS:
        model = owned_model(route)
        text = text_of(client.get(address(route, full_lab)))
        row = full_lab.row(model._meta.label_lower)
        if not any(mark in text for mark in (str(row.pk), "lab-marker", getattr(row, "slug", "lab-marker"))):
            blank[str(route)] = text[:200]
    assert blank == {}
    assert len(LISTS) > 8


def test_and_nothing_of_it_to_anybody_else(client, full_lab, stranger):
    client.force_login(stranger)
    for route in [*LISTS, *(route for route in [*PORTAL, *API] if "get" in route.methods)]:
        if not row_of(route, full_lab):
            assert_silent(client.get(address(route, full_lab, tenant="elsewhere")), full_lab)


def test_isolation_works_both_ways(client, full_lab, stranger, owner):
    """The same the other way: the lab's people never see an address or an id from elsewhere."""
    foreign = stranger.memberships.get().tenant
    marks = {stranger.email, str(stranger.pk), str(foreign.pk), foreign.name}
    for person in (owner, full_lab.person):
        client.force_login(person)
        for route in [*PORTAL, *API, *ACCOUNT]:
            if "get" in route.methods:
                answer = client.get(address(route, full_lab))
                assert answer.status_code < 500, route
                seen = [mark for mark in marks if mark in text_of(answer)]
                assert not seen, f"{route} shows {seen}"


def test_a_list_takes_no_orders_that_are_not_documented(client, full_lab, stranger):
    """`ordering`, `fields` and `expand` would be ways round the serializers; there are none."""
    client.force_login(stranger)
    orders = (
        "ordering=tenant__memberships__user__email", "ordering=-pk", "fields=tenant,user,digest,password",
        "expand=tenant.memberships.user", "include=tenant", "omit=id", "search=lab", "limit=1&offset=1",
    )  # fmt: skip
    lists = [route for route in API if "get" in route.methods and not route.parameters]
    for route in lists:
        for order in orders:
            answer = client.get(f"{address(route, full_lab)}?{order}")
            assert answer.status_code == 400, f"{route}?{order}"
            assert_silent(answer, full_lab)
