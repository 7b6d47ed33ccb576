"""A code besides the password: setting it up, showing it, and losing it."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace
from unittest import mock

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from accounts.actions import enrol_authenticator, reset_second_factor
from accounts.actions.sessions import sign_out_everywhere
from accounts.actions.sign_in import create_administrator
from accounts.models import RecoveryCode, SecondFactor, Session
from accounts.second_factor import check_code, new_secret, provisioning_uri
from audit.models import AuditEntry
from core.errors import Conflict
from tests.accounts.authenticators import (
    CONFIRM,
    PASSWORD,
    SECRET,
    SET_UP,
    enrol,
    give_password,
    secret_on,
)
from tests.concurrency import at_the_same_time, queued_at
from tests.factories import staff


def verbs():
    return set(AuditEntry.objects.across_tenants().values_list("verb", flat=True))


def test_an_app_is_set_up_once_a_code_of_it_was_shown(client, operator, clock):
    client.force_login(operator)
    page = client.get(SET_UP)
    secret = secret_on(page)
    assert 'src="data:image/svg+xml' in page.content.decode()
    assert client.get(SET_UP).context["secret"] == page.context["secret"]  # a reload changes nothing
    assert client.post(SET_UP, {"code": "000000"}).status_code == 400
    assert not SecondFactor.objects.exists()
    done = client.post(SET_UP, {"code": clock.code(secret=secret)})
    assert len(done.context["codes"]) == 10
    assert "no-store" in done["Cache-Control"]
    assert Session.objects.get(user=operator).has_second_factor
    assert "second_factor.enrolled" in verbs()


def test_no_secret_and_no_recovery_code_is_stored_in_the_clear(operator, clock):
    codes = enrol(operator, clock)
    factor = SecondFactor.objects.get()
    assert SECRET not in bytes(factor.secret)
    assert not RecoveryCode.objects.filter(digest__in=codes).exists()
    session = Client()
    session.force_login(operator)
    assert AuditEntry.objects.across_tenants().filter(details__icontains=codes[0]).count() == 0


def test_after_the_password_nobody_is_signed_in_before_the_code(operator, clock):
    enrol(operator, clock)
    browser, answer = give_password(operator)
    assert answer["Location"] == CONFIRM
    assert browser.get("/admin/").status_code == 302
    assert "_auth_user_id" not in browser.session
    answer = browser.post(CONFIRM, {"code": clock.code()})
    assert answer["Location"] == "/"
    assert browser.get("/admin/").status_code == 200
    assert Session.objects.get(user=operator).has_second_factor
    line = AuditEntry.objects.across_tenants().get(verb="person.signed_in")
    assert line.details["second_factor"] is True


def test_the_way_that_was_wanted_is_taken_after_the_code(operator, clock):
    enrol(operator, clock)
    browser = Client()
    browser.post(
        "/login/", {"username": operator.email, "password": PASSWORD, "next": "/admin/accounts/user/"}
    )
    assert browser.post(CONFIRM, {"code": clock.code()})["Location"] == "/admin/accounts/user/"


def test_a_code_works_once(operator, clock):
    enrol(operator, clock)
    code = clock.code()
    assert check_code(operator, code).is_right
    assert not check_code(operator, code).is_right
    assert not check_code(operator, clock.code(-1)).is_right  # nor one before it
    clock()
    assert check_code(operator, clock.code()).is_right


def test_two_who_set_up_at_once_do_not_replace_each_other(operator, clock):
    """A page opened before there was an authenticator is no way around showing it a code."""
    enrol(operator, clock)
    with pytest.raises(Conflict, match="in the meantime"):
        enrol_authenticator(operator, SECRET, clock.code())
    assert check_code(operator, clock.code()).is_right


def test_the_code_that_set_the_app_up_does_not_sign_in(operator, clock):
    code = clock.code()
    enrol_authenticator(operator, SECRET, code)
    assert not check_code(operator, code).is_right


@pytest.mark.parametrize(("steps", "is_right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_clocks_may_differ_by_half_a_minute(operator, clock, steps, is_right):
    enrol(operator, clock)
    clock(120)
    assert check_code(operator, clock.code(steps)).is_right is is_right


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "-12345", "0" * 40])
def test_nonsense_is_no_code(operator, clock, code):
    enrol(operator, clock)
    assert not check_code(operator, code).is_right


def test_wrong_codes_make_the_next_wait_longer_and_longer(operator, clock):
    enrol(operator, clock)
    waits = []
    for _ in range(14):
        verdict = check_code(operator, "000000")
        waits.append(round((verdict.wait_until - now()).total_seconds()) if verdict.wait_until else 0)
        SecondFactor.objects.update(refused_until=None)
    assert waits[:5] == [0, 0, 2, 4, 8]
    assert waits[-1] == 900


def test_while_one_waits_even_the_right_code_is_not_looked_at(operator, clock):
    enrol(operator, clock)
    for _ in range(3):
        check_code(operator, "000000")
    verdict = check_code(operator, clock.code())
    assert (verdict.is_right, verdict.was_looked_at) == (False, False)
    browser, _ = give_password(operator)
    page = browser.post(CONFIRM, {"code": clock.code()})
    assert page.status_code == 400
    assert "Wait until" in page.content.decode()
    SecondFactor.objects.update(refused_until=now() - timedelta(seconds=1))
    assert check_code(operator, clock.code()).is_right
    assert SecondFactor.objects.get().failures == 0


@pytest.mark.django_db(transaction=True)
def test_one_code_at_the_same_time_in_two_browsers_opens_one(clock):
    person = staff("operator")
    enrol(person, clock)
    code = clock.code()
    outcomes = at_the_same_time(*[lambda: str(check_code(person, code).is_right)] * 2)
    assert sorted(outcomes) == ["False", "True"]


def test_a_recovery_code_stands_in_once_however_it_is_typed(operator, clock):
    first, second, *_ = enrol(operator, clock)
    browser, _ = give_password(operator)
    page = browser.post(CONFIRM, {"code": first.upper().replace("-", " ")}, follow=True)
    assert "recovery code" in page.content.decode()
    assert Session.objects.get(user=operator).has_second_factor
    assert not check_code(operator, first).is_right
    assert check_code(operator, second).is_right
    assert "second_factor.recovery_code_used" in verbs()


def test_new_recovery_codes_void_the_old(client, operator, clock):
    old = enrol(operator, clock)
    browser, _ = give_password(operator)
    browser.post(CONFIRM, {"code": clock.code()})
    assert browser.get("/account/second-factor/codes/").status_code == 200
    new = browser.post("/account/second-factor/codes/").context["codes"]
    assert not check_code(operator, old[0]).is_right
    assert check_code(operator, new[0]).is_right


def test_the_half_way_ends_after_five_minutes_and_with_a_new_password(operator, clock):
    enrol(operator, clock)
    browser, _ = give_password(operator)
    with mock.patch("accounts.views.half_signed_in.time", SimpleNamespace(time=lambda: time.time() + 301)):
        assert browser.post(CONFIRM, {"code": clock.code()})["Location"].startswith("/login/")
    browser, _ = give_password(operator)
    operator.set_password("another one altogether")
    operator.save()
    assert browser.post(CONFIRM, {"code": clock.code()})["Location"].startswith("/login/")
    assert "_auth_user_id" not in browser.session


@pytest.mark.django_db(transaction=True)
def test_a_session_that_is_ended_while_it_gets_its_factor_stays_ended(clock):
    """The request has read the session before, and would go on under another key."""
    operator = staff("operator")
    enrol(operator, clock)
    browser = Client()
    browser.force_login(operator)
    (answer,) = queued_at(
        SecondFactor.objects.all(),
        lambda: browser.post(CONFIRM, {"code": clock.code()}),
        meanwhile=lambda: sign_out_everywhere(operator),
    )
    assert answer.status_code == 400
    assert not Session.objects.filter(user=operator).exists()
    assert browser.get("/admin/").status_code == 302


def test_who_came_by_a_link_with_passwords_off_stays_after_the_code(db, clock, settings):
    settings.LOCAL_ACCOUNTS = False
    chief, token = create_administrator("chief@example.com", reason="the provider is away")
    enrol(chief, clock)
    browser = Client()
    assert browser.post(reverse("administrator-link", args=[token]))["Location"] == CONFIRM
    assert browser.post(CONFIRM, {"code": clock.code()})["Location"] == "/"
    assert browser.get("/account/sessions/").status_code == 200


def test_a_session_without_the_factor_cannot_change_it(client, operator, clock):
    """Whoever holds an old password-only session cannot replace the authenticator."""
    enrol(operator, clock)
    client.force_login(operator)
    for page in (SET_UP, "/account/second-factor/codes/", "/account/second-factor/off/"):
        for method in (client.get, client.post):
            assert method(page)["Location"].startswith(CONFIRM), page
    assert SecondFactor.objects.count() == 1
    client.post(CONFIRM, {"code": clock.code()})
    assert client.get(SET_UP).status_code == 200


def test_another_app_replaces_the_first(operator, clock):
    enrol(operator, clock)
    browser, _ = give_password(operator)
    browser.post(CONFIRM, {"code": clock.code()})
    other = secret_on(browser.get(SET_UP))
    clock()
    browser.post(SET_UP, {"code": clock.code(secret=other)})
    clock()
    assert not check_code(operator, clock.code()).is_right
    assert check_code(operator, clock.code(secret=other)).is_right


def test_whoever_need_not_have_one_turns_it_off(developer, clock):
    enrol(developer, clock)
    browser, _ = give_password(developer)
    browser.post(CONFIRM, {"code": clock.code()})
    browser.post("/account/second-factor/off/")
    assert not SecondFactor.objects.exists()
    assert not Session.objects.get(user=developer).has_second_factor
    assert give_password(developer)[1]["Location"] == "/"
    assert "second_factor.turned_off" in verbs()


def test_nobody_is_sent_elsewhere_after_the_code(operator, clock):
    enrol(operator, clock)
    browser = Client()
    browser.force_login(operator)
    answer = browser.post(f"{CONFIRM}?next=https://evil.example/", {"code": clock.code()})
    assert answer["Location"] == "/"


def test_another_operator_resets_a_lost_one_and_every_session_ends(client, operator, cost_reviewer, clock):
    enrol(cost_reviewer, clock)
    browser = Client()
    browser.force_login(cost_reviewer)
    client.force_login(operator)
    url = reverse("admin:accounts_user_reset", args=[cost_reviewer.pk])
    client.post(url, {"_form_submitted": "True", "reason": "Lost her phone; called back"})
    assert not SecondFactor.objects.exists()
    assert browser.get("/admin/").status_code == 302
    line = AuditEntry.objects.across_tenants().get(verb="second_factor.reset")
    assert (line.actor, line.reason) == (operator, "Lost her phone; called back")
    with pytest.raises(Conflict, match="no second factor"):
        reset_second_factor(cost_reviewer.pk, by=operator, reason="again")


def test_nobody_resets_their_own_or_that_of_somebody_above(operator, cost_reviewer, clock):
    chief = staff("operator", is_superuser=True)
    for person in (operator, chief):
        enrol(person, clock)
    for by, of in ((operator, operator), (operator, chief), (cost_reviewer, operator)):
        with pytest.raises(PermissionDenied):
            reset_second_factor(of.pk, by=by, reason="")
    assert SecondFactor.objects.count() == 2


def test_what_apps_scan_is_what_they_expect(operator):
    uri = provisioning_uri(operator, SECRET)
    assert uri.startswith("otpauth://totp/Quartermaster%3A")
    assert "secret=MEQHGZLDOJSXIIDPMYQGC3RAMFYHALRO" in uri
    assert len(new_secret()) == 20
