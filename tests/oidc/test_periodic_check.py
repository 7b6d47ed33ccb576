"""Every few minutes the provider is asked whether it still vouches for each person, and with which groups."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.utils.timezone import now

from accounts.models import Session, User
from audit.models import AuditEntry
from directory.group_mappings import apply_group_mappings
from directory.models import FederatedIdentity, GroupMapping
from directory.oidc import checks, tasks, token_encryption
from directory.oidc.checks import check_identities, check_identity, claim_due_identities
from tenants.actions.tokens import issue_personal_access_token
from tenants.models import ApiKey, Membership, PersonalAccessToken
from tenants.revision import current_revision
from tests.factories import ApiKeyFactory

pytestmark = pytest.mark.django_db


def make_due():
    FederatedIdentity.objects.update(checked_at=now() - timedelta(minutes=16), claimed_at=None)


def check_now():
    """One minute of the clock, a quarter of an hour after the last check."""
    make_due()
    check_identities(claim_due_identities())


@pytest.fixture
def ana(client, provider, sign_in, lab, project):
    """Ana is a developer of the lab by her group, with a key and a token."""
    GroupMapping.objects.create(group="writers", tenant=lab, role="developer")
    provider.user("ana", groups=["writers"])
    sign_in("ana")
    user = User.objects.get(email="ana@example.com")
    user.key = ApiKeyFactory(tenant=lab, project=project, owner=user)
    user.token, user.secret = issue_personal_access_token(user, name="t", life=timedelta(days=1))
    provider.heard()
    return user


def usable(user):
    return (
        ApiKey.objects.across_tenants().usable().filter(pk=user.key.pk).exists(),
        PersonalAccessToken.objects.filter(pk=user.token.pk, suspended_at=None).exists(),
    )


def role_of(user, tenant):
    return Membership.objects.in_tenant(tenant).filter(user=user).values_list("role", flat=True).first()


def test_whoever_left_their_group_loses_role_key_and_token_at_the_check(provider, ana, lab, client):
    assert usable(ana) == (True, True)
    provider.user("ana", groups=[])
    revision = current_revision()
    check_now()
    assert role_of(ana, lab) is None
    assert usable(ana) == (False, False)
    assert current_revision() > revision
    assert client.get("/t/lab/").status_code == 404
    assert (
        client.get("/api/v1/tenants/", headers={"Authorization": f"Bearer {ana.secret}"}).status_code == 401
    )
    assert AuditEntry.objects.across_tenants().get(verb="identity.groups_changed", details__left=["writers"])


def test_whoever_left_their_group_loses_it_at_the_next_sign_in(provider, ana, lab, sign_in):
    provider.user("ana", groups=[])
    sign_in("ana")
    assert role_of(ana, lab) is None
    assert usable(ana) == (False, False)


def test_whoever_joins_a_group_has_its_role_after_the_check(provider, ana, lab):
    GroupMapping.objects.create(group="bosses", tenant=lab, role="admin")
    provider.user("ana", groups=["writers", "bosses"])
    check_now()
    assert role_of(ana, lab) == "admin"


def test_nothing_changed_changes_nothing(provider, ana, lab):
    before = AuditEntry.objects.across_tenants().count()
    check_now()
    assert AuditEntry.objects.across_tenants().count() == before
    assert FederatedIdentity.objects.get().checked_at > now() - timedelta(minutes=1)


def test_nobody_is_asked_about_before_they_are_due(ana):
    assert claim_due_identities() == []


def test_whom_the_provider_disabled_is_out_and_their_keys_with_them(provider, ana, lab, client):
    provider.user("ana", groups=["writers"], disabled=True)
    check_now()
    assert not Session.objects.filter(user=ana).exists()
    assert client.get("/t/lab/").status_code == 302
    assert usable(ana) == (False, False)
    identity = FederatedIdentity.objects.get()
    assert identity.refused_at is not None
    assert identity.refresh_token is None
    assert AuditEntry.objects.across_tenants().filter(verb="identity.refused").count() == 1
    assert claim_due_identities() == []


def test_what_was_suspended_comes_back_when_they_sign_in_again(provider, ana, lab, sign_in):
    provider.user("ana", groups=["writers"], disabled=True)
    check_now()
    provider.user("ana", groups=["writers"])
    sign_in("ana")
    assert usable(ana) == (True, True)
    assert FederatedIdentity.objects.get().refused_at is None


def test_a_mapping_gives_nothing_back_to_whom_the_provider_refuses(provider, ana, lab):
    provider.user("ana", groups=["writers"], disabled=True)
    check_now()

    GroupMapping.objects.filter(tenant=lab).update(role="admin")
    apply_group_mappings(ana, reason="a stronger role")
    assert role_of(ana, lab) == "admin"
    assert usable(ana) == (False, False)


@pytest.mark.parametrize("mode", ["away", "broken"])
def test_a_provider_that_is_down_changes_nothing(provider, ana, lab, mode):
    provider.tell("mode", mode)
    make_due()
    claimed = claim_due_identities()
    check_identities(claimed)
    assert role_of(ana, lab) == "developer"
    assert usable(ana) == (True, True)
    assert Session.objects.filter(user=ana).exists()
    assert claim_due_identities() == claimed, "they are due again"


def test_one_refusal_to_answer_stops_the_batch(provider, sign_in, client):
    for name in ("ana", "ben", "cem"):
        provider.user(name)
        sign_in(name)
    provider.tell("mode", "broken")
    provider.heard()
    check_now()
    assert provider.heard() == ["POST /token"]


def test_a_row_that_fails_keeps_nobody_else_from_being_checked(provider, sign_in, monkeypatch):
    for name in ("ana", "ben"):
        provider.user(name, groups=["old"])
        sign_in(name)
        provider.user(name, groups=["new"])
    make_due()
    first, second = claimed = claim_due_identities()

    def fail_for_the_first(pk):
        if pk == first:
            raise RuntimeError("a row that nobody foresaw")
        check_identity(pk)

    monkeypatch.setattr(checks, "check_identity", fail_for_the_first)
    check_identities(claimed)
    assert FederatedIdentity.objects.get(pk=second).groups == ["new"]
    assert FederatedIdentity.objects.get(pk=first).groups == ["old"]


def test_a_batch_whose_time_is_up_gives_the_rest_back(provider, sign_in, monkeypatch):
    """Else it would go on past its claims, and a second worker use the same refresh tokens."""
    for name in ("ana", "ben"):
        provider.user(name)
        sign_in(name)
    make_due()
    claimed = claim_due_identities()
    asked = []

    def time_is_up(pk):
        asked.append(pk)
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(checks, "check_identity", time_is_up)
    check_identities(claimed)
    assert asked == claimed[:1]
    assert sorted(claim_due_identities()) == sorted(claimed)


def test_refresh_tokens_are_used_once_and_the_next_one_kept(provider, ana):
    tokens = set()
    for _ in range(3):
        tokens.add(token_encryption.decrypt_token(FederatedIdentity.objects.get()))
        check_now()
        assert FederatedIdentity.objects.get().refused_at is None
    assert len(tokens) == 3


def test_each_identity_is_claimed_by_one_worker(ana):
    make_due()
    assert len(claim_due_identities()) == 1
    assert claim_due_identities() == []
    FederatedIdentity.objects.update(claimed_at=now() - timedelta(minutes=11))
    assert len(claim_due_identities()) == 1, "whoever claimed it is gone"


def test_refresh_tokens_lie_encrypted_and_bound_to_their_row(ana, settings, provider, sign_in):
    identity = FederatedIdentity.objects.get()
    token = token_encryption.decrypt_token(identity)
    assert token.encode() not in bytes(identity.refresh_token)
    provider.user("ben")
    sign_in("ben")
    other = FederatedIdentity.objects.get(subject="ben")
    other.refresh_token = identity.refresh_token
    assert token_encryption.decrypt_token(other) is None
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"
    assert token_encryption.decrypt_token(identity) == token
    settings.SECRET_KEY_FALLBACKS = []
    assert token_encryption.decrypt_token(identity) is None
    check_now()
    assert FederatedIdentity.objects.get(pk=identity.pk).refused_at is None


def test_the_clock_shares_out_what_is_due(provider, ana, lab, monkeypatch):
    provider.user("ana", groups=[])
    make_due()
    shared = []
    monkeypatch.setattr(tasks.check_identities, "delay", shared.append)
    tasks.check_due_identities()
    (claimed,) = shared
    tasks.check_identities(claimed)
    assert role_of(ana, lab) is None


def test_without_a_provider_the_clock_does_nothing(ana, settings):
    make_due()
    settings.OIDC_ISSUER = ""
    tasks.check_due_identities()
    assert FederatedIdentity.objects.get().claimed_at is None


def test_userinfo_about_somebody_else_changes_nothing(liar, come_back, lab):
    """A refreshed answer is compared with the identity, as the first one was."""
    GroupMapping.objects.create(group="writers", tenant=lab, role="developer")
    liar.answers["/me"]["groups"] = ["writers"]
    come_back()
    identity = FederatedIdentity.objects.get()
    identity.refresh_token = token_encryption.encrypt_token(identity, "r")
    identity.save()
    liar.answers["/me"] |= {"sub": "somebody-else", "groups": []}
    check_now()
    assert role_of(identity.user, lab) == "developer"
    liar.answers["/me"]["sub"] = "eve"
    liar.give_tokens(liar.sign(liar.claims(sub="somebody-else")))
    check_now()
    assert role_of(identity.user, lab) == "developer"
    liar.give_tokens(liar.sign(liar.claims()))
    check_now()
    assert role_of(identity.user, lab) is None


def test_a_configuration_error_is_nobodys_fault(liar, come_back, lab):
    come_back()
    identity = FederatedIdentity.objects.get()
    identity.refresh_token = token_encryption.encrypt_token(identity, "r")
    identity.save()
    liar.answers["/token"] = (401, "application/json", {"error": "invalid_client"})
    check_now()
    assert FederatedIdentity.objects.get().refused_at is None
    assert Session.objects.filter(subject="eve").exists()


def test_a_refusal_of_an_older_sign_in_says_nothing_about_a_newer_one(provider, ana, sign_in):
    """The check of before was under way while Ana signed in again."""
    old = FederatedIdentity.objects.get()
    sign_in("ana")
    checks._refuse(old.pk, old.refresh_token, "invalid_grant")
    assert FederatedIdentity.objects.get().refused_at is None
    assert usable(ana) == (True, True)
