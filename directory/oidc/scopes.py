"""The scopes of a provider's access token."""

from __future__ import annotations

from typing import Any, Final

from tenants.roles import TokenScope

# Claims in which providers list what a token may do: RFC 9068, Entra ID and Okta, and others.
SCOPE_CLAIMS: Final = frozenset({"scope", "scp", "scopes", "permissions"})
# Rights in another form (RFC 9396, Keycloak). A token that has them does not have all scopes by default.
OTHER_RIGHTS: Final = frozenset({"authorization_details", "authorization"})
MEMBERS_SCOPES: Final = frozenset(TokenScope.values) - {TokenScope.PLATFORM}


def scopes_of(claims: dict[str, Any]) -> frozenset[str]:
    """The Quartermaster scopes that a token has.

    A token without any claim about its rights has all scopes of a member, which are all but `platform`. Each scope
    claim removes the scopes that it does not name, so a claim that names none of ours, is empty or has the wrong type
    leaves none. Rights only in another form also give none. To act as platform staff, a token must name `platform`,
    because it bypasses the second factor of a sign-in.
    """
    said = [value for name, value in claims.items() if name.lower() in SCOPE_CLAIMS]
    if not said:
        is_limited = any(name.lower() in OTHER_RIGHTS for name in claims)
        return frozenset() if is_limited else MEMBERS_SCOPES
    return frozenset(TokenScope.values).intersection(*map(_named, said))


def _named(value: object) -> frozenset[str]:
    """The names in one claim: a text with names separated by spaces, or a list of texts with one name each."""
    if isinstance(value, str):
        return frozenset(value.split(" "))
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return frozenset(value)
    return frozenset()
