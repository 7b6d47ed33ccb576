"""Claiming a key: its secret is made then, shown once, and kept nowhere."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils.timezone import now

from audit.models import AuditEntry
from core.errors import Conflict
from core.secrets import digest, visible_prefix
from tenants.actions import claim_api_key, prepare_api_key, revoke_api_key
from tenants.models import ApiKey
from tests.concurrency import at_the_same_time
from tests.factories import member_of


@pytest.fixture
def waiting_key(project, developer):
    return prepare_api_key(
        project, name="letters", models=["glm-4.6"], created_for=developer, expires_at=None
    )


def everything_stored():
    """Every row of every table, as text."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        texts = []
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            texts += [row[0] for row in cursor.fetchall()]
    return "\n".join(texts)


def test_a_claimed_key_has_a_digest_and_its_secret_is_stored_nowhere(waiting_key, developer, capfd, caplog):
    assert (waiting_key.digest, waiting_key.prefix) == (None, "")
    key, secret = claim_api_key(waiting_key.pk, by=developer)
    assert (key.digest, key.prefix, key.claimed_by) == (digest(secret), visible_prefix(secret), developer)
    stored = everything_stored()
    assert key.prefix in stored
    assert secret not in stored
    assert secret[len(key.prefix) :] not in stored
    said = capfd.readouterr()
    assert secret not in said.out + said.err + caplog.text
    line = AuditEntry.objects.in_tenant(key.tenant).get(verb="api_key.claimed")
    assert line.details == {"prefix": key.prefix}


def test_a_key_is_claimed_once(waiting_key, developer, owner):
    claim_api_key(waiting_key.pk, by=developer)
    with pytest.raises(Conflict, match="already claimed"):
        claim_api_key(waiting_key.pk, by=owner)


@pytest.mark.django_db(transaction=True)
def test_two_who_claim_at_once_get_one_secret(waiting_key, developer, owner):
    outcomes = at_the_same_time(
        lambda: claim_api_key(waiting_key.pk, by=developer), lambda: claim_api_key(waiting_key.pk, by=owner)
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "tuple"]
    key, secret = next(outcome for outcome in outcomes if isinstance(outcome, tuple))
    assert ApiKey.objects.across_tenants().get(pk=key.pk).digest == digest(secret)


def test_who_may_not_claim_gets_nothing(waiting_key, lab, stranger):
    with pytest.raises(ApiKey.DoesNotExist):
        claim_api_key(waiting_key.pk, by=stranger)
    with pytest.raises(PermissionDenied, match="claim keys"):
        claim_api_key(waiting_key.pk, by=member_of(lab, "viewer"))


def test_a_key_is_not_claimed_after_its_date_or_its_revocation(waiting_key, developer):
    ApiKey.objects.across_tenants().filter(pk=waiting_key.pk).update(claim_by=now() - timedelta(seconds=1))
    with pytest.raises(Conflict, match="has passed"):
        claim_api_key(waiting_key.pk, by=developer)
    revoke_api_key(waiting_key.pk, by=developer)
    with pytest.raises(Conflict):
        claim_api_key(waiting_key.pk, by=developer)


def test_no_cache_keeps_the_pages_of_a_claim(client, waiting_key, developer):
    client.force_login(developer)
    page = f"/t/{waiting_key.tenant.slug}/keys/{waiting_key.pk}/claim/"
    for answer in (client.get(page), client.post(page)):
        assert "no-store" in answer.headers["Cache-Control"]
