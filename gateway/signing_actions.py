"""Rotating the keys with which the console signs configuration: add one, give it to gateways, retire the older one."""

from __future__ import annotations

from types import NoneType
from uuid import UUID

from django.db import connection, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from core.errors import Conflict
from gateway.models import Gateway, SigningKey
from gateway.signing import LOCK, new_signing_key

# Each of them signs every message.
MOST_IN_USE = 4


@action(NoneType, permission="gateway.manage_gateway")
@transaction.atomic
def add_signing_key(*, by: User | None) -> SigningKey:
    """Make another key. Every message is signed by it and by the older ones from now on.

    Raises:
        PermissionDenied: `by` may not manage gateways.
        Conflict: MOST_IN_USE keys are in use.
    """
    add_signing_key.require(by, None)
    _take_turns()
    if SigningKey.objects.in_use().count() >= MOST_IN_USE:
        raise Conflict(_("%(most)d keys are in use. Retire one first.") % {"most": MOST_IN_USE})
    key = new_signing_key()
    audit.record("signing_key.added", actor=by, subject=key)
    return key


def _require_in_use(by: User | None, key: SigningKey) -> None:
    if key.retired_at is not None:
        raise Conflict(_("This key is already retired."))


@action(SigningKey, permission="gateway.manage_gateway", state=_require_in_use)
@transaction.atomic
def retire_signing_key(pk: UUID | str, *, by: User | None) -> SigningKey:
    """Stop signing with a key.

    A gateway that was given only this key would refuse every later revision, so such gateways must first be started
    with another key, or be revoked.

    Raises:
        SigningKey.DoesNotExist: no such key.
        PermissionDenied: `by` may not manage gateways.
        Conflict: it is retired, the last one in use, or the only one that some gateway was given.
    """
    _take_turns()
    keys = SigningKey.objects.all() if by is None else SigningKey.objects.visible_to(by)
    key = keys.select_for_update().get(pk=pk)
    retire_signing_key.require(by, key)
    if not SigningKey.objects.in_use().exclude(pk=key.pk).exists():
        raise Conflict(_("This is the only key in use. Add another one first."))
    if names := gateways_given_only(key):
        raise Conflict(
            _(
                "These gateways were given no other key in use and would refuse every later revision: "
                "%(names)s. Start them with another key in GATEWAY_CONFIG_KEYS, or revoke them."
            )
            % {"names": ", ".join(names)}
        )
    key.retired_at = now()
    key.save(update_fields=["retired_at"])
    audit.record("signing_key.retired", actor=by, subject=key)
    return key


def gateways_given_only(key: SigningKey) -> list[str]:
    """The names of gateways in service that would verify nothing without this key, by their last acknowledgement."""
    others = {one.fingerprint for one in SigningKey.objects.in_use().exclude(pk=key.pk)}
    return [
        gateway.name
        for gateway in Gateway.objects.in_service().order_by("name")
        if (given := set(gateway.report.get("signing_keys", []))) and not given & others
    ]


def _take_turns() -> None:
    with connection.cursor() as cursor:
        cursor.execute(LOCK)
