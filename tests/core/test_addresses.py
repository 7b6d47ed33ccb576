"""One rule reads e-mail addresses: what two programs would take for two people is refused, everywhere alike."""

from __future__ import annotations

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from accounts.actions import create_administrator
from accounts.models import User
from accounts.outbox.sending import send_mail_due
from core.addresses import AddressFormField, address_key, read_address, to_wire
from directory.actions.people import provision_person
from directory.oidc.claims import read_person
from directory.scope import PersonFacts
from tenants.actions import invite
from tenants.api.fields import AddressSerializerField
from tenants.models import Invitation
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"

ALIKE = [
    ("Kim@Example.COM", "kim@example.com"),
    ("  kim@example.com\n", "kim@example.com"),
    ("kim@xn--bcher-kva.example", "kim@bücher.example"),
    ("kim@XN--BCHER-KVA.example", "kim@bücher.example"),
    ("kim@BÜCHER.example", "kim@bücher.example"),
    ("kim@bu\u0308cher.example", "kim@bücher.example"),
    ("kim@faß.example", "kim@faß.example"),
    ("kim@xn--fa-hia.example", "kim@faß.example"),
    ("o'neil+tag@example.com", "o'neil+tag@example.com"),
    ("root@localhost", "root@localhost"),
]
REFUSED = [
    "\u212aim@example.com", "kim@\u212aelvin.example", "mi\u017fs@example.com", "k\u0131m@example.com",
    "\u0130@example.com", "kim@\u0130stanbul.example", "ｋim@example.com", "kim@ｅxample.com", "kim＠example.com",
    "kim@ﬁre.example", "kim@example。com", "kim@example．com", "k\u200bim@example.com", "kim@ex\u200bample.com",
    "kim@example.com\u200b", "\ufeffkim@example.com", "ki\u00adm@example.com", "kim@exam\u00adple.com",
    "\u202ekim@example.com", "kim@\u2066example.com", "ki\0m@example.com", "kim\n@example.com",
    "kim@example.com\nbcc: eve@example.com", "ki m@example.com", "kim@example.com.", "kim.@example.com",
    ".kim@example.com", "k..im@example.com", '"kim"@example.com', '"k m"@example.com', "kim@[127.0.0.1]",
    "kim@127.0.0.1", "kim@example", "kim@-example.com", "kim@example-.com", "kim@exa..mple.com", "kim@eve@example.com",
    "kim@xn--.example", "kim@xn--a.example", "müller@example.com", "a" * 65 + "@example.com",
    "kim@" + "a" * 64 + ".com", "k@" + ".".join(["abcdefgh"] * 30), "kim", "@example.com", "kim@", "@", "", " ",
    "\ud800@example.com", "kim@\ud800.com",
]  # fmt: skip


@pytest.mark.parametrize(("said", "read"), ALIKE)
def test_two_spellings_of_one_mailbox_are_one(said, read):
    assert read_address(said) == read
    assert read_address(read) == read
    assert read_person({"iss": "i", "sub": "1", "email": said}, {}).email == read
    assert AddressFormField().clean(said) == AddressSerializerField().run_validation(said) == read
    assert User.objects.create_user(said).email == read
    assert User.objects.get_by_natural_key(said) == User.objects.get(email=read)
    assert address_key(said) == read


@pytest.mark.parametrize("said", [*REFUSED, None, 5, True, ["kim@example.com"], {"email": "kim@example.com"}])
def test_what_is_no_address_is_none_wherever_it_comes_from(lab, owner, said):
    """Not by a single one of the ways in: each would let somebody else's mailbox open an account."""
    before = User.objects.count()
    assert read_person({"iss": "i", "sub": "1", "email": said}, {"email": said}).email == ""
    with pytest.raises(ValidationError):
        read_address(said)
    if not isinstance(said, str):
        return
    with pytest.raises(ValidationError):
        AddressFormField().clean(said)
    for action in (
        lambda: invite(lab, said, "viewer", by=owner),
        lambda: User.objects.create_user(said),
        lambda: create_administrator(said, reason="test"),
        lambda: provision_person(PersonFacts(said), directory="d"),
    ):
        with pytest.raises(ValidationError):
            action()
    with pytest.raises(User.DoesNotExist):
        User.objects.get_by_natural_key(said)
    with pytest.raises(CommandError):
        call_command("create_administrator", said)
    assert User.objects.count() == before
    assert not Invitation.objects.across_tenants().exists()


@pytest.mark.parametrize("said", ["\u212aim@example.com", "ｋim@example.com", "k\u200bim@example.com"])
def test_an_address_that_looks_like_somebodys_signs_nobody_in(client, said):
    UserFactory(email="kim@example.com")
    answer = client.post("/login/", {"username": said, "password": PASSWORD})
    assert answer.status_code == 200
    assert "_auth_user_id" not in client.session
    assert client.post("/login/", {"username": "KIM@example.com", "password": PASSWORD}).status_code == 302


def test_failures_count_for_one_address_however_it_is_spelled(client, settings):
    settings.AXES_FAILURE_LIMIT = 3
    UserFactory(email="kim@bücher.example")
    for said in ("kim@bücher.example", "KIM@xn--bcher-kva.example", "kim@BÜCHER.example"):
        client.post("/login/", {"username": said, "password": "wrong"})
    answer = client.post("/login/", {"username": "kim@bücher.example", "password": PASSWORD})
    assert answer.status_code == 429


@pytest.mark.parametrize("said", ["\0", "a\0b", "x" * 5000, "\u202e", "  "])
def test_no_text_for_an_address_breaks_the_page_of_signing_in(client, said):
    assert client.post("/login/", {"username": said, "password": "wrong"}).status_code in (200, 429)


@pytest.mark.parametrize(
    "stored",
    ["Kim@example.com", "\u212aim@example.com", "kim@ｅxample.com", "kim", "k im@example.com", "a@b@example.com",
     "kim@exam\u200bple.com", "kim@example.com\nx", '"k"@example.com'],
)  # fmt: skip
def test_the_database_keeps_no_other_form(stored):
    user = UserFactory()
    with pytest.raises(IntegrityError, match="user_email_is_address"), transaction.atomic():
        User.objects.filter(pk=user.pk).update(email=stored)


def test_a_directory_asks_for_people_by_the_same_rule(client, lab):
    from directory.scim.filters import USERS, CompareOperator

    kim = UserFactory(email="kim@bücher.example")
    column = USERS.columns["user_name", None]
    for said, found in (("KIM@xn--bcher-kva.example", [kim]), ("\u212aim@bücher.example", [])):
        assert list(User.objects.filter(column.compare(CompareOperator.eq, said))) == found


def test_mail_goes_to_the_domain_that_was_meant(lab, owner):
    """Django's own conversion makes "faß" to "fass", which is somebody else's domain."""
    invite(lab, "kim@faß.example", "viewer", by=owner)
    send_mail_due()
    assert mail.outbox[0].to == ["kim@xn--fa-hia.example"] == [to_wire("kim@faß.example")]


def test_programs_and_former_people_are_not_reached_by_mail(lab, owner):
    for said in ("x@lab.service.invalid", "X@lab.service.INVALID", "1@former.invalid"):
        assert read_person({"iss": "i", "sub": "1", "email": said}, {}).email == ""
        with pytest.raises(ValidationError, match="No mail"):
            invite(lab, said, "viewer", by=owner)
