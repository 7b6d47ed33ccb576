"""Which language pages, answers and mails have: the account's, else the browser's, else English."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.core import mail
from django.utils.translation import get_language

from accounts.actions import choose_language
from accounts.models import User
from accounts.outbox.sending import send_mail_due
from audit.models import AuditEntry
from tenants.actions import invite
from tests.factories import UserFactory

CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}


def language_of(response):
    """What the page says of itself."""
    return re.search(rb'<html lang="([^"]+)"', response.content)[1].decode()


def choose(client, language, **fields):
    return client.post("/language/", {"language": language, **fields})


@pytest.mark.django_db
def test_a_visitor_gets_the_language_of_the_browser(client):
    assert language_of(client.get("/login/")) == "en"
    assert language_of(client.get("/login/", headers=CHINESE)) == "zh-hans"
    assert language_of(client.get("/login/", headers={"Accept-Language": "fr"})) == "en"


@pytest.mark.django_db
def test_a_visitor_chooses_for_this_browser(client):
    response = choose(client, "zh-hans", next="/login/?next=/t/lab/")
    assert (response.status_code, response["Location"]) == (302, "/login/?next=/t/lab/")
    assert language_of(client.get("/login/", headers={"Accept-Language": "en"})) == "zh-hans"


def test_the_account_wins_over_the_browser(client, developer):
    client.force_login(developer)
    choose(client, "zh-hans", next="/account/sessions/")
    client.cookies.clear()
    client.force_login(developer)
    page = client.get("/account/sessions/", headers={"Accept-Language": "en"})
    assert language_of(page) == page["Content-Language"] == "zh-hans"
    assert User.objects.get(pk=developer.pk).language == "zh-hans"
    choose(client, "en")
    assert language_of(client.get("/account/sessions/", headers=CHINESE)) == "en"


def test_the_choice_does_not_reach_the_next_request(client, developer):
    client.force_login(developer)
    choose(client, "zh-hans")
    client.get("/account/sessions/")
    assert language_of(type(client)().get("/login/")) == "en"


def test_the_choice_is_recorded_once(developer):
    choose_language(developer, "zh-hans")
    choose_language(developer, "zh-hans")
    entry = AuditEntry.objects.across_tenants().get(verb="person.language_chosen")
    assert entry.changes == {"language": ["", "zh-hans"]}


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["", "tlh", "zh-hans\r\n", "../../etc"])
def test_a_language_that_nobody_speaks_is_refused(client, language):
    response = choose(client, language)
    assert response.status_code == 400
    assert settings.LANGUAGE_COOKIE_NAME not in response.cookies


@pytest.mark.django_db
@pytest.mark.parametrize(
    "place", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)"]
)
def test_it_leads_back_to_our_own_pages_only(client, place):
    assert choose(client, "en", next=place)["Location"] == "/"
    assert client.post("/language/", {"language": "en"}, headers={"Referer": place})["Location"] == "/"


@pytest.mark.django_db
def test_it_leads_back_to_the_page_of_a_form_that_does_not_know_it(client):
    page = "http://testserver/admin/tenants/tenant/"
    assert client.post("/language/", {"language": "en"}, headers={"Referer": page})["Location"] == page


def test_programs_go_by_their_header(client, developer):
    choose_language(developer, "zh-hans")
    client.force_login(developer)
    refused = client.get("/api/v1/projects/nothing/", headers={"Accept-Language": "en"})
    assert refused["Content-Language"] == "en"
    assert client.get("/api/v1/projects/nothing/", headers=CHINESE)["Content-Language"] == "zh-hans"


def test_mail_goes_out_in_the_language_of_its_recipient(lab, owner, monkeypatch):
    spoken = []

    def render(name, words):
        spoken.append(get_language())
        return "text"

    monkeypatch.setattr("accounts.mail.render_to_string", render)
    known = UserFactory(language="zh-hans")
    for address in (known.email, "new@example.com"):
        invite(lab, address, "viewer", by=owner)
        send_mail_due()
    # Text and HTML of each.
    assert spoken == ["zh-hans", "zh-hans", "en", "en"]


def test_mail_says_its_language_and_writes_its_dates_in_it(lab, owner):
    written = {"zh-hans": r"\d{4}年\d+月\d+日 \d\d:\d\d", "en": r"\d+ [A-Z][a-z]+ \d{4}, \d\d:\d\d"}
    for language, date in written.items():
        invite(lab, UserFactory(language=language).email, "viewer", by=owner)
        send_mail_due()
        sent = mail.outbox[-1]
        page = sent.alternatives[0][0]
        assert f'<html lang="{language}">' in page
        assert re.search(date, page)
        assert re.search(date, sent.body)
        assert "\n\n\n" not in sent.body.strip()
