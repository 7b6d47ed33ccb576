"""Keep tenants apart on shared servers, with values that a client can neither choose nor know."""

import base64
import hashlib
import hmac

import msgspec

from gateway.contract import TargetConfig

# Tenants whose salt is remembered.
_MOST_REMEMBERED = 4096
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

    def _digest(self, purpose: bytes, text: str) -> bytes:
        return hmac.digest(self._key, purpose + b"\0" + text.encode("utf-8", "surrogatepass"), hashlib.sha256)


class Apart(msgspec.Struct, frozen=True):
    """The values that one call sends to a backend to keep its tenant separate there."""

    salt: str
    # Replacements for the client's names of users and caches.
    names: tuple[str, ...] = ()

    def fields(self, backend: TargetConfig) -> dict[str, str]:
        """The fields that the gateway itself sends to this backend."""
        own = {backend.cache_key_field: self.salt} if backend.cache_key_field else {}
        return own | {"model": backend.upstream_model}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that no client may see, even if a backend repeats them in an error."""
        return (self.salt, *self.names)
