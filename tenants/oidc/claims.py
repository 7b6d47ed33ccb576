"""What the provider's claims mean here: who it is, their groups, and whether a second factor was shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from tenants.oidc import tokens
from tenants.oidc.errors import ProviderMisbehaved
from tenants.oidc.provider import current_provider

log = structlog.get_logger(__name__)

LONGEST_GROUP = 200
# Authentication methods (RFC 8176, and what providers say besides) that are more than a password.
SECOND_FACTORS = frozenset(
    {"mfa", "otp", "hwk", "swk", "sms", "tel", "fpt", "face", "iris", "retina", "vbm", "fido"}
)


@dataclass(frozen=True)
class ProviderPerson:
    """A person as the provider knows them at this moment."""

    issuer: str
    subject: str
    email: str = ""  # in small letters
    is_email_verified: bool = False
    name: str = ""
    groups: tuple[str, ...] | None = None  # None: the provider does not say, so what is known stays
    has_second_factor: bool = False
    provider_session: str = ""


def fetch_person(id_claims: tokens.Claims, access_token: str) -> ProviderPerson:
    """Ask the provider about the person of a verified ID token and read both together.

    Raises ProviderUnavailable or ProviderMisbehaved, the latter also when the userinfo is about somebody else.
    """
    answer = current_provider().ask_who(access_token)
    if answer.kind == "application/jwt":
        try:
            userinfo = tokens.verify_userinfo(answer.body.decode(errors="replace"))
        except tokens.TokenRejected as rejection:
            raise ProviderMisbehaved(f"userinfo: {rejection}") from rejection
    else:
        userinfo = answer.json()
    if userinfo.get("sub") != id_claims["sub"]:
        raise ProviderMisbehaved("userinfo is about another subject than the ID token")
    return read_person(id_claims, userinfo)


def read_person(id_claims: tokens.Claims, userinfo: dict[str, Any]) -> ProviderPerson:
    """The person that both describe; the ID token, which is signed, wins where they differ."""
    claims = userinfo | id_claims
    said = _text(claims.get("email"), 254)
    email = said.lower()
    try:
        validate_email(email)
    except ValidationError:
        email = ""
    # "\u212a", the Kelvin sign, is no "k" to who verified the address.
    if email.isascii() and not said.isascii():
        email = ""
    return ProviderPerson(
        issuer=id_claims["iss"],
        subject=id_claims["sub"],
        email=email,
        is_email_verified=claims.get("email_verified") in (True, "true"),
        name=_text(claims.get("name"), 150),
        groups=_groups(claims),
        has_second_factor=_has_second_factor(id_claims),
        provider_session=_text(id_claims.get("sid"), 255),
    )


def _groups(claims: dict[str, Any]) -> tuple[str, ...] | None:
    """The groups, sorted and each once; None when there were too many for the provider to list them."""
    name = settings.OIDC_GROUPS_CLAIM
    elsewhere = claims.get("_claim_names")
    if name not in claims and isinstance(elsewhere, dict) and name in elsewhere:
        log.warning("oidc.groups_not_listed", subject=claims.get("sub"), claim=name)
        return None
    said = claims.get(name)
    values = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    groups = {value for value in values if isinstance(value, str) and _is_group(value)}
    if len(groups) < len(values):
        log.warning("oidc.groups_left_out", subject=claims.get("sub"), count=len(values) - len(groups))
    return tuple(sorted(groups))


def _is_group(value: str) -> bool:
    return 0 < len(value) <= LONGEST_GROUP and "\0" not in value


def _has_second_factor(claims: dict[str, Any]) -> bool:
    methods = claims.get("amr")
    shown = {method for method in methods if isinstance(method, str)} if isinstance(methods, list) else set()
    return bool(shown & SECOND_FACTORS) or claims.get("acr") in settings.OIDC_SECOND_FACTOR_ACR


def _text(value: object, longest: int) -> str:
    return value.replace("\0", "")[:longest] if isinstance(value, str) else ""
