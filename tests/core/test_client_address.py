"""Whose address counts, with and without proxies in front."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from core.client_address import caller_place, client_address


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, None, "10.0.0.1"),
        (0, "203.0.113.9", "10.0.0.1"),  # nobody's word is taken
        (1, "203.0.113.9", "203.0.113.9"),
        # The left one is the caller's own invention.
        (1, "192.0.2.66, 203.0.113.9", "203.0.113.9"),
        (2, "192.0.2.66, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (2, "203.0.113.9", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, "unknown", "10.0.0.1"),
        (1, "203.0.113.9:4711", "203.0.113.9"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_the_callers_address(settings, proxies, forwarded, address):
    settings.TRUSTED_PROXIES = proxies
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    request = RequestFactory(REMOTE_ADDR="10.0.0.1").get("/", headers=headers)
    assert client_address(request) == address


def test_a_server_that_knows_no_address_has_none(settings):
    assert client_address(RequestFactory(REMOTE_ADDR="").get("/")) is None


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        # The same caller, moved on.
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", None),
    ],
)
def test_tries_are_counted_by_what_one_caller_has(address, place):
    assert caller_place(RequestFactory(REMOTE_ADDR=address).get("/")) == place


def test_moving_on_within_a_network_does_not_outrun_the_lock(client, developer, settings):
    """Five wrong passwords from five addresses of one /64, and the sixth is not even looked at."""
    wrong = {"username": developer.email, "password": "not that one"}
    answers = [
        client.post("/login/", wrong, REMOTE_ADDR=f"2001:db8:5:6::{n}")
        for n in range(1, settings.AXES_FAILURE_LIMIT + 2)
    ]
    assert answers[-1].status_code == 429
