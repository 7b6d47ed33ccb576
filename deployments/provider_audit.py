"""What the audit log keeps of a changed provider."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from core.encryption import CannotDecrypt, decrypt, encrypt

# The detail of an entry that names the settings of which it does not show that they changed: another certificate, or
# headers of the same names with other values.
SAME_IN_WORDS: Final = "same_in_words"
_PURPOSE: Final = "headers of providers in the audit log"


def shown(name: str, value: Any) -> Any:
    """A value as the audit log keeps it: what a certificate or a header says is not its business."""
    if name == "private_ca":
        return "set" if value else ""
    if name == "extra_headers":
        # PostgreSQL keeps them in an order of its own.
        return ", ".join(sorted(value))
    if name == "regions":
        return ", ".join(value)
    return value


def settings_of(changes: Mapping[str, Any], details: Mapping[str, Any]) -> set[str]:
    """The names of all settings that an entry says were changed."""
    return {*changes, *details.get(SAME_IN_WORDS, ())}


def headers_kept(headers: Mapping[str, str]) -> str:
    """Headers encrypted, so that undoing a change can restore them and nobody reads them in the audit log."""
    return encrypt(json.dumps(dict(headers)).encode(), _PURPOSE).decode()


def headers_before(details: Mapping[str, Any]) -> dict[str, str] | None:
    """The headers that an entry has kept; None if it has none, or they can no longer be decrypted."""
    try:
        found: dict[str, str] = json.loads(decrypt(str(details.get("headers_before", "")).encode(), _PURPOSE))
    except CannotDecrypt:
        return None
    return found
