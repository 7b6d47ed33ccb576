"""Encryption in the database of secrets that must be read again, such as those of authenticator apps.

The key for each purpose is derived from SECRET_KEY (HKDF, SHA-256); keys from SECRET_KEY_FALLBACKS still decrypt.
A backup of the database alone therefore reveals no secret.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class CannotDecrypt(Exception):
    """The text was encrypted for another purpose or under a lost SECRET_KEY, or is not a ciphertext."""


def encrypt(secret: bytes, purpose: str) -> bytes:
    """Encrypt and authenticate `secret`; only the same `purpose` decrypts it."""
    return _keys(purpose).encrypt(secret)


def decrypt(ciphertext: bytes | memoryview, purpose: str) -> bytes:
    """Return the decrypted secret. Raises CannotDecrypt."""
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
