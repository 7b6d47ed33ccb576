"""The form of bearer secrets: `qm_` keys, `qmp_` personal tokens, `qmg_` gateway tokens,
`qms_` tokens of directories (SCIM).

A secret consists of a prefix that names its kind, 256 random bits, and a checksum of six characters over both. The
checksum is not a protection. It lets a check reject garbage, and a scanner recognize a leaked key, without a hash
or a query. We store only the SHA-256, which is enough for 256 random bits.

The gateway process and the control plane both use this module, so it imports only the standard library.
"""

import base64
import hashlib
import secrets
import zlib

KEY = "qm"
PERSONAL_TOKEN = "qmp"  # noqa: S105  the prefix, not a secret
GATEWAY_TOKEN = "qmg"  # noqa: S105
SCIM_TOKEN = "qms"  # noqa: S105
INVITATION = "qmi"

_RANDOM_BYTES = 32
# The length of 32 bytes in unpadded base64url.
_BODY_LENGTH = 43
_CHECKSUM_LENGTH = 6
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def new_secret(prefix: str) -> str:
    """Make a secret of the given kind, such as `qm_<43 characters><6 characters of checksum>`."""
    body = f"{prefix}_{secrets.token_urlsafe(_RANDOM_BYTES)}"
    return body + _checksum(body)


def derived_secret(prefix: str, signature: bytes) -> str:
    """Make the secret that represents 32 bytes; a caller that can recompute the signature needs no copy of it."""
    if len(signature) != _RANDOM_BYTES:
        raise ValueError(f"A secret is made of {_RANDOM_BYTES} bytes, not {len(signature)}.")
    body = f"{prefix}_{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    return body + _checksum(body)


def new_key_secret() -> str:
    """Make the secret of an API key: show it once, store only its `digest` and `visible_prefix`."""
    return new_secret(KEY)


def looks_like(prefix: str, secret: str) -> bool:
    """Whether `secret` has the prefix, length and checksum of its kind, not whether it is valid."""
    if len(secret) != len(prefix) + 1 + _BODY_LENGTH + _CHECKSUM_LENGTH or not secret.isascii():
        return False
    if not secret.startswith(f"{prefix}_"):
        return False
    return secret[-_CHECKSUM_LENGTH:] == _checksum(secret[:-_CHECKSUM_LENGTH])


def looks_like_key(secret: str) -> bool:
    """Whether `secret` has the form of an API key."""
    return looks_like(KEY, secret)


def digest(secret: str) -> str:
    """The SHA-256 of a secret in 64 hexadecimal digits, which is stored and compared."""
    return hashlib.sha256(secret.encode()).hexdigest()


def visible_prefix(secret: str) -> str:
    """The characters by which people recognize a secret; logs, pages and audit entries show only these."""
    return secret[: secret.index("_") + 6]


def _checksum(body: str) -> str:
    """CRC-32 of `body` in six characters of base 62, most significant first."""
    number = zlib.crc32(body.encode())
    characters = []
    for _ in range(_CHECKSUM_LENGTH):
        number, rest = divmod(number, 62)
        characters.append(_ALPHABET[rest])
    return "".join(reversed(characters))
