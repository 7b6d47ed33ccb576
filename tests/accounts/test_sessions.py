"""Where a person is signed in, and signing out there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.test import Client
from django.utils.timezone import now

from accounts.models import IdempotencyRecord, Session, User
from accounts.session_store import SessionStore
from accounts.sessions import device_of, end_provider_sessions, end_sessions, handle_of
from accounts.tasks import clear_expired_sessions, clear_idempotency_records
from audit.models import AuditEntry
from tests.concurrency import queued_at
from tests.factories import UserFactory

PASSWORD = "correct horse battery staple"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1"
)
PAGE = "/account/sessions/"


def browser_of(user, user_agent=FIREFOX, address="192.0.2.7"):
    """A browser signed in by the form."""
    browser = Client(headers={"User-Agent": user_agent}, REMOTE_ADDR=address)
    browser.post("/login/", {"username": user.email, "password": PASSWORD})
    assert "_auth_user_id" in browser.session
    return browser


def is_signed_in(browser):
    return browser.get(PAGE).status_code == 200


def test_the_list_tells_devices_addresses_and_which_one_this_is(developer):
    here, phone = browser_of(developer), browser_of(developer, SAFARI, "198.51.100.9")
    page = here.get(PAGE)
    current, other = page.context["browsers"]
    assert (current.device, current.address, current.is_current) == ("Firefox on Linux", "192.0.2.7", True)
    assert (other.device, other.address, other.is_current) == ("Safari on iPhone", "198.51.100.9", False)
    words = page.content.decode()
    assert words.count("This browser") == 1
    assert "Local account" in words
    assert page["Cache-Control"].count("no-store") == 1
    assert is_signed_in(phone)


def test_no_page_shows_the_key_of_a_session(developer):
    here, phone = browser_of(developer), browser_of(developer, SAFARI)
    pages = here.get(PAGE).content.decode()
    pages += here.get(f"{PAGE}{handle_of(phone.session.session_key)}/end/").content.decode()
    assert here.session.session_key not in pages
    assert phone.session.session_key not in pages


def test_ending_one_session_signs_out_that_browser_alone(developer):
    here, phone = browser_of(developer), browser_of(developer, SAFARI)
    answer = here.post(f"{PAGE}{handle_of(phone.session.session_key)}/end/")
    assert answer["Location"] == PAGE
    assert not is_signed_in(phone)
    assert is_signed_in(here)
    line = AuditEntry.objects.across_tenants().get(verb="session.ended")
    assert (line.actor, line.details) == (developer, {"device": "Safari on iPhone"})


def test_ending_ones_own_session_leads_to_the_sign_in_page(developer):
    here = browser_of(developer)
    answer = here.post(f"{PAGE}{handle_of(here.session.session_key)}/end/")
    assert answer["Location"].startswith("/login/")
    assert not is_signed_in(here)


def test_nobody_ends_the_session_of_somebody_else(developer, owner):
    theirs, mine = browser_of(developer), browser_of(owner)
    url = f"{PAGE}{handle_of(theirs.session.session_key)}/end/"
    assert mine.get(url).status_code == 404
    assert mine.post(url).status_code == 404
    assert is_signed_in(theirs)


def test_signing_out_everywhere_ends_all_and_only_ones_own(developer, owner):
    here, phone, somebody_else = browser_of(developer), browser_of(developer, SAFARI), browser_of(owner)
    assert "2 browsers" in here.get(f"{PAGE}end-all/").content.decode()
    assert here.post(f"{PAGE}end-all/")["Location"].startswith("/login/")
    assert not is_signed_in(here)
    assert not is_signed_in(phone)
    assert is_signed_in(somebody_else)
    assert AuditEntry.objects.across_tenants().get(verb="sessions.ended").details == {"sessions": 2}


def test_asking_changes_nothing(developer):
    here = browser_of(developer)
    here.get(f"{PAGE}end-all/")
    here.get(f"{PAGE}{handle_of(here.session.session_key)}/end/")
    assert is_signed_in(here)


def test_a_request_under_way_does_not_bring_an_ended_session_back(developer):
    here = browser_of(developer)
    under_way = here.session
    assert under_way["_auth_user_id"] == str(developer.pk)  # it is loaded
    end_sessions(developer)
    under_way["anything"] = 1
    with pytest.raises(UpdateError):
        under_way.save()
    assert not Session.objects.filter(user=developer).exists()


def test_being_seen_is_written_at_most_once_a_minute(developer):
    here = browser_of(developer)
    rows = Session.objects.filter(user=developer)
    before = rows.get().seen_at
    here.get(PAGE)
    assert rows.get().seen_at == before
    rows.update(seen_at=now() - timedelta(minutes=5))
    here.get(PAGE)
    assert rows.get().seen_at > now() - timedelta(minutes=1)


def test_saving_a_session_keeps_when_it_began(developer):
    here = browser_of(developer)
    rows = Session.objects.filter(user=developer)
    began = now() - timedelta(hours=3)
    rows.update(created_at=began, seen_at=began)
    session = here.session
    session["anything"] = 1
    session.save()
    assert (rows.get().created_at, rows.get().seen_at) == (began, began)


def test_a_provider_ends_one_of_its_sessions_or_all_of_a_person(developer):
    def opened(issuer, sid, subject="sub-1"):
        return Session.objects.create(
            session_key=f"{issuer}-{sid}", session_data="", expire_date=now() + timedelta(hours=1),
            user=developer, issuer=issuer, provider_session=sid, subject=subject,
        )  # fmt: skip

    opened("https://a.example", "one"), opened("https://a.example", "two"), opened("https://b.example", "one")
    assert end_provider_sessions("https://a.example", sid="one") == 1
    assert end_provider_sessions("https://a.example", sid="one") == 0
    assert end_provider_sessions("https://a.example", sid="two", subject="somebody-else") == 0
    assert end_provider_sessions("https://a.example", subject="sub-1") == 1
    assert list(Session.objects.values_list("issuer", flat=True)) == ["https://b.example"]
    with pytest.raises(ValueError, match="must name its issuer"):
        end_provider_sessions("https://b.example")
    with pytest.raises(ValueError, match="must name its issuer"):
        # Or every local session would end.
        end_provider_sessions("", sid="one")


def test_all_but_one_session_can_be_ended(developer):
    here, phone = browser_of(developer), browser_of(developer, SAFARI)
    assert end_sessions(developer, except_key=here.session.session_key) == 1
    assert is_signed_in(here)
    assert not is_signed_in(phone)


def test_the_clock_clears_what_is_over(developer):
    here, phone = browser_of(developer), browser_of(developer, SAFARI)
    Session.objects.filter(session_key=phone.session.session_key).update(expire_date=now())
    clear_expired_sessions()
    assert [row.session_key for row in Session.objects.all()] == [here.session.session_key]
    user = UserFactory()
    for key, age in (("old", timedelta(days=3)), ("new", timedelta(hours=1))):
        IdempotencyRecord.objects.create(user=user, key=key, digest="", status=200, body={}, at=now() - age)
    clear_idempotency_records()
    assert [row.key for row in IdempotencyRecord.objects.all()] == ["new"]


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        (SAFARI, "Safari on iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.7.1", "curl/8.7.1"),
        ("", "Unknown device"),
    ],
)  # fmt: skip
def test_devices_have_words(user_agent, words):
    assert device_of(user_agent) == words


def test_a_session_ends_when_it_was_to_end_however_it_is_used(developer):
    browser = browser_of(developer)
    until = now() + timedelta(minutes=1)
    Session.objects.update(expire_date=until)
    before = dict(browser.session.items())
    browser.get("/account/second-factor/set-up/")
    assert dict(browser.session.items()) != before
    assert Session.objects.get(user=developer).expire_date == until


def session_of(user):
    """The session of a browser, as a request has read it."""
    store = SessionStore(browser_of(user).session.session_key)
    assert store["_auth_user_id"]
    return store


def test_another_key_makes_no_session_longer(developer):
    """Else whoever has somebody's browser sets up an authenticator, takes it away, and so on for ever."""
    store = session_of(developer)
    Session.objects.update(created_at=now() - timedelta(hours=11), expire_date=now() + timedelta(hours=1))
    before = Session.objects.get(user=developer)
    store.cycle_key()
    after = Session.objects.get(user=developer)
    assert after.session_key != before.session_key
    assert (after.created_at, after.expire_date) == (before.created_at, before.expire_date)


def test_an_ended_session_gets_no_other_key(developer):
    store = session_of(developer)
    end_sessions(developer)
    with pytest.raises(SessionInterrupted):
        store.cycle_key()
    assert not Session.objects.filter(user=developer).exists()


@pytest.mark.django_db(transaction=True)
def test_a_session_that_gets_another_key_at_the_moment_of_signing_out_everywhere_is_ended(developer):
    """Whoever ends sessions would else miss the row that takes the old one's place."""
    store = session_of(developer)
    outcomes = queued_at(
        User.objects.filter(pk=developer.pk), store.cycle_key, lambda: end_sessions(developer)
    )
    assert not Session.objects.filter(user=developer).exists()
    assert outcomes[1] == 1
