"""Link people at the identity provider to accounts by hand, where a first sign-in may not do so."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from accounts.people import lock_person
from accounts.sessions import end_provider_sessions
from core.errors import Conflict
from directory import group_mappings
from directory.models import FederatedIdentity
from directory.stored_sentences import UNLINKED


def _superusers_only(by: User) -> None:
    if not by.is_superuser:
        raise PermissionDenied(_("Only a superuser can link accounts, because linking can open any account."))


@action(User, permission=_superusers_only)
@transaction.atomic
def link_identity(user: User, subject: str, *, by: User) -> FederatedIdentity:
    """Let the person whom the provider calls `subject` sign in to the account of `user`.

    Raises:
        PermissionDenied: `by` is not a superuser; linking accounts can open any account.
        ValidationError: no provider is configured, or `subject` is empty or too long.
        Conflict: the subject already has an account, or the account already has a subject.
    """
    link_identity.require(by, user)
    if not settings.OIDC_ISSUER:
        raise ValidationError(_("No identity provider is configured (OIDC_ISSUER)."))
    if user.is_service_account:
        raise ValidationError(_("A service account cannot sign in to pages."))
    identity = FederatedIdentity(user=user, issuer=settings.OIDC_ISSUER, subject=subject.strip())
    identity.clean_fields(exclude={"groups", "checked_at", "signed_in_at"})
    # Serializes two people who link the same account.
    lock_person(user)
    identities = FederatedIdentity.objects.filter(issuer=settings.OIDC_ISSUER)
    if identities.filter(Q(subject=identity.subject) | Q(user=user)).exists():
        raise _is_linked()
    try:
        with transaction.atomic():
            identity.save(force_insert=True)
    # The person with this subject signed in meanwhile.
    except IntegrityError as error:
        raise _is_linked() from error
    audit.record("identity.linked", actor=by, subject=identity, user=user.email)
    return identity


@action(FederatedIdentity, permission=_superusers_only)
@transaction.atomic
def unlink_identity(pk: UUID | str, *, by: User) -> None:
    """Unlink an account from its person at the provider, and end the sessions that the provider opened.

    Raises:
        FederatedIdentity.DoesNotExist: there is no such identity.
        PermissionDenied: `by` is not a superuser.
    """
    identity = FederatedIdentity.objects.select_for_update(of=("self",)).select_related("user").get(pk=pk)
    unlink_identity.require(by, identity)
    user = identity.user
    ended = end_provider_sessions(identity.issuer, subject=identity.subject)
    audit.record("identity.unlinked", actor=by, subject=identity, user=user.email, sessions=ended)
    identity.delete()
    group_mappings.apply_group_mappings(user, reason=UNLINKED())


def _is_linked() -> Conflict:
    return Conflict(_("This subject or this account is already linked. Unlink it first."))
