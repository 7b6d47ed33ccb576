"""Keys: prepare, claim, revoke."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from accounts.people import lock_person
from core.errors import Conflict
from core.secrets import digest, new_key_secret, visible_prefix
from core.stored_words import retold
from tenants.emergency import emergency_of
from tenants.models import ApiKey, Project, Tenant
from tenants.permissions import forget_permissions
from tenants.revision import raise_revision
from tenants.status import in_active_tenant, lock_tenant_shared
from tenants.suspension import lock_new_owner


@transaction.atomic
def prepare_api_key(
    project: Project, *, name: str, models: Iterable[str], created_for: User, expires_at: datetime | None
) -> ApiKey:
    """Create a key that waits to be claimed. It has no secret yet and opens nothing.

    Args:
        project: the project that owns the key.
        name: name of the key.
        models: public names of the models it may call.
        created_for: who requested it.
        expires_at: when it expires; None means never.
    """
    key = ApiKey.objects.create(
        tenant=project.tenant,
        project=project,
        name=name,
        model_names=sorted(models),
        created_for=created_for,
        owner=created_for,
        expires_at=expires_at,
        claim_by=now() + settings.KEY_CLAIM_WINDOW,
    )
    audit.record(
        "api_key.prepared", actor=None, subject=key, models=key.model_names, created_for=created_for.email
    )
    return key


def _require_claimable(by: User | None, key: ApiKey) -> None:
    """Raise Conflict, with what to do instead, unless `by` can still claim the key."""
    in_active_tenant(by, key)
    if key.state == ApiKey.State.ACTIVE:
        raise Conflict(
            _(
                "This key is already claimed, and its secret is shown only once. If you lost it, revoke the "
                "key and request a new one."
            ),
            code="already_claimed",
        )
    key.require_move(ApiKey.State.ACTIVE)
    if key.claim_by and key.claim_by <= now():
        raise Conflict(
            _("The time to claim this key has passed. Request access again."), code="claim_expired"
        )
    if key.expires_at and key.expires_at <= now():
        raise Conflict(_("This key expired before it was claimed. Request access again."), code="expired")
    if by is not None and key.suspended_at and key.owner_id == by.pk:
        raise Conflict(
            _("This key is suspended: %(reason)s") % {"reason": retold(key.suspended_reason)},
            code="key_suspended",
        )


@action(ApiKey, permission="tenants.claim_key", on=lambda key: key.project, state=_require_claimable)
@transaction.atomic
def claim_api_key(pk: UUID | str, *, by: User, owner: UUID | str | None = None) -> tuple[ApiKey, str]:
    """Create the secret of a waiting key and return it with the key. The secret is not stored: show it now.

    Args:
        owner: id of a service account of the same tenant that becomes the key's owner. None means `by`; with emergency
            access a service account is required, because the key would outlive the access.

    Raises:
        ApiKey.DoesNotExist: `by` cannot see such a key.
        PermissionDenied: `by` may not claim keys here, or the service account may not hold them.
        ValidationError: the tenant has no such service account, or `by` has emergency access and names none.
        Conflict: it is already claimed or revoked, its claim date or its expiry has passed, it is suspended, or
            its tenant is not active.
    """
    found = ApiKey.objects.visible_to(by).select_related("tenant", "project").get(pk=pk)
    found.tenant = lock_tenant_shared(found.tenant)
    claim_api_key.require(by, found)
    if owner is None and emergency_of(by) is not None:
        raise ValidationError(
            {"owner": _("A key of yours would outlive the emergency access. Choose a service account.")}
        )
    lock_new_owner(by)
    holder = by if owner is None else _service_account(owner, found.tenant)
    if holder is not by:
        _require_may_hold(holder, found.project)
    key = ApiKey.objects.visible_to(by).select_for_update(of=("self",)).get(pk=pk)
    key.tenant, key.project = found.tenant, found.project
    # Check again: the key and its owner's permissions are locked now.
    claim_api_key.require(by, key)

    secret = new_key_secret()
    key.move_to(ApiKey.State.ACTIVE)
    key.prefix, key.digest = visible_prefix(secret), digest(secret)
    key.claimed_at, key.claimed_by, key.owner = now(), by, holder
    # The suspension was about another person's lost access.
    key.suspended_at, key.suspended_reason = None, ""
    key.save()

    said: dict[str, Any] = {} if holder is by else {"owner": holder.email}
    audit.record("api_key.claimed", actor=by, subject=key, prefix=key.prefix, **said)
    raise_revision(keys=[key.pk])
    return key, secret


@action(
    ApiKey,
    permission="tenants.revoke_key",
    on=lambda key: key.project,
    state=lambda by, key: key.require_move(ApiKey.State.REVOKED),
)
@transaction.atomic
def revoke_api_key(pk: UUID | str, *, by: User, reason: str = "") -> ApiKey:
    """Revoke a key permanently. Gateways reject it as soon as they have read the new revision.

    Raises:
        ApiKey.DoesNotExist: `by` cannot see such a key.
        PermissionDenied: `by` may not revoke keys here.
        Conflict: it is already revoked.
    """
    key = ApiKey.objects.visible_to(by).select_for_update(of=("self",)).get(pk=pk)
    revoke_api_key.require(by, key)
    stop_key(key, actor=by, reason=reason)
    raise_revision(keys=[key.pk])
    return key


def hand_over_key(key: ApiKey, former: str, to: User, *, actor: User | None) -> None:
    """Transfer a key that the caller has locked to a new owner. It keeps working. The caller raises the revision.

    A suspension ends, because it was about the access that the former owner lost.

    Args:
        key: the key, with its row locked.
        former: what the audit log calls the former owner: an address, or the pseudonym of the erased.
        to: an active member who may hold it; the caller has checked this.
        actor: who does it; None means the platform.
    """
    key.owner = to
    if key.state == ApiKey.State.CLAIMABLE:
        key.created_for = to
    key.suspended_at, key.suspended_reason = None, ""
    key.save(update_fields=["owner", "created_for", "suspended_at", "suspended_reason"])
    change = {"owner": (former, to.email)}
    audit.record("api_key.handed_over", actor=actor, subject=key, prefix=key.prefix, changes=change)


def extend_key(key: ApiKey, expires_at: datetime) -> None:
    """Let a key expire no earlier than `expires_at`. The caller has locked it, and raises the revision."""
    if key.expires_at is None or key.expires_at >= expires_at:
        return
    changes = {"expires_at": (key.expires_at, expires_at)}
    key.expires_at = expires_at
    key.save(update_fields=["expires_at"])
    audit.record("api_key.extended", actor=None, subject=key, prefix=key.prefix, changes=changes)


def set_key_models(key: ApiKey, names: Iterable[str], *, actor: User | None, reason: str = "") -> None:
    """Change which models a key names. The caller raises the revision.

    Args:
        key: the key, with its row locked.
        names: public names of the models.
        actor: who does it; None means the platform.
        reason: for the audit log.
    """
    before, key.model_names = key.model_names, sorted(names)
    key.save(update_fields=["model_names"])
    changes = {"models": (before, key.model_names)}
    audit.record(
        "api_key.models_changed",
        actor=actor,
        subject=key,
        prefix=key.prefix,
        changes=changes,
        reason=reason,
    )


def stop_key(key: ApiKey, *, actor: User | None, reason: str = "") -> None:
    """Revoke a key that the caller has locked. The caller raises the revision, once for all keys.

    Raises Conflict if it is already revoked.
    """
    key.move_to(ApiKey.State.REVOKED)
    key.revoked_at = now()
    key.save(update_fields=["state", "revoked_at"])
    audit.record("api_key.revoked", actor=actor, subject=key, prefix=key.prefix, reason=reason)


def _require_may_hold(account: User, project: Project) -> None:
    """Lock a service account until commit. Raise PermissionDenied unless it may hold keys of `project`."""
    is_active = lock_person(account)
    forget_permissions(account)
    if not is_active or not account.has_perm("tenants.claim_key", project):
        words = {"account": account, "project": project}
        raise PermissionDenied(
            _(
                "%(account)s may not hold keys of %(project)s. Choose another account, or give it a role that may."
            )
            % words
        )


def _service_account(pk: UUID | str, tenant: Tenant) -> User:
    try:
        return User.objects.get(pk=pk, service_of=tenant, is_active=True)
    except (User.DoesNotExist, ValidationError, ValueError) as error:
        raise ValidationError({"owner": _("Choose an active service account of this tenant.")}) from error
