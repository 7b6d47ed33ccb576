"""Secrets that must be read again, such as those of authenticator apps, encrypted in the database.

A key for each purpose is derived from SECRET_KEY (HKDF, SHA-256); old ones in SECRET_KEY_FALLBACKS still read.
A backup of the database alone therefore opens nothing.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class CannotDecrypt(Exception):
    """Encrypted for another purpose or under a SECRET_KEY that is gone, or no ciphertext at all."""


def encrypt(secret: bytes, purpose: str) -> bytes:
    """Encrypt and authenticate `secret`; only the same `purpose` reads it again."""
    return _keys(purpose).encrypt(secret)


def decrypt(ciphertext: bytes | memoryview, purpose: str) -> bytes:
    """The secret again. Raises CannotDecrypt."""
    try:
        return _keys(purpose).decrypt(bytes(ciphertext))
    except InvalidToken as error:
        raise CannotDecrypt(f"Not encrypted for {purpose} with the current SECRET_KEY.") from error


def _keys(purpose: str) -> MultiFernet:
    return MultiFernet(
        [Fernet(_derived(str(key), purpose)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    )


def _derived(key: str, purpose: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"quartermaster {purpose}".encode())
    return urlsafe_b64encode(derived.derive(key.encode()))
