"""A provider's credential is encrypted, replaced with overlap, erased when it ends, and never readable again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils.timezone import now

from audit.models import AuditEntry
from core.encryption import CannotDecrypt
from core.errors import Conflict
from deployments.models import Provider, ProviderCredential
from deployments.provider_actions import (
    disable_provider,
)
from deployments.provider_credentials import (
    NewCredential,
    clean_credential,
    credentials_for_gateways,
    row_of,
)
from deployments.provider_rotation import (
    end_provider_credential,
    erase_ended_credentials,
    rotate_provider_credential,
)
from tenants.revision import current_revision
from tests.deployments.provider_cast import PROVIDERS, SECOND_KEY, as_user, stored, whole_answer
from tests.deployments.provider_stub import GOOD_KEY, WRONG_KEY, saying
from tests.factories import (
    ProviderFactory,
)

pytestmark = pytest.mark.django_db


def test_a_credential_is_encrypted_and_readable_by_gateways_alone(provider, operator):
    row = provider.credentials.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM deployments_providercredential")
        everything = str(
            [bytes(cell) if isinstance(cell, memoryview) else cell for cell in cursor.fetchone()]
        )
    assert GOOD_KEY not in everything
    assert GOOD_KEY[:12] not in str(vars(row)) + str(row) + row.label
    assert row.label == f"…GOOD ({row.fingerprint})"
    [found] = credentials_for_gateways(provider)
    assert (found.kind, found.value) == ("stored", GOOD_KEY)
    assert GOOD_KEY not in repr(found)
    assert GOOD_KEY not in repr(NewCredential(ProviderCredential.Kind.STORED, secret=GOOD_KEY))


def test_another_secret_key_reads_nothing(provider, settings):
    settings.SECRET_KEY = "another secret key of at least fifty characters, for this test alone"
    with pytest.raises(CannotDecrypt):
        credentials_for_gateways(provider)


@pytest.mark.parametrize("path", ["", "{pk}/", "{pk}/impact/"])
def test_no_answer_of_the_api_holds_a_credential(provider, operator, path):
    answer = as_user(operator).get(PROVIDERS + path.format(pk=provider.pk))
    assert answer.status_code == 200
    assert GOOD_KEY not in whole_answer(answer)
    assert "ciphertext" not in whole_answer(answer)


def test_a_short_credential_shows_no_end():
    assert row_of(Provider(), stored("short-key")).hint == ""


@pytest.mark.parametrize(
    ("kind", "secret", "reference"),
    [
        ("stored", "", ""),
        ("stored", "two words", ""),
        ("stored", "lines\r\nx: y", ""),
        ("stored", "x" * 4097, ""),
        ("stored", "secret", "also/a/file"),
        ("file", "", "../../proc/self/environ"),
        ("file", "", "/etc/shadow"),
        ("file", "", ""),
        ("environment", "", "GATEWAY_TOKEN"),
        ("environment", "", "SECRET_KEY"),
        ("environment", "secret", "PROVIDER_X"),
        ("vault", "", "x"),
    ],
)
def test_no_reference_names_another_secret_of_a_gateway(kind, secret, reference):
    with pytest.raises(ValidationError):
        clean_credential(kind, secret, reference)


def test_a_reference_is_handed_on_as_a_name(operator):
    provider = ProviderFactory()
    row = row_of(provider, clean_credential("file", "", "openai/key"))
    row.save()
    [found] = credentials_for_gateways(provider)
    assert (found.kind, found.value) == ("file", "openai/key")
    row.reference = "../key"
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save()


def test_rotation_overlaps_and_the_old_one_ends_by_itself(provider, upstream, operator):
    upstream.answer = saying(200, {"data": []})
    before = current_revision()
    rotate_provider_credential(provider.pk, stored(SECOND_KEY), 24, by=operator)
    assert current_revision() > before
    new, old = credentials_for_gateways(provider)
    assert (new.value, new.valid_until, old.value) == (SECOND_KEY, None, GOOD_KEY)
    assert timedelta(hours=23) < old.valid_until - now() < timedelta(hours=25)
    later = credentials_for_gateways(provider, at=now() + timedelta(hours=25))
    assert [one.value for one in later] == [SECOND_KEY]
    entry = AuditEntry.objects.across_tenants().get(verb="provider.credential_rotated")
    assert (entry.actor_label, entry.details["overlap_hours"]) == (operator.email, 24)


def test_a_new_credential_is_tested_before_it_is_in_force(provider, operator):
    with pytest.raises(ValidationError, match="rejects the credential"):
        rotate_provider_credential(provider.pk, stored(WRONG_KEY), 24, by=operator)
    with pytest.raises(ValidationError, match="in force already"):
        rotate_provider_credential(provider.pk, stored(GOOD_KEY), 24, by=operator)
    assert [one.value for one in credentials_for_gateways(provider)] == [GOOD_KEY]


def test_without_overlap_the_old_one_ends_at_once_and_is_erased(provider, operator):
    rotate_provider_credential(provider.pk, stored(SECOND_KEY), 0, by=operator, is_tested=False)
    old = provider.credentials.order_by("valid_from").first()
    assert (old.ciphertext, len(credentials_for_gateways(provider))) == (None, 1)


def test_the_old_one_can_be_ended_now_but_not_the_only_one(provider, operator):
    first = provider.credentials.get()
    with pytest.raises(Conflict, match="only credential in force"):
        end_provider_credential(first.pk, by=operator)
    rotate_provider_credential(provider.pk, stored(SECOND_KEY), 24, by=operator, is_tested=False)
    ended = end_provider_credential(first.pk, by=operator)
    assert ended.ciphertext is None
    assert len(credentials_for_gateways(provider)) == 1
    with pytest.raises(Conflict, match="already ended"):
        end_provider_credential(first.pk, by=operator)
    disable_provider(provider.pk, by=operator)
    end_provider_credential(provider.credentials.get(valid_until=None).pk, by=operator)
    assert credentials_for_gateways(provider) == []


def test_credentials_past_their_deadline_are_erased(provider):
    provider.credentials.update(valid_until=now() + timedelta(hours=1))
    assert erase_ended_credentials() == 0
    before = current_revision()
    ProviderCredential.objects.update(
        valid_from=now() - timedelta(hours=2), valid_until=now() - timedelta(seconds=1)
    )
    assert erase_ended_credentials() == 1
    assert provider.credentials.get().ciphertext is None
    # The configuration that gateways have, and the copy of it here, held it as well.
    assert current_revision() == before + 1
    assert erase_ended_credentials() == 0
    assert current_revision() == before + 1
