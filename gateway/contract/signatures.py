"""How the console signs a configuration, so that a gateway refuses one that somebody else wrote, changed or kept back.

The end of each message has a `Seal`: signatures (Ed25519) over the statement of what was sent to whom. It names the
installation, the gateway, the version of the contract, the revision, the one that changes begin at, the state, the
nonce of the request, and the SHA-256 over all lines before the end. Compiling does not depend on the gateway, so
all gateways share the lines; only the end is made for each of them. The answer that nothing is newer has its seal in a
header.

A gateway that was given public keys (`Pin`) puts a message in force only if one of them verifies it: from the console
with the nonce of its own request, so that an answer of another day does not pass; from its disk with any nonce.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.contract.messages import OpenMessage, Revision

# A random text of the gateway, in each request for configuration.
NONCE_HEADER: Final = "x-config-nonce"
LONGEST_NONCE: Final = 64
# The `Seal`, as JSON, of an answer that has no body: there is nothing newer (204).
SEAL_HEADER: Final = "x-config-seal"
_CONTEXT: Final = b"quartermaster configuration\0"
_FINGERPRINT_DIGITS: Final = 16


class Signature(OpenMessage, frozen=True):
    """One signature, and the fingerprint of the key that made it."""

    key: str
    value: str  # base64


class Seal(OpenMessage, frozen=True):
    """For whom a message was made, and the signatures that say so: one by each key in use."""

    installation: str
    # The gateway's name in the console.
    gateway: str
    nonce: str = ""
    signatures: list[Signature] = []


@dataclass(frozen=True)
class Message:
    """What a message says of itself, and the SHA-256 over its lines before the end, each with its line feed."""

    version: int  # of the contract
    revision: Revision
    after: Revision | None
    state: str
    digest: bytes

    def statement(self, seal: Seal) -> bytes:
        """The bytes that are signed."""
        said = (
            seal.installation,
            seal.gateway,
            seal.nonce,
            self.version,
            self.revision,
            self.after,
            self.state,
            self.digest.hex(),
        )
        return _CONTEXT + msgspec.json.encode(said)


def nothing_newer(version: int, revision: Revision, after: Revision) -> Message:
    """What the answer says that nothing is newer than `after`; `revision` is the newest of the console."""
    return Message(version, revision, after, "", sha256(b"").digest())


@dataclass(frozen=True)
class Pin:
    """A public key of one installation, as gateways are given it: `<installation>:<base64>`."""

    installation: str
    public: bytes

    def __str__(self) -> str:
        return f"{self.installation}:{b64encode(self.public).decode()}"

    @property
    def fingerprint(self) -> str:
        """The short name of the key in messages and on pages."""
        return fingerprint(self.public)


def fingerprint(public: bytes) -> str:
    """The short name of a public key."""
    return sha256(public).hexdigest()[:_FINGERPRINT_DIGITS]


def read_pins(text: str) -> list[Pin]:
    """The pins in a text, separated by commas or white space. Raises ValueError with what a pin must be."""
    pins = []
    for word in text.replace(",", " ").split():
        installation, _, encoded = word.partition(":")
        try:
            public = b64decode(encoded, validate=True)
            Ed25519PublicKey.from_public_bytes(public)
            pins.append(Pin(str(UUID(installation)), public))
        except ValueError as error:
            raise ValueError(
                f"{word[:80]!r} is no signing key as the console shows it: <installation>:<public key>"
            ) from error
    return pins


def seal_message(
    message: Message,
    keys: Iterable[Ed25519PrivateKey],
    *,
    installation: str,
    gateway: str,
    nonce: str,
) -> Seal:
    """Sign a message for one gateway.

    Args:
        message: what is signed.
        keys: each of them signs.
        installation: the id of this installation.
        gateway: the gateway's name.
        nonce: from the gateway's request.
    """
    seal = Seal(installation=installation, gateway=gateway, nonce=nonce)
    statement = message.statement(seal)
    signatures = [
        Signature(
            key=fingerprint(key.public_key().public_bytes_raw()),
            value=b64encode(key.sign(statement)).decode(),
        )
        for key in keys
    ]
    return msgspec.structs.replace(seal, signatures=signatures)


def why_not_genuine(
    message: Message, seal: Seal | None, pins: Iterable[Pin], gateway: str, nonce: str | None
) -> str:
    """Why a gateway must refuse a message, in words for operators; empty if it is genuine.

    Args:
        message: what arrived.
        seal: the one at its end, if it has one.
        pins: the keys that the gateway was given.
        gateway: its name.
        nonce: of its request; None for a copy from its disk.
    """
    if seal is None or not seal.signatures:
        return "it is not signed"
    if seal.gateway != gateway:
        return f"it was signed for gateway {seal.gateway[:64]!r}, not for {gateway!r}"
    if nonce is not None and seal.nonce != nonce:
        return "it was signed for another request, so it may be old"
    keys = {pin.fingerprint: pin for pin in pins if pin.installation == seal.installation}
    known = [(keys[one.key], one) for one in seal.signatures if one.key in keys]
    if not known:
        return "none of the keys that signed it is one that this gateway was given"
    statement = message.statement(seal)
    for pin, one in known:
        try:
            Ed25519PublicKey.from_public_bytes(pin.public).verify(
                b64decode(one.value, validate=True), statement
            )
        except (InvalidSignature, ValueError):
            continue
        return ""
    return "its signature is wrong: something between the console and this gateway changed it"
