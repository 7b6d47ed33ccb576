"""Check every OIDC_CHECK_MINUTES whether the provider still vouches for each person with a refresh token.

A person who left a group loses its roles in the same transaction. When the provider no longer vouches for a person,
their sessions end and their keys and tokens are suspended. A provider that does not answer changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.timezone import now

import audit
from accounts.sessions import end_provider_sessions
from core.scope import platform_scope
from directory import group_mappings
from directory.models import FederatedIdentity
from directory.oidc import tokens
from directory.oidc.claims import ProviderPerson, fetch_person
from directory.oidc.errors import GrantLost, ProviderMisbehaved, ProviderProblem
from directory.oidc.identities import note_groups
from directory.oidc.provider import current_provider
from directory.oidc.token_encryption import decrypt_token, encrypt_token
from directory.stored_sentences import NO_LONGER_ACCEPTED, PERIODIC_CHECK
from tenants.suspension import suspend_access

log = structlog.get_logger(__name__)

# One task asks about this many identities.
BATCH = 50
BATCHES_A_MINUTE = 200
# After this time another worker may ask, because the first one is gone.
CLAIM_LASTS = timedelta(minutes=10)
REASON_REFUSED = NO_LONGER_ACCEPTED()
REASON_CHECKED = PERIODIC_CHECK()


@transaction.atomic
def claim_due_identities(limit: int = BATCH) -> list[UUID]:
    """Claim the identities that are due, longest waiting first. Several workers claim different ones.

    Only one worker uses a refresh token at a time: a provider that sees an old token again revokes all of them.
    """
    due = FederatedIdentity.objects.filter(
        Q(checked_at=None) | Q(checked_at__lt=now() - timedelta(minutes=settings.OIDC_CHECK_MINUTES)),
        Q(claimed_at=None) | Q(claimed_at__lt=now() - CLAIM_LASTS),
        issuer=settings.OIDC_ISSUER,
        refresh_token__isnull=False,
        user__is_active=True,
    )
    claimed = list(
        due.order_by("checked_at")
        .select_for_update(skip_locked=True, of=("self",))
        .values_list("pk", flat=True)[:limit]
    )
    FederatedIdentity.objects.filter(pk__in=claimed).update(claimed_at=now())
    return claimed


def check_identities(claimed: Sequence[UUID]) -> None:
    """Ask the provider about claimed identities.

    If the provider does not answer or the task's time is up, stop and release the rest. Safe to repeat: identities
    that are no longer claimed are skipped.
    """
    for place, pk in enumerate(claimed):
        try:
            check_identity(pk)
        except (ProviderProblem, SoftTimeLimitExceeded) as stop:
            reason = stop.reason if isinstance(stop, ProviderProblem) else "the task's time is up"
            log.warning("oidc.check_stopped", reason=reason, left=len(claimed) - place)
            FederatedIdentity.objects.filter(pk__in=claimed[place:]).update(claimed_at=None)
            return
        # One failing row must not keep the others from being checked.
        except Exception:
            log.exception("oidc.check_failed", identity=str(pk))


def check_identity(pk: UUID) -> None:
    """Ask about one identity and apply the answer. Raises ProviderProblem if there is no trustworthy answer."""
    identity = (
        FederatedIdentity.objects.select_related("user").filter(pk=pk, claimed_at__isnull=False).first()
    )
    if identity is None:
        return
    ciphertext = identity.refresh_token
    token = decrypt_token(identity)
    if token is None:
        log.warning("oidc.refresh_token_unreadable", identity=str(pk))
        FederatedIdentity.objects.filter(pk=pk).update(refresh_token=None, claimed_at=None)
        return
    try:
        person = _ask_again(identity, token)
    except GrantLost as loss:
        _refuse(pk, ciphertext, loss.reason)
        return
    with platform_scope("periodic check: a person's groups give roles in any tenant"), transaction.atomic():
        current = _locked(pk)
        if current is None:
            return
        current.claimed_at = None
        note_groups(current, person)
        group_mappings.apply_group_mappings(current.user, reason=REASON_CHECKED)


def _ask_again(identity: FederatedIdentity, refresh_token: str) -> ProviderPerson:
    """Use the refresh token, and store the next one before anything else can fail."""
    answer = current_provider().ask_for_tokens(grant_type="refresh_token", refresh_token=refresh_token)
    if isinstance(rotated := answer.get("refresh_token"), str) and rotated != refresh_token:
        # Replace only the token that was used: a person who signed in meanwhile has a newer one.
        FederatedIdentity.objects.filter(pk=identity.pk, refresh_token=identity.refresh_token).update(
            refresh_token=encrypt_token(identity, rotated)
        )
    access_token = answer.get("access_token")
    if not isinstance(access_token, str):
        raise ProviderMisbehaved("the token endpoint gave no access_token")
    claims = {"iss": identity.issuer, "sub": identity.subject}
    if isinstance(id_token := answer.get("id_token"), str):
        try:
            claims = tokens.verify_id_token(id_token, nonce=None, access_token=access_token)
        except tokens.TokenRejected as rejection:
            raise ProviderMisbehaved(f"refreshed ID token: {rejection}") from rejection
        if claims["sub"] != identity.subject:
            raise ProviderMisbehaved("the refreshed ID token is about another subject")
    return fetch_person(claims, access_token)


def _refuse(pk: UUID, ciphertext: bytes | memoryview | None, reason: str) -> None:
    """The provider refused for good: end the sessions it opened, and suspend keys and tokens until the next sign-in."""

    with platform_scope("periodic check: the keys of a person may be in any tenant"), transaction.atomic():
        identity = _locked(pk)
        if identity is None or bytes(identity.refresh_token or b"") != bytes(ciphertext or b""):
            # The person has signed in again meanwhile, so the old refusal no longer applies.
            return
        user = identity.user
        ended = end_provider_sessions(identity.issuer, subject=identity.subject)
        audit.record(
            "identity.refused", actor=None, subject=identity, user=user.email, sessions=ended, reason=reason
        )
        suspend_access(user, tenant=None, reason=REASON_REFUSED, by=None)
        identity.refresh_token, identity.claimed_at = None, None
        identity.refused_at = identity.checked_at = now()
        identity.save()
    log.warning("oidc.identity_refused", identity=str(pk), sessions=ended)


def _locked(pk: UUID) -> FederatedIdentity | None:
    """The identity, locked until commit against a concurrent sign-in."""
    return (
        FederatedIdentity.objects.select_for_update(of=("self",)).select_related("user").filter(pk=pk).first()
    )
