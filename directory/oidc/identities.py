"""Find the account of a person at the provider by (issuer, subject); link or create it at their first sign-in.

An e-mail address alone never opens an account. Otherwise anyone who could make the provider assert another person's
address would get that person's account.
"""

from __future__ import annotations

from django.conf import settings
from django.db import connection, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.models import User
from core.scope import platform_scope
from directory import group_mappings
from directory.models import FederatedIdentity
from directory.oidc.claims import ProviderPerson
from directory.oidc.errors import SignInRefused
from directory.oidc.token_encryption import encrypt_token
from directory.scope import entry_of
from directory.stored_sentences import SIGNED_IN
from tenants.models import Invitation
from tenants.suspension import restore_access


@transaction.atomic
def sign_in_person(person: ProviderPerson, *, refresh_token: str | None, is_renewal: bool) -> User:
    """Find, link or create the account of a person who has just signed in, and give it the roles of their groups.

    Renewing a session keeps the stored refresh token if the provider sends none, as many do.

    Raises SignInRefused, with a message, if the account is disabled or may not be linked. Safe to repeat.
    """
    with platform_scope("sign-in at the provider: whose tenants it concerns is not known before"):
        _advisory_lock(person)
        identity = (
            FederatedIdentity.objects.select_for_update(of=("self",))
            .select_related("user")
            .filter(issuer=person.issuer, subject=person.subject)
            .first()
        ) or _first_sign_in(person)
        user = identity.user
        if not user.is_active or user.erased_at is not None:
            raise SignInRefused(
                _("Your account here is disabled. Ask your platform team about it."),
                reason=f"user {user.pk} is disabled",
            )
        if user.is_service_account:
            raise SignInRefused(
                _("This is a service account. Service accounts cannot sign in to pages."),
                reason=f"user {user.pk} is a service account",
            )
        was_refused = identity.refused_at is not None
        identity.signed_in_at, identity.refused_at, identity.claimed_at = now(), None, None
        if refresh_token or not is_renewal:
            identity.refresh_token = encrypt_token(identity, refresh_token) if refresh_token else None
        note_groups(identity, person)
        group_mappings.apply_group_mappings(user, reason=SIGNED_IN())
        if was_refused:
            restore_access(user, tenant=None, by=None)
        # Last, because it locks the person, and tenants are locked before people.
        _follow_provider(user, person)
    return user


def note_groups(identity: FederatedIdentity, person: ProviderPerson) -> None:
    """Save the person's groups at the provider, and any other changed fields of the row."""
    before = set(identity.groups)
    if person.groups is not None:
        identity.groups = list(person.groups)
    identity.checked_at = now()
    identity.save()
    if gone_or_new := before ^ set(identity.groups):
        audit.record(
            "identity.groups_changed",
            actor=None,
            subject=identity,
            user=identity.user.email,
            joined=sorted(gone_or_new - before),
            left=sorted(gone_or_new & before),
        )


def _advisory_lock(person: ProviderPerson) -> None:
    """Lock until commit: first sign-ins of the same person, or to the same address, run one at a time."""
    with connection.cursor() as cursor:
        for name in sorted({f"identity:{person.issuer} {person.subject}", f"email:{person.email}"}):
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def _first_sign_in(person: ProviderPerson) -> FederatedIdentity:
    """Link the account that was created for this person, or create one."""
    if not person.email or not person.is_email_verified:
        raise SignInRefused(
            _(
                "The identity provider does not send your e-mail address, or has not verified it. Ask "
                "its administrators, then sign in again."
            ),
            reason="no verified e-mail address",
        )
    user = User.objects.filter(email=person.email).first()
    if user is not None:
        _check_made_for(user, person)
        verb = "identity.linked"
    elif settings.OIDC_CREATE_USER or _is_invited(person):
        user = User.objects.create_user(person.email, None, name=person.name)
        verb = "identity.created"
    else:
        raise SignInRefused(
            _("You have no account here. Ask an owner or admin of your tenant to invite you."),
            reason="no account, and OIDC_CREATE_ACCOUNTS is off",
        )
    identity = FederatedIdentity.objects.create(user=user, issuer=person.issuer, subject=person.subject)
    identity.user = user
    audit.record(verb, actor=user, subject=identity, user=user.email)
    return identity


def _is_invited(person: ProviderPerson) -> bool:
    """Whether an open invitation exists for this address. If so, the person gets an account and can accept it next."""
    return bool(Invitation.objects.across_tenants().acceptable().filter(email=person.email).exists())


def _check_made_for(user: User, person: ProviderPerson) -> None:
    """Raise SignInRefused unless the account was created for this person and is not in use.

    The directory or an invitation to this address created it, no person at this provider has it, no password opens
    it, and it is not a superuser's.
    """
    entry = entry_of(user)
    is_expected = (
        entry is not None and entry.removed_at is None
    ) or Invitation.objects.across_tenants().filter(accepted_by=user, email=user.email).exists()
    if (
        not is_expected
        or user.has_usable_password()
        or user.is_superuser
        or user.identities.filter(issuer=person.issuer).exists()
    ):
        raise SignInRefused(
            _(
                "An account with your e-mail address already exists, and it is not linked to the "
                "identity provider. Ask your platform team to link it. Your subject at the provider is "
                "%(subject)s."
            )
            % {"subject": person.subject},
            reason=f"user {user.pk} has the address and is not waiting to be linked",
        )


def _follow_provider(user: User, person: ProviderPerson) -> None:
    """Copy the name and the verified address from the provider, unless the directory (SCIM) manages the person."""
    if entry_of(user):
        return
    changed = {}
    if person.name and person.name != user.name:
        changed["name"] = (user.name, person.name)
        user.name = person.name
    if (
        person.email
        and person.is_email_verified
        and person.email != user.email
        and not User.objects.filter(email=person.email).exists()
    ):
        changed["email"] = (user.email, person.email)
        user.email = person.email
    if changed:
        user.save(update_fields=list(changed))
        audit.record("person.changed", actor=None, subject=user, provider=person.issuer, changes=changed)
