"""An account belongs to a subject of the provider; an e-mail address alone opens none."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied

from accounts.models import User
from audit.models import AuditEntry
from core.errors import Conflict
from directory.actions.identities import link_identity, unlink_identity
from directory.models import DirectoryPerson, FederatedIdentity
from directory.oidc.claims import read_person
from tenants.actions import create_service_account
from tests.concurrency import queued_at
from tests.factories import UserFactory, member_of

pytestmark = pytest.mark.django_db


def made_by_the_directory(email, **fields):
    user = User.objects.create_user(email, None, **fields)
    DirectoryPerson.objects.create(user=user)
    return user


def test_who_claims_the_address_of_somebody_here_does_not_get_their_account(client, provider, sign_in, lab):
    member_of(lab, "owner", email="olu@example.com")
    provider.user("mallory", email="olu@example.com")
    answer = sign_in("mallory")
    assert answer.status_code == 403
    assert "at the provider is mallory" in answer.content.decode()
    assert "_auth_user_id" not in client.session
    assert not FederatedIdentity.objects.exists()


def test_an_account_without_a_password_is_not_free_either(provider, sign_in):
    User.objects.create_user("olu@example.com", None)
    provider.user("mallory", email="olu@example.com")
    assert sign_in("mallory").status_code == 403


def test_the_account_that_the_directory_made_is_linked(client, provider, sign_in):
    user = made_by_the_directory("ana@example.com")
    provider.user("ana")
    assert sign_in("ana").status_code == 302
    assert client.session["_auth_user_id"] == str(user.pk)
    assert AuditEntry.objects.across_tenants().filter(verb="identity.linked").count() == 1


@pytest.mark.parametrize("fields", [{"password": "correct horse battery"}, {"is_superuser": True}])
def test_it_is_not_linked_once_it_could_be_somebody_elses(provider, sign_in, fields):
    password = fields.pop("password", None)
    user = made_by_the_directory("ana@example.com", **fields)
    if password:
        user.set_password(password)
        user.save()
    provider.user("mallory", email="ana@example.com")
    assert sign_in("mallory").status_code == 403


def test_a_second_subject_does_not_get_a_linked_account(provider, sign_in):
    made_by_the_directory("ana@example.com")
    provider.user("ana")
    sign_in("ana")
    provider.user("mallory", email="ana@example.com")
    assert sign_in("mallory").status_code == 403


def test_an_address_that_the_provider_has_not_verified_counts_for_nothing(provider, sign_in):
    made_by_the_directory("ana@example.com")
    provider.user("mallory", email="ana@example.com", verified=False)
    assert sign_in("mallory").status_code == 403
    provider.user("nobody", verified=False)
    answer = sign_in("nobody")
    assert answer.status_code == 403
    assert "verified" in answer.content.decode()
    assert User.objects.count() == 1


def test_an_address_that_only_looks_like_somebodys_counts_for_nothing():
    """The Kelvin sign is a "k" in small letters; mail to it goes to somebody else."""
    claims = {"iss": "https://issuer.example", "sub": "1", "email_verified": True}
    assert read_person(claims | {"email": "miKe@example.com".replace("K", "\u212a")}, {}).email == ""
    assert read_person(claims | {"email": "MIKE@bücher.example"}, {}).email == "mike@bücher.example"


def test_whoever_changes_their_address_keeps_their_account(client, provider, sign_in):
    provider.user("ana")
    sign_in("ana")
    user = User.objects.get()
    provider.user("ana", email="ana.adler@example.com", name="Ana Adler")
    sign_in("ana")
    user.refresh_from_db()
    assert (user.email, user.name) == ("ana.adler@example.com", "Ana Adler")
    line = AuditEntry.objects.across_tenants().get(verb="person.changed")
    assert line.changes["email"] == ["ana@example.com", "ana.adler@example.com"]
    assert line.changes["name"][1] == "Ana Adler"


def test_an_address_that_is_taken_is_not_taken_over(provider, sign_in):
    UserFactory(email="olu@example.com")
    provider.user("ana")
    sign_in("ana")
    provider.user("ana", email="olu@example.com")
    assert sign_in("ana").status_code == 302
    assert FederatedIdentity.objects.get().user.email == "ana@example.com"


def test_an_installation_may_make_no_accounts_at_sign_in(provider, sign_in, settings):
    settings.OIDC_CREATE_USER = False
    provider.user("ana")
    answer = sign_in("ana")
    assert answer.status_code == 403
    assert "invite" in answer.content.decode()
    assert not User.objects.exists()


def test_an_account_for_programs_is_nobodys_to_sign_in_to(provider, sign_in, lab):
    provider.user("ana")
    sign_in("ana")
    account = create_service_account(lab, name="Nightly", role="developer", by=member_of(lab, "owner"))
    FederatedIdentity.objects.update(user=account)
    assert sign_in("ana").status_code == 403


def test_a_superuser_links_and_unlinks_by_hand(client, provider, sign_in, lab, operator):
    olu = member_of(lab, "owner", email="olu@example.com")
    root = UserFactory(is_staff=True, is_superuser=True)
    with pytest.raises(PermissionDenied, match="superuser"):
        link_identity(olu, "olu-1", by=operator)
    identity = link_identity(olu, "olu-1", by=root)
    provider.user("olu-1", email="olu@example.com")
    sign_in("olu-1")
    assert client.session["_auth_user_id"] == str(olu.pk)
    unlink_identity(identity.pk, by=root)
    assert "_auth_user_id" not in client.session
    assert sign_in("olu-1").status_code == 403


@pytest.mark.django_db(transaction=True)
def test_of_two_superusers_who_link_one_account_at_once_one_is_told(settings):
    settings.OIDC_ISSUER = "https://issuer.example"
    root, olu = UserFactory(is_superuser=True), UserFactory()
    outcomes = queued_at(
        User.objects.filter(pk=olu.pk),
        lambda: link_identity(olu, "olu-1", by=root).subject,
        lambda: link_identity(olu, "olu-2", by=root).subject,
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 1
    assert FederatedIdentity.objects.filter(user=olu).count() == 1
