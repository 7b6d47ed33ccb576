"""Signing in, and where one lands."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace
from unittest import mock

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db.models import F
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils.timezone import now

from accounts.actions import unlock_sign_in
from accounts.models import Session, User
from audit.models import AuditEntry
from core.errors import Conflict
from tests.factories import TenantFactory, UserFactory, member_of, staff
from tests.secret_scanner import watch

PASSWORD = "correct horse battery staple"


def test_a_person_signs_in_with_address_and_password_and_lands_in_their_only_tenant(client, developer):
    response = client.get("/", follow=True)
    assert response.redirect_chain[-1][0] == "/login/?next=/"
    response = client.post("/login/", {"username": developer.email, "password": PASSWORD}, follow=True)
    assert response.redirect_chain[-1][0] == reverse("tenant-home", args=["lab"])


def test_an_address_is_known_however_it_is_written(client, developer):
    response = client.post("/login/", {"username": developer.email.upper(), "password": PASSWORD})
    assert response.status_code == 302
    assert response.wsgi_request.user == developer


def test_a_wrong_password_is_told_without_saying_what_was_wrong(client, developer):
    known = client.post("/login/", {"username": developer.email, "password": "wrong"})
    unknown = client.post("/login/", {"username": "nobody@example.com", "password": "wrong"})
    assert known.context["form"].non_field_errors() == unknown.context["form"].non_field_errors()
    assert not known.wsgi_request.user.is_authenticated


def test_somebody_with_two_tenants_chooses(client, lab):
    person = member_of(lab, "developer")
    other = TenantFactory(name="Other house")
    from tenants.actions import add_member

    add_member(other, person, "finance", by=None)
    client.force_login(person)
    words = client.get("/").content.decode()
    assert "Other house" in words
    assert "Finance" in words


@pytest.mark.parametrize("role", ["operator", "security-reviewer", "controller"])
def test_staff_without_a_tenant_go_to_the_administration(client, db, role):
    client.force_login(staff(role))
    assert client.get("/")["Location"] == reverse("admin:index")


def test_signing_out_ends_the_session_and_wants_a_post(client, developer):
    client.force_login(developer)
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get(reverse("tenant-home", args=["lab"])).status_code == 302


def test_a_foreign_address_is_not_followed_after_signing_in(client, developer):
    response = client.post(
        "/login/", {"username": developer.email, "password": PASSWORD, "next": "https://evil.example/"}
    )
    assert response["Location"] == "/"


def test_htmx_is_sent_to_sign_in_as_a_whole_page(client, lab):
    url = reverse("request-list", args=["lab"])
    response = client.get(url, headers={"HX-Request": "true", "HX-Current-URL": "/t/lab/requests/?tab=open"})
    assert response.status_code == 204
    assert response["HX-Redirect"] == "/login/?next=/t/lab/requests/%3Ftab%3Dopen"
    assert client.get(url)["Location"] == f"/login/?next={url}"


WRONG = "not the password at all"
PLACE, OTHER_PLACE = "192.0.2.7", "198.51.100.9"


def attempt(email, password, place=PLACE):
    """One attempt from a fresh browser."""
    return Client(REMOTE_ADDR=place).post("/login/", {"username": email, "password": password})


def lines(verb):
    return list(AuditEntry.objects.across_tenants().filter(verb=verb))


def test_five_failures_lock_an_address_where_they_came_from(developer):
    for _ in range(4):
        assert attempt(developer.email, WRONG).status_code == 200
    fifth = attempt(developer.email, WRONG)
    assert fifth.status_code == 429
    assert "Too many attempts" in fifth.content.decode()
    assert "administrator" in fifth.content.decode()
    assert 0 < int(fifth["Retry-After"]) <= 900
    assert attempt(developer.email, PASSWORD).status_code == 429
    assert attempt(developer.email, PASSWORD, OTHER_PLACE).status_code == 302


def test_capitals_and_spaces_are_no_way_around_the_lock(developer):
    for spelling in (str.upper, str.title, str, "{} ".format, " {}".format):
        attempt(spelling(developer.email), WRONG)
    assert attempt(developer.email, PASSWORD).status_code == 429


def test_many_places_together_lock_an_address_everywhere(developer, settings):
    settings.LOCKOUT_FAILURES_ANYWHERE = 8
    for n in range(8):
        attempt(developer.email, WRONG, f"192.0.2.{n}")
    assert attempt(developer.email, PASSWORD, OTHER_PLACE).status_code == 429


def test_an_address_that_nobody_has_is_locked_alike(db):
    answers = [attempt("nobody@example.com", WRONG) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429, 429]


def test_a_header_that_anybody_can_write_is_no_other_place(developer):
    for n in range(5):
        Client(REMOTE_ADDR=PLACE, headers={"X-Forwarded-For": f"203.0.113.{n}"}).post(
            "/login/", {"username": developer.email, "password": WRONG}
        )
    assert attempt(developer.email, PASSWORD).status_code == 429


def test_behind_a_proxy_the_place_is_the_callers(developer, settings):
    settings.TRUSTED_PROXIES = 1
    for _ in range(5):
        Client(REMOTE_ADDR="10.0.0.1", headers={"X-Forwarded-For": PLACE}).post(
            "/login/", {"username": developer.email, "password": WRONG}
        )
    other = Client(REMOTE_ADDR="10.0.0.1", headers={"X-Forwarded-For": OTHER_PLACE})
    assert other.post("/login/", {"username": developer.email, "password": PASSWORD}).status_code == 302


def test_the_lock_ends_by_itself_and_trying_meanwhile_does_not_lengthen_it(developer):
    for _ in range(6):
        attempt(developer.email, WRONG)
    AccessAttempt.objects.update(attempt_time=now() - timedelta(minutes=14))
    attempt(developer.email, WRONG)
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=2))
    assert attempt(developer.email, PASSWORD).status_code == 302


def test_signing_in_forgets_earlier_failures(developer):
    for _ in range(3):
        for _ in range(3):
            attempt(developer.email, WRONG)
        assert attempt(developer.email, PASSWORD).status_code == 302


def test_the_audit_log_tells_failures_and_the_lock_once_and_not_what_was_typed(developer):
    for _ in range(9):
        attempt(developer.email, WRONG)
    assert len(lines("person.sign_in_failed")) == 5
    (line,) = lines("person.locked_out")
    assert (line.subject_id, line.actor, line.address) == (str(developer.pk), None, PLACE)
    assert WRONG not in str([entry.details for entry in AuditEntry.objects.across_tenants()])
    assert WRONG not in str(list(AccessAttempt.objects.values()))


def test_what_nobody_has_is_not_kept_in_the_audit_log(db):
    attempt("my secret typed into the wrong field", "")
    attempt("nobody@example.com", WRONG)
    assert not AuditEntry.objects.across_tenants().exists()


def test_signing_in_and_out_is_in_the_audit_log(developer):
    browser = Client(REMOTE_ADDR=PLACE)
    browser.post("/login/", {"username": developer.email, "password": PASSWORD})
    browser.post("/logout/")
    (came,), (left,) = lines("person.signed_in"), lines("person.signed_out")
    assert (came.actor, came.address, came.details) == (
        developer,
        PLACE,
        {"second_factor": False, "provider": ""},
    )
    assert left.actor == developer


def test_known_and_unknown_addresses_take_the_same_work(developer):
    """The expensive part is the hash: it is computed once either way."""

    def hashes(email):
        with mock.patch.object(MD5PasswordHasher, "encode", autospec=True, side_effect=ENCODE) as encode:
            attempt(email, WRONG)
        return encode.call_count

    developer_without_password = UserFactory()
    developer_without_password.set_unusable_password()
    developer_without_password.save()
    retired = UserFactory(is_active=False)
    known = hashes(developer.email)
    assert known == 1
    for email in ("nobody@example.com", developer_without_password.email, retired.email):
        assert hashes(email) == known


ENCODE = MD5PasswordHasher.encode


def test_an_operator_unlocks_and_it_is_written_down(client, operator, developer, owner):
    for _ in range(5):
        attempt(developer.email, WRONG)
    with pytest.raises(PermissionDenied):
        unlock_sign_in(developer.pk, by=owner)
    client.force_login(operator)
    url = reverse("admin:accounts_user_unlock", args=[developer.pk])
    answer = client.post(url, {"_form_submitted": "True"}, headers={"HX-Request": "true"})
    assert answer.status_code == 200, answer.content
    assert attempt(developer.email, PASSWORD).status_code == 302
    assert [(line.actor, line.subject_id) for line in lines("person.unlocked")] == [
        (operator, str(developer.pk))
    ]
    with pytest.raises(Conflict, match="not locked"):
        unlock_sign_in(developer.pk, by=operator)


def test_the_staff_site_has_no_entry_point_of_its_own(client, operator, developer):
    entry_point = client.get("/admin/", follow=True)
    assert entry_point.redirect_chain[-1][0] == "/login/?next=/admin/"
    client.force_login(developer)
    assert client.get("/admin/login/?next=/admin/").status_code == 403


def test_a_service_account_never_signs_in_to_pages(lab):
    robot = UserFactory(service_of=lab)
    assert attempt(robot.email, PASSWORD).status_code == 200
    assert not lines("person.signed_in")


def test_where_local_accounts_are_off_there_is_no_form_and_no_password_counts(client, developer, settings):
    settings.LOCAL_ACCOUNTS = False
    page = client.get("/login/").content.decode()
    assert 'name="password"' not in page
    assert attempt(developer.email, PASSWORD).status_code == 403
    assert authenticate(RequestFactory().post("/"), username=developer.email, password=PASSWORD) is None
    client.force_login(developer)
    session = client.session
    session["qm_administrator_link"] = True
    session.save()
    assert client.get("/account/password/").status_code == 404


@pytest.mark.parametrize("path", ["/account/sessions/", "/api/v1/tenants/"])
def test_switching_local_accounts_off_ends_the_sessions_that_passwords_opened(developer, settings, path):
    browser = attempt(developer.email, PASSWORD).client
    assert browser.get(path).status_code == 200
    settings.LOCAL_ACCOUNTS = False
    assert browser.get(path).status_code in (302, 401, 403)
    assert not Session.objects.filter(user=developer).exists()
    settings.LOCAL_ACCOUNTS = True
    assert browser.get(path).status_code in (302, 401, 403), "for good"


def link_of(email, **options):
    said = StringIO()
    call_command("create_administrator", email, stdout=said, **options)
    return re.search(r"http://127\.0\.0\.1:8000(/\S+)", said.getvalue())[1]


NEW = "a brand new passphrase"


def test_the_first_administrator_gets_a_link_chooses_a_password_and_is_in(db):
    link = link_of("first@example.com")
    browser = Client()
    page = browser.get(link)
    assert "first@example.com" in page.content.decode()
    # No-referrer would send Origin: null with the form.
    assert page["Referrer-Policy"] == "same-origin"
    # Looking does not use it up.
    assert browser.get(link).status_code == 200
    weak = browser.post(link, {"new_password1": "short", "new_password2": "short"})
    assert weak.status_code == 400
    answer = browser.post(link, {"new_password1": NEW, "new_password2": NEW}, follow=True)
    assert answer.redirect_chain[-1][0] == "/admin/"
    assert Client().get(link).status_code == 409
    assert attempt("first@example.com", NEW).status_code == 302
    assert [line.actor for line in lines("administrator.link_made")] == [None]
    assert len(lines("administrator.link_used")) == 1


def test_no_log_holds_a_link_that_still_opens_something(db):
    link = link_of("first@example.com")
    Client().get(link)
    Client().post(link, {"new_password1": "short", "new_password2": "short"})
    said = [line for _place, line in watch.lines if "/login/once/" in line]
    assert said
    assert not [line for line in said if link.split("/")[3] in line]


def test_the_link_gets_an_administrator_in_with_passwords_off_and_locked_out(db, settings):
    settings.LOCAL_ACCOUNTS = False
    for _ in range(5):
        attempt("chief@example.com", WRONG)
    link = link_of("Chief@example.com", reason="the provider is away")
    browser = Client()
    answer = browser.post(link, follow=True)
    assert answer.redirect_chain[-1][0] == "/admin/"
    assert browser.get("/account/sessions/").status_code == 200, "the way in when nothing else works"
    assert Client().post(link).status_code == 409
    assert not User.objects.get(email="chief@example.com").has_usable_password()
    assert lines("administrator.link_made")[0].reason == "the provider is away"


def test_a_link_ends_after_a_quarter_of_an_hour_and_with_any_other(db):
    link, other = link_of("chief@example.com"), link_of("chief@example.com")
    with mock.patch("django.core.signing.time", SimpleNamespace(time=lambda: time.time() + 901)):
        assert Client().get(link).status_code == 409
    Client().post(other, {"new_password1": NEW, "new_password2": NEW})
    assert Client().get(link).status_code == 409
    assert Client().get(link[:-3] + "/").status_code == 409


def test_no_administrator_is_made_of_nonsense_or_of_a_service_account(lab):
    robot = UserFactory(service_of=lab)
    for email, words in (("not an address", "valid"), (robot.email, "service account")):
        with pytest.raises(CommandError, match=words):
            call_command("create_administrator", email, stdout=StringIO())


def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(developer):
    here, phone = Client(), Client()
    for browser in (here, phone):
        browser.post("/login/", {"username": developer.email, "password": PASSWORD})
    wrong = here.post(
        "/account/password/", {"old_password": WRONG, "new_password1": NEW, "new_password2": NEW}
    )
    assert wrong.status_code == 200
    answer = here.post(
        "/account/password/", {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    )
    assert answer["Location"] == "/account/sessions/"
    assert here.get("/account/sessions/").status_code == 200
    assert phone.get("/account/sessions/").status_code == 302
    assert developer.sessions.count() == 1
    assert lines("password.changed")[0].details == {"sessions_ended": 1}
