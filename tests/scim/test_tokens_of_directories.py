"""The directory's token: the only key to /scim/v2/, and to nothing else."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils.timezone import now

from accounts.models import User
from audit.models import AuditEntry
from core.errors import Conflict
from core.secrets import SCIM_TOKEN, looks_like
from directory.actions.scim_tokens import (
    confirm_scim_token,
    issue_scim_token,
    renew_scim_token,
    revoke_scim_token,
)
from directory.models import ScimToken
from tenants.actions import issue_personal_access_token
from tests.concurrency import queued_at
from tests.factories import staff
from tests.scim.conftest import ERROR, Directory

pytestmark = pytest.mark.django_db


@pytest.fixture
def colleague():
    """Another operator."""
    return staff("operator", name="Cora Colleague")


def refused(secret):
    answer = Client().get("/scim/v2/Users", headers={"Authorization": f"Bearer {secret}"} if secret else {})
    return answer.status_code == 401, answer.content


def test_a_token_is_shown_once_and_kept_as_a_digest(token):
    assert looks_like(SCIM_TOKEN, token.secret)
    row = ScimToken.objects.get()
    assert token.secret not in str(vars(row))
    assert row.prefix == token.secret[:9]
    line = AuditEntry.objects.across_tenants().get(verb="scim_token.issued")
    assert token.secret not in str(vars(line))


def test_whoever_has_no_good_token_gets_one_and_the_same_answer(token, operator):
    expired, expired_secret = issue_scim_token("Old", life=timedelta(days=1), by=None)
    ScimToken.objects.filter(pk=expired.pk).update(expires_at=now())
    revoked, revoked_secret = issue_scim_token("Revoked", life=timedelta(days=1), by=None)
    revoke_scim_token(revoked.pk, by=operator)
    _, personal = issue_personal_access_token(operator, name="mine", life=timedelta(days=1))
    garbage = token.secret[:-1] + ("a" if token.secret[-1] != "a" else "b")
    answers = {
        refused(secret)
        for secret in ("", "nonsense", expired_secret, revoked_secret, personal, garbage, "qms_\x00é")
    }
    assert len(answers) == 1
    (is_refused, content) = answers.pop()
    assert is_refused
    assert ERROR.encode() in content


def test_a_session_opens_nothing_here(client, operator, token):
    client.force_login(operator)
    assert client.get("/scim/v2/Users").status_code == 401
    assert client.post("/scim/v2/Users", {}, content_type="application/json").status_code == 401


def test_the_token_opens_nothing_else(token):
    bearer = {"Authorization": f"Bearer {token.secret}"}
    assert Client().get("/api/v1/keys/", headers=bearer).status_code == 401
    assert Client().get("/internal/v1/config", headers=bearer).status_code == 401
    assert Client().get("/admin/", headers=bearer).status_code == 302


def test_no_csrf_token_is_asked_for(token):
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/scim/v2/Users", {}, content_type="application/json", headers={
        "Authorization": f"Bearer {token.secret}"
    })  # fmt: skip
    assert answer.status_code == 400


def test_its_last_use_is_noted_at_most_once_a_minute(directory, token, django_assert_num_queries):
    directory.get("Users")
    token.refresh_from_db()
    seen = token.last_used_at
    assert seen is not None
    directory.get("Users")
    token.refresh_from_db()
    assert token.last_used_at == seen


def test_a_token_opens_nothing_until_a_second_person_confirms_it(operator, colleague):
    token, secret = issue_scim_token("Okta", life=timedelta(days=9), by=operator)
    assert Directory(secret).get("Users").status_code == 401
    with pytest.raises(PermissionDenied, match="someone else must confirm"):
        confirm_scim_token(token.pk, by=operator)
    confirm_scim_token(token.pk, by=colleague)
    assert Directory(secret).get("Users").status_code == 200
    with pytest.raises(Conflict, match="already confirmed"):
        confirm_scim_token(token.pk, by=colleague)
    issued, confirmed = (
        AuditEntry.objects.across_tenants().filter(verb__startswith="scim_token").order_by("pk")
    )
    assert (issued.actor, issued.details["waits_for_second_person"]) == (operator, True)
    assert (confirmed.actor, confirmed.details["made_by"]) == (colleague, operator.email)


def test_the_database_wants_two_as_well(operator, colleague):
    token, _ = issue_scim_token("Okta", life=timedelta(days=9), by=operator)
    row = ScimToken.objects.filter(pk=token.pk)
    for by in (operator, None):
        with pytest.raises(IntegrityError, match="scim_token_takes_two"), transaction.atomic():
            row.update(confirmed_at=now(), confirmed_by=by)
    with pytest.raises(IntegrityError, match="scim_token_takes_two"), transaction.atomic():
        row.update(confirmed_by=colleague)
    row.update(confirmed_at=now(), confirmed_by=colleague)


def test_an_administrator_alone_needs_nobody_and_beside_others_does():
    administrator = User.objects.create_superuser("root@example.com", "correct horse battery staple")
    _, alone = issue_scim_token("First", life=timedelta(days=9), by=administrator)
    User.objects.filter(pk__in=[staff("operator").pk]).update(is_active=False)
    staff("auditor")
    _, still_alone = issue_scim_token("Second", life=timedelta(days=9), by=administrator)
    staff("operator")
    _, beside = issue_scim_token("Third", life=timedelta(days=9), by=administrator)
    answers = [Directory(secret).get("Users").status_code for secret in (alone, still_alone, beside)]
    assert answers == [200, 200, 401]
    made_by = dict(ScimToken.objects.values_list("name", "made_by"))
    assert made_by == {"First": None, "Second": None, "Third": administrator.pk}


def test_an_operator_alone_waits(operator):
    _, secret = issue_scim_token("Okta", life=timedelta(days=9), by=operator)
    assert Directory(secret).get("Users").status_code == 401


def test_what_is_revoked_or_over_is_not_confirmed(operator, colleague):
    revoked, _ = issue_scim_token("Revoked", life=timedelta(days=9), by=operator)
    revoke_scim_token(revoked.pk, by=operator)
    over, _ = issue_scim_token("Over", life=timedelta(days=9), by=operator)
    ScimToken.objects.filter(pk=over.pk).update(expires_at=now())
    for token in (revoked, over):
        with pytest.raises(Conflict, match="has expired"):
            confirm_scim_token(token.pk, by=colleague)


@pytest.mark.django_db(transaction=True)
def test_two_who_confirm_at_once_confirm_once(operator, colleague):
    token, _ = issue_scim_token("Okta", life=timedelta(days=9), by=operator)
    row = ScimToken.objects.filter(pk=token.pk)
    third = staff("operator")
    actions = [partial(confirm_scim_token, token.pk, by=person) for person in (colleague, third)]
    outcomes = queued_at(row, *actions)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "ScimToken"]
    assert AuditEntry.objects.across_tenants().filter(verb="scim_token.confirmed").count() == 1


def test_renewing_changes_nothing_until_it_is_confirmed_and_then_leaves_a_day(
    directory, token, operator, colleague
):
    new, secret = renew_scim_token(token.pk, by=operator)
    before = token.expires_at
    token.refresh_from_db()
    assert (token.expires_at, Directory(secret).get("Users").status_code) == (before, 401)
    with pytest.raises(Conflict, match="needs a second person"):
        renew_scim_token(new.pk, by=colleague)
    confirm_scim_token(new.pk, by=colleague)
    assert directory.get("Users").status_code == 200
    assert Directory(secret).get("Users").status_code == 200
    token.refresh_from_db()
    assert timedelta(hours=23) < token.expires_at - now() <= timedelta(days=1)
    assert new.name == token.name
    assert new.expires_at - new.created_at >= timedelta(days=29)


def test_renewing_never_lengthens_the_life_of_the_old_one(token, operator, colleague):
    ScimToken.objects.filter(pk=token.pk).update(expires_at=now() + timedelta(minutes=5))
    new, _ = renew_scim_token(token.pk, by=operator)
    confirm_scim_token(new.pk, by=colleague)
    token.refresh_from_db()
    assert token.expires_at < now() + timedelta(minutes=6)


def test_revoking_works_on_the_next_request_and_once(directory, token, operator):
    assert directory.get("Users").status_code == 200
    revoke_scim_token(token.pk, by=operator)
    assert directory.get("Users").status_code == 401
    with pytest.raises(Conflict, match="already revoked"):
        revoke_scim_token(token.pk, by=operator)
    with pytest.raises(Conflict, match="Issue a new one"):
        renew_scim_token(token.pk, by=operator)


def issue(pk, *, by):
    return issue_scim_token("Another", life=timedelta(days=1), by=by)


@pytest.mark.parametrize("action", [issue, confirm_scim_token, renew_scim_token, revoke_scim_token])
def test_only_operators_handle_tokens(action, token, owner, finance, controller):
    for person in (owner, finance, controller):
        with pytest.raises(PermissionDenied, match="directory's tokens"):
            action(token.pk, by=person)


@pytest.mark.parametrize("days", [0, -1, 366])
def test_a_token_lives_at_most_a_year(db, days):
    with pytest.raises(ValueError, match="at most a year"):
        issue_scim_token("X", life=timedelta(days=days), by=None)
