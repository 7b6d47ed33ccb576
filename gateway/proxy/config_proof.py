"""Whether a configuration is genuine: signed for this gateway, by a key that it was given (contract/signatures.py)."""

import hashlib
import secrets
from collections.abc import Sequence

from gateway.contract import REVISION_HEADER, ContractError, decode
from gateway.contract.signatures import (
    NONCE_HEADER,
    SEAL_HEADER,
    Message,
    Pin,
    Seal,
    nothing_newer,
    why_not_genuine,
)
from gateway.contract.versions import spoken
from gateway.proxy.control import ControlAnswer


class Proof:
    """Checks one message. Without pins, it passes whatever comes."""

    def __init__(self, pins: Sequence[Pin] = (), gateway: str = "", nonce: str | None = None) -> None:
        """`nonce` is that of the request; None for a copy from the disk."""
        self._pins, self._gateway, self._nonce = pins, gateway, nonce
        self._digest = hashlib.sha256()

    def note(self, line: bytes) -> None:
        """Add a line before the end."""
        if self._pins:
            self._digest.update(line)
            self._digest.update(b"\n")

    def check(self, version: int, revision: int, after: int | None, state: str, seal: Seal | None) -> None:
        """Raises ContractError if what was noted is not genuine.

        Args:
            version: of the contract.
            revision: of the message.
            after: the revision that changes begin at; None for everything.
            state: of the message.
            seal: the one at its end.
        """
        if not self._pins:
            return
        message = Message(version, revision, after, state, self._digest.digest())
        if reason := why_not_genuine(message, seal, self._pins, self._gateway, self._nonce):
            raise ContractError(f"Revision {revision} is refused: {reason}.")


class Verifier:
    """The keys that this gateway was given at its start, and its name."""

    def __init__(self, pins: Sequence[Pin] = (), gateway: str = "") -> None:
        self._pins, self._gateway = tuple(pins), gateway

    def proof(self, nonce: str | None) -> Proof:
        """A check of one message: an answer to a request with `nonce`, or a copy from the disk (None)."""
        return Proof(self._pins, self._gateway, nonce)

    def require_nothing_newer(self, answer: ControlAnswer) -> None:
        """Raises ContractError unless the console itself said, to this request, that there is nothing newer.

        Otherwise whoever is between could keep revocations from this gateway without anybody's notice.
        """
        if not self._pins:
            return
        newest = answer.headers.get(REVISION_HEADER, "")
        if not (newest.isascii() and newest.isdigit()):
            raise ContractError("The answer that nothing is newer is refused: it names no revision.")
        message = nothing_newer(spoken(answer.headers), int(newest), int(answer.query["after"]))
        try:
            seal = decode(Seal, answer.headers.get(SEAL_HEADER, "null").encode())
        except ContractError:
            seal = None
        nonce = answer.sent.get(NONCE_HEADER, "")
        if reason := why_not_genuine(message, seal, self._pins, self._gateway, nonce):
            raise ContractError(f"The answer that nothing is newer is refused: {reason}.")

    def require_none_given(self) -> None:
        """Raises ContractError if keys were given: a `ConfigSnapshot` cannot be signed."""
        if self._pins:
            raise ContractError("The configuration is refused: it is in the old form, which is not signed.")


def new_nonce() -> str:
    """A random text for one request."""
    return secrets.token_urlsafe(18)
