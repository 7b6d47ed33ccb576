"""How credentials of providers travel: encrypted in the configuration, under a key that is sealed to each gateway.

A gateway has a key pair of its own (X25519), whose private half never leaves its disk. It names the public half with
each request for configuration (PUBLIC_KEY_HEADER). The console answers with the installation's credential key, sealed
to it (SEALED_KEY_HEADER; HPKE, RFC 9180). With that key the gateway opens the
credentials in the configuration (AES-SIV, RFC 5297, with the target's id as associated data, so that nobody can move a
credential to another target). AES-SIV gives the same text for the same credential, so equal routes stay equal.

So neither the configuration nor a gateway's copy of it has a credential in clear text, and all gateways share one
compilation. A gateway whose token is revoked gets no newer key. A new SECRET_KEY of the console makes a new credential
key; gateways get it with their next request.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

PUBLIC_KEY_HEADER: Final = "x-gateway-key"
SEALED_KEY_HEADER: Final = "x-credential-key"
KEY_BYTES: Final = 64
_CONTEXT: Final = b"quartermaster gateway: credential key"
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class CannotOpen(Exception):
    """The text was sealed to somebody else, for another place or under another key, or is damaged."""


def public_half(private: bytes) -> str:
    """The public half of a private key of 32 bytes, as text for PUBLIC_KEY_HEADER."""
    return b64encode(X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()).decode()


def seal_key(key: bytes, public: str) -> str:
    """The credential key for one gateway, which alone can open it. Raises ValueError for what is no public key."""
    recipient = X25519PublicKey.from_public_bytes(b64decode(public, validate=True))
    return b64encode(_SUITE.encrypt(key, recipient, _CONTEXT)).decode()


def open_key(sealed: str, private: bytes) -> bytes:
    """The credential key that `seal_key` sealed. Raises CannotOpen."""
    try:
        own = X25519PrivateKey.from_private_bytes(private)
        key = _SUITE.decrypt(b64decode(sealed, validate=True), own, _CONTEXT)
    except (InvalidTag, ValueError) as error:
        raise CannotOpen("The credential key was not sealed to this gateway.") from error
    if len(key) != KEY_BYTES:
        raise CannotOpen("The credential key has the wrong length.")
    return key


def seal(secret: str, key: bytes, target_id: str) -> str:
    """A credential for the configuration of one target."""
    return b64encode(AESSIV(key).encrypt(secret.encode(), [target_id.encode()])).decode()


def unseal(sealed: str, key: bytes, target_id: str) -> str:
    """The credential that `seal` encrypted for this target. Raises CannotOpen."""
    try:
        return AESSIV(key).decrypt(b64decode(sealed, validate=True), [target_id.encode()]).decode()
    except (InvalidTag, ValueError) as error:
        raise CannotOpen("The credential is not sealed for this target under the current key.") from error
