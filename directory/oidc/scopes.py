"""What a provider's access token may be used for here."""

from __future__ import annotations

from typing import Any, Final

from tenants.roles import TokenScope

# Where providers say what a token may do: RFC 9068, Entra ID and Okta, and others.
SCOPE_CLAIMS: Final = frozenset({"scope", "scp", "scopes", "permissions"})
# Rights in another form (RFC 9396, Keycloak): who was given them was not given everything besides.
OTHER_RIGHTS: Final = frozenset({"authorization_details", "authorization"})
MEMBERS_SCOPES: Final = frozenset(TokenScope.values) - {TokenScope.PLATFORM}


def scopes_of(claims: dict[str, Any]) -> frozenset[str]:
    """The scopes of ours that a token has.

    A token that says nothing about its rights has all of a member's, which are all but `platform`. Every scope claim
    that is there takes away what it does not name, so one that names none of ours, is empty or is of a wrong type
    gives nothing; so do rights in another form alone. To act as platform staff a token must say so: it passes by the
    second factor of a sign-in.
    """
    said = [value for name, value in claims.items() if name.lower() in SCOPE_CLAIMS]
    if not said:
        is_limited = any(name.lower() in OTHER_RIGHTS for name in claims)
        return frozenset() if is_limited else MEMBERS_SCOPES
    return frozenset(TokenScope.values).intersection(*map(_named, said))


def _named(value: object) -> frozenset[str]:
    """What one claim names: a text, its names separated by spaces, or a list of texts, each one name."""
    if isinstance(value, str):
        return frozenset(value.split(" "))
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return frozenset(value)
    return frozenset()
