"""Verify the signature, issuer, audience and times of everything the provider signs.

Only asymmetric algorithms are accepted: `none` has no key, and HS256 would accept a public key as the secret.
"""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

import jwt
from django.conf import settings
from django.utils.crypto import constant_time_compare

from core.names import is_seen
from directory.oidc.provider import current_provider

ALGORITHMS = [
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]
# How far the clocks may differ.
LEEWAY_SECONDS = 30
# How old a logout token may be.
LOGOUT_SECONDS = 300
# The last second of the year 9999.
LAST_MOMENT = 253_402_300_799
LONGEST_SUBJECT = 255
LONGEST_TOKEN = 65_536  # characters
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"

Claims = dict[str, Any]


class TokenRejected(Exception):
    """The token cannot be trusted. The message is for the log and never contains the token."""


def verify_id_token(token: str, *, nonce: str | None, access_token: str = "") -> Claims:
    """The claims of an ID token issued for the console (OpenID Connect Core, 3.1.3.7).

    Args:
        nonce: the nonce that this sign-in sent; None for a refreshed token, which does not need one.
        access_token: compared with `at_hash`, if the token has it.

    Raises TokenRejected if any check fails.
    """
    header, claims = _verified(token, audience=settings.OIDC_RP_CLIENT_ID, required=["exp", "iat", "sub"])
    if header.get("typ", "JWT").upper() != "JWT":
        raise TokenRejected(f"an ID token is no {header['typ']}")
    _check_authorized_party(claims)
    said = claims.get("nonce")
    if nonce is not None and not (
        isinstance(said, str) and _is_name(said) and constant_time_compare(said, nonce)
    ):
        raise TokenRejected("the nonce is not the one that was sent")
    if "at_hash" in claims and access_token and claims["at_hash"] != _half_hash(access_token, header["alg"]):
        raise TokenRejected("at_hash does not fit the access token")
    return claims


def verify_userinfo(token: str) -> Claims:
    """The claims of a signed userinfo answer (5.3.2). Raises TokenRejected."""
    return _verified(token, audience=settings.OIDC_RP_CLIENT_ID, required=["sub"])[1]


def verify_access_token(token: str) -> Claims:
    """The claims of an access token issued for our HTTP API (RFC 9068). Raises TokenRejected."""
    if settings.OIDC_API_AUDIENCE in ("", settings.OIDC_RP_CLIENT_ID):
        raise TokenRejected("OIDC_API_AUDIENCE is not set, or is the audience of ID tokens")
    header, claims = _verified(token, audience=settings.OIDC_API_AUDIENCE, required=["exp", "iat", "sub"])
    kind = header.get("typ", "JWT").lower().removeprefix("application/")
    if kind not in {known.lower() for known in settings.OIDC_API_TOKEN_TYPES}:
        raise TokenRejected(f"typ {kind} is not in OIDC_API_TOKEN_TYPES")
    return claims


def verify_logout_token(token: str) -> Claims:
    """The claims of a logout token (OpenID Connect Back-Channel Logout 1.0, 2.6).

    This does not check whether the token was used before. Raises TokenRejected.
    """
    header, claims = _verified(token, audience=settings.OIDC_RP_CLIENT_ID, required=["iat", "jti"])
    kind = header.get("typ", "JWT").lower().removeprefix("application/")
    if kind not in ("logout+jwt", "jwt"):
        raise TokenRejected(f"a logout token is no {kind}")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise TokenRejected("events do not name a back-channel logout")
    if "nonce" in claims:
        raise TokenRejected("a logout token has no nonce: this is an ID token")
    if not any(_is_name(claims.get(name)) for name in ("sid", "sub")):
        raise TokenRejected("it names neither a session nor a subject")
    if int(claims["iat"]) < time.time() - LOGOUT_SECONDS:
        raise TokenRejected("it was made too long ago")
    return claims


def _verified(token: str, *, audience: str, required: list[str]) -> tuple[dict[str, Any], Claims]:
    """The header and claims of a token that the provider signed for `audience` and that is valid now."""
    provider = current_provider()
    if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
        raise TokenRejected("it is no token")
    try:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise TokenRejected(f"the algorithm {str(header.get('alg'))[:20]} is not accepted")
        claims: Claims = jwt.decode(
            token,
            provider.key_of(header),
            algorithms=ALGORITHMS,
            audience=audience,
            issuer=provider.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "aud", *required]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        raise TokenRejected(f"{type(error).__name__}: {error}"[:200]) from error
    for name in ("sub", "sid", "jti", "azp"):
        if name in claims and not _is_name(claims[name]):
            raise TokenRejected(f"{name} is no name")
    for name in ("exp", "iat", "nbf"):
        if name in claims and not _is_moment(claims[name]):
            raise TokenRejected(f"{name} is no moment")
    if not isinstance(header.get("typ", "JWT"), str):
        raise TokenRejected("typ is no text")
    return header, claims


def _check_authorized_party(claims: Claims) -> None:
    """Require that `azp` names the console if it is present; a token with several audiences must have it."""
    party = claims.get("azp")
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and party is None:
        raise TokenRejected("several audiences and no azp")
    if "azp" in claims and party != settings.OIDC_RP_CLIENT_ID:
        raise TokenRejected("azp is another client")


def _is_name(value: object) -> bool:
    """Whether it is a text that can be stored and read: no NUL, no half surrogate pair and no invisible character."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_SUBJECT and is_seen(value)


def _is_moment(value: object) -> bool:
    """Whether it is a number of seconds since 1970, up to the last year that a date can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LAST_MOMENT


def _half_hash(text: str, algorithm: str) -> str:
    """The left half of the text's hash with the algorithm's hash function, in base64url (3.1.3.6)."""
    size = {"EdDSA": "512"}.get(algorithm, algorithm[-3:])
    whole = hashlib.new(f"sha{size}", text.encode()).digest()
    return base64.urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=").decode()
