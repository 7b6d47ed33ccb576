"""What keeps tenants apart at servers that they share: values that a client can neither choose nor know."""

import base64
import hashlib
import hmac
from dataclasses import dataclass

from gateway.contract import BackendConfig

_UNKEYED = b"quartermaster: no separation key yet"


class Separation:
    """Makes values of one tenant from the key of this installation (`SettingsConfig.separation_key`).

    All gateways have the same key, so a tenant has the same value at each. Without a key, names of users are
    still apart; `salt_of` is not asked then, as a snapshot that needs salts must bring a key.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode() or _UNKEYED

    def salt_of(self, tenant_id: str) -> str:
        """What a server mixes into the keys of its prefix cache for this tenant: 43 characters."""
        return base64.urlsafe_b64encode(self._digest(b"prefix cache", tenant_id)).rstrip(b"=").decode()

    def name_of(self, tenant_id: str, field: str, value: str) -> str:
        """A name of 32 characters for what this tenant calls `value` in `field`."""
        return self._digest(field.encode(), f"{tenant_id}\0{value}").hex()[:32]

    def _digest(self, purpose: bytes, text: str) -> bytes:
        return hmac.digest(self._key, purpose + b"\0" + text.encode("utf-8", "surrogatepass"), hashlib.sha256)


@dataclass(frozen=True)
class Apart:
    """What one call carries to a backend so that its tenant stays apart there."""

    salt: str
    # That stand for what the client called its users and caches.
    names: tuple[str, ...] = ()

    def fields(self, backend: BackendConfig) -> dict[str, str]:
        """The fields that the gateway itself sends to this backend."""
        own = {backend.cache_key_field: self.salt} if backend.cache_key_field else {}
        return own | {"model": backend.upstream_model}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no client may see, should a backend repeat it in an error."""
        return (self.salt, *self.names)
