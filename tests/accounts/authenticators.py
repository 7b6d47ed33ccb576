"""An authenticator app of the tests' own, and signing in with a password and its code."""

from __future__ import annotations

import re
import time
from base64 import b32decode
from types import SimpleNamespace
from unittest import mock

import pytest
from django.test import Client
from django_otp.oath import TOTP

from accounts.actions import enrol_authenticator

PASSWORD = "correct horse battery staple"
SECRET = b"a secret of an app.."
CONFIRM, SET_UP = "/login/code/", "/account/second-factor/set-up/"


@pytest.fixture
def clock():
    """The time that codes are made of; move it by half a minute with `clock()`."""
    at = [time.time()]

    def move(seconds=30):
        at[0] += seconds

    def code(steps=0, secret=SECRET):
        app = TOTP(secret, drift=steps)
        app.time = at[0]
        return f"{app.token():06}"

    move.code = code
    with mock.patch("accounts.second_factor.time", SimpleNamespace(time=lambda: at[0])):
        yield move


def enrol(person, clock):
    """`person` with an authenticator whose next code is unused; returns the recovery codes."""
    codes = enrol_authenticator(person, SECRET, clock.code())
    clock()
    return codes


def give_password(person, **options):
    browser = Client(**options)
    return browser, browser.post("/login/", {"username": person.email, "password": PASSWORD})


def secret_on(page):
    return b32decode(re.search(r'id="secret">([A-Z2-7 ]+)<', page.content.decode())[1].replace(" ", ""))
