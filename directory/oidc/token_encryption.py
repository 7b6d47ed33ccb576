"""Encryption of stored refresh tokens. Each is encrypted for its own row."""

from __future__ import annotations

from core.encryption import CannotDecrypt, decrypt, encrypt
from directory.models import FederatedIdentity


def encrypt_token(identity: FederatedIdentity, token: str) -> bytes:
    """Encrypt a token for the row of `identity`."""
    return encrypt(token.encode(), _purpose(identity))


def decrypt_token(identity: FederatedIdentity) -> str | None:
    """The token of the row. None if there is none, or if neither SECRET_KEY nor a fallback decrypts it."""
    if identity.refresh_token is None:
        return None
    try:
        return decrypt(identity.refresh_token, _purpose(identity)).decode()
    except CannotDecrypt:
        return None


def _purpose(identity: FederatedIdentity) -> str:
    return f"refresh token of {identity.pk}"
