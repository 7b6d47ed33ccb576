"""Export and erase what is held about a person (GDPR, articles 15 and 17; docs/audit.md).

A person's row stays under a pseudonym, because costs and actions refer to it. An erasure deletes what belongs to the
person, replaces what names them in the audit log, and leaves what others did with them as it was.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from django.apps import apps
from django.core import signing
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models, transaction
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

import audit
from accounts.declared import action
from accounts.models import OutboxMessage, User
from accounts.people import lock_people
from audit.models import AuditEntry
from audit.redaction import Found, Person, entries_about, erase_from_audit_log, look_for
from core.errors import Conflict
from core.leaks import NAMES
from core.scope import platform_scope
from tenants.actions.keys import hand_over_key, stop_key
from tenants.actions.owned import hand_over_account
from tenants.actions.service_accounts import stop
from tenants.actions.tokens import revoke_tokens_issued_by
from tenants.models import ApiKey, Invitation, Membership, Tenant
from tenants.revision import raise_revision
from tenants.roles import Role
from tenants.signals import person_erased
from tenants.stored_sentences import ANSWERABLE_HAS_LEFT, OWNER_IS_ERASED
from tenants.suspension import tokens_issued_by

log = structlog.get_logger(__name__)

# How long an erasure job may wait in the queue.
ORDER_LIFE: Final = timedelta(days=3)
_ORDER: Final = "tenants.erasure"
_EXPORT: Final = "export of what is held about a person"
# A batch of a table. For the audit log, it is a batch of `entries_about`.
ROWS_AT_A_TIME: Final = 500
# Fields that are secret or of no use to the person.
UNTOLD: Final = NAMES | {"session_data", "session_digest", "salt", "leaf_salts", "key", "tenants_within"}


@dataclass(frozen=True)
class Erased:
    """The result of an erasure."""

    token: str
    entries: int
    memberships: int
    keys_revoked: int
    keys_handed_over: int


@action(User, permission="accounts.erase_person")
def export_person(user: User, *, by: User | None) -> Iterator[tuple[str, Any]]:
    """All that is held about `user`, across tenants: (kind, rows) pairs, long kinds and the audit log in batches.

    The export has the rows of every table in any app that refers to the person, without secrets. The action is
    recorded at once. Rows are read only when the caller asks for the next batch. `by` None means the platform's
    operator at a shell.

    Raises PermissionDenied unless `by` may see what is held about people.
    """
    export_person.require(by, user)
    with platform_scope(_EXPORT):
        audit.record("person.exported", actor=by, subject=user)
    return _in_scope(_held_about(user))


def _in_scope(batches: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Read each batch in the platform's scope, and leave the scope between batches, while the answer is sent."""
    while True:
        with platform_scope(_EXPORT, is_routine=True):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _held_about(user: User) -> Iterator[tuple[str, Any]]:
    yield "person", _serialized(user)
    yield "invitations", [_serialized(one) for one in Invitation.unscoped.filter(email=user.email)]
    yield "messages", [_serialized(one) for one in OutboxMessage.objects.filter(address=user.email)]
    for relation in _relations():
        if relation.related_model is AuditEntry:
            continue
        kind = f"{relation.related_model._meta.label_lower}.{relation.field.name}"
        rows = relation.related_model._base_manager.filter(**{relation.field.name: user})
        one_by_one = rows.iterator(chunk_size=ROWS_AT_A_TIME)
        while some := list(islice(one_by_one, ROWS_AT_A_TIME)):
            yield kind, [_serialized(row) for row in some]
    for batch in entries_about(Person.of(user)):
        lines = AuditEntry.unscoped.filter(pk__in=[row.id for row in batch])
        yield "audit", [_serialized(line) for line in lines.order_by("pk")]


def _require_second_person(by: User, person: User) -> None:
    if by.pk == person.pk:
        raise PermissionDenied(_("You cannot erase yourself. Ask another operator, who can answer for it."))
    if person.is_superuser and not by.is_superuser:
        raise PermissionDenied(_("Only another administrator can erase an administrator."))


def _require_erasable(by: User | None, person: User) -> None:
    if person.erased_at is None and (obstacle := what_stands_against_erasing(person)):
        raise Conflict(obstacle)


@action(User, permission="accounts.erase_person", rule=_require_second_person, state=_require_erasable)
def erase_person(pk: UUID | str, *, by: User | None, reason: str, keys_to: User | None = None) -> Erased:
    """Erase a person: delete what belongs to them, and use a pseudonym in their row and in the audit log.

    Their memberships, sessions, identities, tokens and second factors are deleted. The keys they answer for go to
    `keys_to` if that is an active member who may hold them, and are revoked otherwise. The service accounts they
    answer for go to `keys_to` in the same way, or are disabled. Open invitations to their address are withdrawn, and
    the address is removed. The ledger does not change, and the audit log can still be verified. Safe to repeat: a
    person who is already erased stays as they are.

    Args:
        pk: id of the person.

    Raises:
        User.DoesNotExist: there is no such person.
        PermissionDenied: `by` may not erase people, or is the person; only a superuser can erase a superuser.
        Conflict: the person is the last owner of a tenant, or a service account.
        ValidationError: `reason`, which stays in the audit log, is missing or names the person.
    """
    with platform_scope("erasure of a person"):
        user = User.objects.get(pk=pk)
        erase_person.require(by, user)
        # Takes long, so it runs before any lock.
        found = look_for(Person.of(user)) if user.erased_at is None else None
        return _erase(pk, found, by=by, reason=reason, keys_to=keys_to)


@transaction.atomic
def _erase(
    pk: UUID | str, found: Found | None, *, by: User | None, reason: str, keys_to: User | None
) -> Erased:
    # Lock order: tenants, person. Two owners of a tenant cannot be erased at the same time.
    theirs = Membership.unscoped.filter(user_id=pk).values("tenant")
    list(Tenant.objects.select_for_update(no_key=True).filter(pk__in=theirs).order_by("pk"))
    # Lock people in the order of their ids, as every removal does.
    if keys_to is not None:
        lock_people([pk, keys_to.pk])
    user = User.objects.select_for_update().get(pk=pk)
    if user.erased_at is not None:
        return Erased(user.email.partition("@")[0], 0, 0, 0, 0)
    # Check again, because the last other owner may have left meanwhile.
    erase_person.require(by, user)
    check_reason(user, reason)
    person = Person.of(user)
    token = f"erased-{secrets.token_hex(6)}"
    keys = list(ApiKey.unscoped.filter(_keys_of(user)).values_list("pk", flat=True))
    handed, revoked = _let_keys_go(user, keys_to, token)
    memberships = Membership.unscoped.filter(user=user).count()
    for address in person.addresses:
        invitations = Invitation.unscoped.filter(email=address)
        invitations.filter(accepted_at=None, withdrawn_at=None).update(withdrawn_at=now())
        invitations.update(email=f"{token}@erased.invalid")
        _forget_attempts(address)
        OutboxMessage.objects.filter(address=address).delete()
    for relation in _relations():
        if relation.on_delete is models.CASCADE:
            relation.related_model._base_manager.filter(**{relation.field.name: user}).delete()
    revoke_tokens_issued_by(user, None, actor=by)
    _pseudonymise(user, token)
    entries = erase_from_audit_log(person, token=token, user=user, by=by, reason=reason, found=found)
    person_erased.send(User)
    # Last, because it raises the revision.
    _let_accounts_go(user, keys_to, token, by)
    audit.record(
        "person.erased",
        actor=by,
        subject=user,
        reason=reason,
        entries=entries,
        memberships=memberships,
        keys_revoked=revoked,
        keys_handed_over=handed,
    )
    raise_revision(keys=keys)
    log.info("person_erased", person=str(user.pk), entries=entries)
    return Erased(token, entries, memberships, revoked, handed)


def what_stands_against_erasing(user: User) -> str:
    """Why `user` cannot be erased now, in words; empty if nothing prevents it."""
    with platform_scope("what stands against erasing a person"):
        return _obstacle(user)


def _obstacle(user: User) -> str:
    if user.is_service_account:
        return "This is a service account, not a person. Owners of its tenant can remove it."
    owned = Membership.unscoped.filter(user=user, role=Role.OWNER).select_related("tenant")
    owned = owned.exclude(tenant__status=Tenant.Status.CLOSED)
    others = Membership.unscoped.filter(role=Role.OWNER, user__is_active=True).exclude(user=user)
    for membership in owned:
        if not others.filter(tenant=membership.tenant).exists():
            return f"They are the last owner of {membership.tenant}. Make someone else an owner first."
    return ""


def what_erasing_takes(user: User) -> list[tuple[Any, int]]:
    """What an erasure takes from a person, in words and numbers, to show before the erasure."""
    with platform_scope("what erasing a person takes"):
        keys = ApiKey.unscoped.filter(_keys_of(user)).exclude(state=ApiKey.State.REVOKED)
        return [
            (_("Memberships that end"), Membership.unscoped.filter(user=user).count()),
            (_("Keys that are transferred or revoked"), keys.count()),
            (_("Personal access tokens deleted"), user.tokens.count()),
            (
                _("Service account tokens that they issued and that are revoked"),
                tokens_issued_by(user).filter(revoked_at=None, expires_at__gt=now()).count(),
            ),
            (
                _("Service accounts that are transferred or disabled"),
                User.objects.filter(responsible=user, is_active=True).count(),
            ),
            (_("Sessions ended"), user.sessions.count()),
            (_("Sign-in identities deleted"), user.identities.count()),
        ]


def as_json(told: Iterator[tuple[str, Any]]) -> Iterator[bytes]:
    """The batches in `told` as one JSON object, in parts. Each part is one batch, made when it is needed.

    A truncated object is not valid JSON.
    """
    before = None
    for kind, rows in told:
        if isinstance(rows, dict):
            yield b"{" + orjson.dumps(kind) + b": " + orjson.dumps(rows)
        elif rows:
            start = (
                b"" if kind == before else (b"]" if before else b"") + b",\n" + orjson.dumps(kind) + b": ["
            )
            yield (
                start + (b",\n" if kind == before else b"\n") + b",\n".join(orjson.dumps(row) for row in rows)
            )
            before = kind
    yield b"]}\n" if before else b"}\n"


def check_reason(user: User, reason: str) -> None:
    """Raise ValidationError if `reason` is empty or names the person."""
    if not reason.strip():
        raise ValidationError({"reason": _("Give a reason, such as the number of the person's request.")})
    with platform_scope("whether a reason names a person"):
        if Person.of(user).is_named_in(reason):
            raise ValidationError(
                {"reason": _("Do not name the person: the reason stays after the erasure.")}
            )


def _keys_of(user: User) -> models.Q:
    return models.Q(owner=user) | models.Q(state=ApiKey.State.CLAIMABLE, created_for=user)


def _let_keys_go(user: User, keys_to: User | None, token: str) -> tuple[int, int]:
    """Transfer or revoke the person's keys; return how many of each. The entries use the pseudonym."""
    handed = revoked = 0
    new_owner = (
        User.objects.filter(pk=keys_to.pk, is_active=True).exclude(pk=user.pk).first() if keys_to else None
    )
    theirs = ApiKey.unscoped.filter(_keys_of(user)).exclude(state=ApiKey.State.REVOKED).order_by("pk")
    for key in theirs.select_related("project").select_for_update(of=("self",)):
        if new_owner is not None and _may_take_over(new_owner, key):
            hand_over_key(key, token, new_owner, actor=None)
            handed += 1
        else:
            stop_key(key, actor=None, reason=OWNER_IS_ERASED())
            revoked += 1
    return handed, revoked


def _let_accounts_go(user: User, new_owner: User | None, token: str, by: User | None) -> None:
    """Transfer or stop the service accounts that the person answers for, because the person may know their tokens."""
    theirs = User.objects.filter(responsible=user, is_active=True).select_related("service_of")
    accounts = list(theirs.select_for_update(of=("self",), no_key=True).order_by("pk"))
    list(ApiKey.unscoped.filter(owner__in=accounts).select_for_update(of=("self",)).order_by("pk"))
    if new_owner is not None and (new_owner.is_service_account or not new_owner.is_active):
        # Only an active person can answer for service accounts.
        new_owner = None
    for account in accounts:
        tenant = account.service_of
        # Only service accounts have a `responsible` person.
        assert tenant is not None
        if new_owner is not None and new_owner.memberships.filter(tenant=tenant).exists():
            hand_over_account(account, token, new_owner, actor=by)
        else:
            stop(account, tenant, reason=ANSWERABLE_HAS_LEFT(), actor=by)


def _may_take_over(new_owner: User, key: ApiKey) -> bool:
    """Whether `new_owner` is a member of the key's tenant, and their role may hold the key."""
    is_member = new_owner.memberships.filter(tenant=key.tenant_id).exists()
    return is_member and new_owner.has_perm("tenants.claim_key", key.project)


def _pseudonymise(user: User, token: str) -> None:
    user.email, user.name, user.external_id = f"{token}@erased.invalid", "", ""
    user.is_active = user.is_staff = user.is_superuser = False
    user.last_login, user.erased_at, user.muted = None, now(), []
    user.time_zone, user.digest_hour, user.has_chat = "", None, False
    user.set_unusable_password()
    user.__dict__.pop("staff_roles", None)
    user.save()


def _forget_attempts(email: str) -> None:
    """Delete the failed sign-ins with an address; they are stored by address, not by person."""
    if apps.is_installed("axes"):
        for model in apps.get_app_config("axes").get_models():
            if any(field.name == "username" for field in model._meta.concrete_fields):
                model._base_manager.filter(username=email).delete()


def _relations() -> list[Any]:
    """Every column of every app that refers to a person, including hidden ones and those of join tables."""
    return [
        field
        for field in User._meta.get_fields(include_hidden=True)
        if field.auto_created and (field.one_to_many or field.one_to_one)
    ]


def _serialized(row: models.Model) -> dict[str, Any]:
    return {
        field.attname: _serialized_value(getattr(row, field.attname))
        for field in row._meta.concrete_fields
        if field.name not in UNTOLD and not isinstance(field, models.BinaryField)
    }


def _serialized_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | str | dict):
        return value
    return [_serialized_value(inner) for inner in value] if isinstance(value, list) else str(value)


def sign_erasure_job(user: User, *, requested_by: User, reason: str, keys_to: User | None) -> str:
    """Sign an erasure job for the queue. Anyone with access to the broker can repeat it, but nobody can forge one.

    Args:
        user: the person to erase.
        requested_by: the operator.
        reason: why, for the audit log.
        keys_to: new owner of the keys; None revokes them.
    """
    return signing.dumps(
        [str(user.pk), str(requested_by.pk), reason, str(keys_to.pk) if keys_to else None], salt=_ORDER
    )


def run_erasure_job(order: str) -> None:
    """Run an erasure job from the admin. If something prevents it by now, log that; do not retry."""
    try:
        user_id, by_id, reason, keys_to_id = signing.loads(order, salt=_ORDER, max_age=ORDER_LIFE)
    except signing.BadSignature:
        log.error("person_not_erased", reason="nobody here ordered it within the last days")
        return
    by = User.objects.get(pk=by_id)
    keys_to = User.objects.filter(pk=keys_to_id).first() if keys_to_id else None
    try:
        erase_person(user_id, by=by, reason=reason, keys_to=keys_to)
    except (Conflict, PermissionDenied, ValidationError) as refusal:
        log.error("person_not_erased", person=user_id, reason=str(refusal))
