"""Secrets of webhooks and the signatures made with them, as https://www.standardwebhooks.com specifies."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from core.encryption import decrypt, encrypt

PREFIX: Final = "whsec_"
_PURPOSE: Final = "tenants.webhook"
# The specification asks for 24 to 64.
_BYTES: Final = 32


def new_webhook_secret() -> str:
    """Make a secret: `whsec_` and random bytes in base64, as libraries of the receivers read it."""
    return f"{PREFIX}{base64.b64encode(secrets.token_bytes(_BYTES)).decode()}"


def sealed(secret: str) -> bytes:
    """The secret as it is stored."""
    return encrypt(secret.encode(), _PURPOSE)


def opened(ciphertext: bytes | memoryview) -> str:
    """The secret that was stored. Raises CannotDecrypt under another SECRET_KEY."""
    return decrypt(ciphertext, _PURPOSE).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of one message with one secret, with the name of its scheme.

    Args:
        secret: with its prefix.
        message_id: without a dot.
        timestamp: of the attempt, in seconds.
        body: what is sent, to the byte.
    """
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def signed_headers(
    with_secrets: Iterable[str], message_id: str, at: datetime, body: bytes
) -> Mapping[str, str]:
    """The headers of one attempt: the id of the message, the time of the attempt, and a signature for each secret.

    Args:
        with_secrets: the secrets that receivers may check with.
        message_id: the same in every attempt.
        at: the time of this attempt.
        body: what is sent, to the byte.
    """
    timestamp = int(at.timestamp())
    signatures = [signature(secret, message_id, timestamp, body) for secret in with_secrets]
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }
