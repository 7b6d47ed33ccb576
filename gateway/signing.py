"""Signing what gateways receive: the console's keys, and the end of each message (gateway/contract/signatures.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction

from core.encryption import CannotDecrypt, decrypt, encrypt
from gateway.contract import v1_config as v1
from gateway.contract.signatures import LONGEST_NONCE, Message, Pin, Seal, seal_message
from gateway.contract.stream import ConfigEnd, pack
from gateway.models import SigningKey

log = structlog.get_logger(__name__)
# Held while keys are added or retired.
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('gateway.signing_keys'))"
_PURPOSE: Final = "signing of gateways' configuration"


def pins() -> list[Pin]:
    """The public keys with which this console signs, as gateways are given them; the oldest first."""
    installation = installation_id()
    return [Pin(installation, bytes(key.public)) for key in SigningKey.objects.in_use()]


def pin_of(key: SigningKey) -> Pin:
    """The public half of a key, as gateways are given it."""
    return Pin(installation_id(), bytes(key.public))


def installation_id() -> str:
    """The id of this installation, which is that of its first signing key; empty without any key."""
    first = SigningKey.objects.order_by("created_at", "pk").values_list("pk", flat=True).first()
    return str(first) if first else ""


def new_signing_key() -> SigningKey:
    """Make a key pair. The private half is stored encrypted, and never leaves the console."""
    private = Ed25519PrivateKey.generate()
    return SigningKey.objects.create(
        public=private.public_key().public_bytes_raw(),
        private=encrypt(private.private_bytes_raw(), _PURPOSE),
    )


@transaction.atomic
def ensure_signing_key() -> None:
    """Make the first key pair if there is none. Safe to repeat and to call twice at once."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK)
    if not SigningKey.objects.exists():
        new_signing_key()


def end_for(gateway: str, nonce: str) -> Callable[[Message], bytes]:
    """A function that makes the end of a message for one gateway, signed as by `sealer_for`."""
    seal = sealer_for(gateway, nonce)

    def end(message: Message) -> bytes:
        if message.version == 1:
            return pack([v1.ConfigEnd(revision=message.revision)])
        return pack([ConfigEnd(revision=message.revision, seal=seal(message))])

    return end


def sealer_for(gateway: str, nonce: str) -> Callable[[Message], Seal | None]:
    """A function that seals messages for one gateway, signed by each key in use; None if none can sign.

    The keys are read now, so the function needs no database. A key that cannot be decrypted signs nothing; gateways
    that were given only that one refuse the message, and say so. Version 1 of the contract knows no signatures.
    """
    rows = list(SigningKey.objects.order_by("created_at", "pk"))
    installation = str(rows[0].pk) if rows else ""
    in_use = [row for row in rows if row.retired_at is None]
    keys = [key for row in in_use if (key := _private(row)) is not None]

    def seal(message: Message) -> Seal | None:
        if not keys or message.version == 1:
            return None
        return seal_message(
            message, keys, installation=installation, gateway=gateway, nonce=nonce[:LONGEST_NONCE]
        )

    return seal


def _private(row: SigningKey) -> Ed25519PrivateKey | None:
    try:
        return Ed25519PrivateKey.from_private_bytes(decrypt(row.private, _PURPOSE))
    except CannotDecrypt as error:
        log.error("signing_key.lost", fingerprint=row.fingerprint, reason=str(error))
        return None
