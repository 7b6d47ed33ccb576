"""The links to the pages before and after: they keep what narrowed the list, and lead back to their part of a page."""

from __future__ import annotations

import pytest

from core.keyset import KeysetPage


def test_a_list_that_is_whole_has_no_links():
    assert KeysetPage([], "", "").links(tab="open") == {"newer_url": "", "older_url": ""}


def test_links_keep_what_narrowed_the_list_and_leave_out_what_did_not():
    links = KeysetPage([1], "a:b", "c").links(tab="open", q="")
    assert links == {"newer_url": "?tab=open&before=a%3Ab", "older_url": "?tab=open&after=c"}


@pytest.mark.parametrize("term", ["a&b", "50 %", "#1"])
def test_what_was_typed_stays_one_value(client, term):
    link = KeysetPage([1], "", "c").links(q=term)["older_url"]
    assert client.get(f"/{link}").wsgi_request.GET["q"] == term


def test_links_lead_to_their_part_of_the_page():
    assert KeysetPage([1], "", "c").links(fragment="all")["older_url"] == "?after=c#all"
