"""Keep tenants apart on shared servers, with values that a client can neither choose nor know."""

import base64
import functools
import hashlib
import hmac

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from gateway.contract import TargetConfig

# Tenants whose salt is remembered.
_MOST_REMEMBERED = 4096
_OF_ANSWERS = "resp_"
# Characters of an id.
_LONGEST_ID = 4096
_UNKEYED = b"quartermaster: no separation key yet"


class Separation:
    """Derives the values of one tenant from the key of this installation (`SettingsConfig.separation_key`).

    All gateways have the same key, so a tenant has the same value at each. Without a key, names of users are
    still separate. Nothing calls `salt_of` then, because a snapshot that needs salts must include a key.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode() or _UNKEYED
        self._salts: dict[str, str] = {}

    def salt_of(self, tenant_id: str) -> str:
        """The salt, of 43 characters, that a server mixes into the keys of its prefix cache for this tenant."""
        salt = self._salts.get(tenant_id)
        if salt is None:
            salt = base64.urlsafe_b64encode(self._digest(b"prefix cache", tenant_id)).rstrip(b"=").decode()
            if len(self._salts) >= _MOST_REMEMBERED:
                self._salts.clear()
            self._salts[tenant_id] = salt
        return salt

    def name_of(self, tenant_id: str, field: str, value: str) -> str:
        """A name of 32 characters that replaces this tenant's `value` in `field`."""
        return self._digest(field.encode(), f"{tenant_id}\0{value}").hex()[:32]

    def session_of(self, tenant_id: str, name: str) -> bytes:
        """32 bytes that stand for this tenant's session of that name."""
        return self._digest(b"\0session", f"{tenant_id}\0{name}")

    @property
    def is_keyed(self) -> bool:
        """Whether nobody outside of the installation knows the key."""
        return self._key != _UNKEYED

    def seal_id(self, tenant_id: str, target_id: str, theirs: str) -> str:
        """The id of an answer that a target stores under its own, for clients of this tenant. Always the same."""
        sealed = self._ids.encrypt(
            f"{target_id}\0{theirs}".encode("utf-8", "surrogatepass"), [tenant_id.encode()]
        )
        return _OF_ANSWERS + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open_id(self, tenant_id: str, ours: str) -> tuple[str, str] | None:
        """The target, and its own id, that `seal_id` sealed for this tenant; None for any other text."""
        text = ours.removeprefix(_OF_ANSWERS)
        if len(text) > _LONGEST_ID or text == ours or not text.isascii():
            return None
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            opened = self._ids.decrypt(sealed, [tenant_id.encode()]).decode("utf-8", "surrogatepass")
        except (InvalidTag, ValueError):
            return None
        target_id, _, theirs = opened.partition("\0")
        return target_id, theirs

    @functools.cached_property
    def _ids(self) -> AESSIV:
        return AESSIV(hmac.digest(self._key, b"stored answers", hashlib.sha512))

    def _digest(self, purpose: bytes, text: str) -> bytes:
        return hmac.digest(self._key, purpose + b"\0" + text.encode("utf-8", "surrogatepass"), hashlib.sha256)


class Apart(msgspec.Struct, frozen=True):
    """The values that one call sends to a backend to keep its tenant separate there."""

    salt: str
    # Replacements for the client's names of users and caches.
    names: tuple[str, ...] = ()

    def fields(self, backend: TargetConfig) -> dict[str, str]:
        """The fields that the gateway itself sends to this backend."""
        if backend.cache_key_field:
            return {backend.cache_key_field: self.salt, "model": backend.upstream_model}
        return {"model": backend.upstream_model}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that no client may see, even if a backend repeats them in an error."""
        return (self.salt, *self.names)
