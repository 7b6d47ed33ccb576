"""Refresh tokens at rest: AES-256-GCM under a key derived from SECRET_KEY, bound to the identity they belong to."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from tenants.models import FederatedIdentity

NONCE_BYTES = 12


def seal(identity: FederatedIdentity, token: str) -> bytes:
    """Encrypt a token for the row of `identity`: a random nonce, then the ciphertext with its tag."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher(settings.SECRET_KEY).encrypt(nonce, token.encode(), identity.pk.bytes)


def unseal(identity: FederatedIdentity) -> str | None:
    """The token of the row; None when there is none or neither SECRET_KEY nor a fallback opens it."""
    if identity.refresh_token is None:
        return None
    sealed = bytes(identity.refresh_token)
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            opened = _cipher(secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], identity.pk.bytes)
        except (InvalidTag, ValueError):
            continue
        return opened.decode()
    return None


def _cipher(secret: str) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"quartermaster: refresh tokens")
    return AESGCM(derived.derive(secret.encode()))
