"""Read the provider's claims: who the person is, their groups, and whether they used a second factor.

A claim of the wrong type counts for no more than an absent one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings

from core.addresses import mail_address_or_none
from core.names import clean_name, is_one_line
from directory.oidc import tokens
from directory.oidc.errors import ProviderMisbehaved
from directory.oidc.provider import current_provider

log = structlog.get_logger(__name__)

LONGEST_GROUP = 200
# Authentication methods (RFC 8176, and others that providers use) that are stronger than a password.
SECOND_FACTORS = frozenset(
    {"mfa", "otp", "hwk", "swk", "sms", "tel", "fpt", "face", "iris", "retina", "vbm", "fido"}
)


@dataclass(frozen=True)
class ProviderPerson:
    """A person as the provider knows them at this moment."""

    issuer: str
    subject: str
    email: str = ""  # as `read_address` leaves it
    is_email_verified: bool = False
    name: str = ""
    # None: the provider does not list them, so the known groups stay.
    groups: tuple[str, ...] | None = None
    has_second_factor: bool = False
    provider_session: str = ""


def fetch_person(id_claims: tokens.Claims, access_token: str) -> ProviderPerson:
    """Ask the provider about the person in a verified ID token, and combine its answer with the token.

    Raises ProviderUnavailable or ProviderMisbehaved; the latter also if the userinfo is about someone else.
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
    """The person whom both documents describe. Where they differ, the ID token wins, because it is signed."""
    email, is_email_verified = _address(id_claims, userinfo)
    return ProviderPerson(
        issuer=id_claims["iss"],
        subject=id_claims["sub"],
        email=email,
        is_email_verified=is_email_verified,
        name=_name(id_claims) or _name(userinfo),
        groups=_groups(id_claims, userinfo),
        has_second_factor=_has_second_factor(id_claims),
        provider_session=sid if isinstance(sid := id_claims.get("sid"), str) else "",
    )


def _address(id_claims: dict[str, Any], userinfo: dict[str, Any]) -> tuple[str, bool]:
    """The address and whether it is verified, both from one document: the ID token if it names an address.

    If the ID token does not say whether its address is verified and the userinfo names the same address, both come
    from the userinfo.
    """
    document = id_claims if "email" in id_claims else userinfo
    email = mail_address_or_none(document.get("email")) or ""
    if (
        document is id_claims
        and "email_verified" not in id_claims
        and email
        and mail_address_or_none(userinfo.get("email")) == email
    ):
        document = userinfo
    return email, bool(email) and is_true(document.get("email_verified"))


def is_true(value: object) -> bool:
    """Whether a claim is `true`, or the text "true" that some providers send. 1 does not count."""
    return value is True or value == "true"


def _groups(*documents: dict[str, Any]) -> tuple[str, ...] | None:
    """The groups from the first document that lists them, sorted and without duplicates.

    None means that the groups are unknown: no document lists them, and one says that they do not fit or names them
    in an unreadable form. If no document mentions groups, the person is in none.
    """
    name = settings.OIDC_GROUPS_CLAIM
    are_elsewhere, listed = False, None
    for claims in documents:
        said = claims.get(name)
        if _lie_elsewhere(claims, name) or not (said is None or isinstance(said, str | list)):
            are_elsewhere = True
        elif said is not None and listed is None:
            listed = _listed(said, claims.get("sub"))
    if listed or not are_elsewhere:
        return listed or ()
    log.warning("oidc.groups_not_listed", subject=documents[0].get("sub"), claim=name)
    return None


def _lie_elsewhere(claims: dict[str, Any], name: str) -> bool:
    """Whether a document refers elsewhere for the groups (Entra ID; OpenID Connect Core, 5.6.2)."""
    flag = claims.get(f"has{name}")
    names, sources = claims.get("_claim_names"), claims.get("_claim_sources")
    said = claims.get(name)
    return (
        not (flag is None or flag is False or flag == "false")
        or any(claim.startswith(f"{name}:") for claim in claims)
        or (name in names if isinstance(names, dict) else bool(names))
        or (isinstance(sources, dict) and isinstance(said, str) and said in sources)
        or (bool(sources) and not names and said is None)
    )


def _listed(said: str | list[Any], subject: object) -> tuple[str, ...]:
    values = said if isinstance(said, list) else [said] if said else []
    groups = {value for value in values if isinstance(value, str) and _is_group(value)}
    if len(groups) < len(values):
        log.warning("oidc.groups_left_out", subject=subject, count=len(values) - len(groups))
    return tuple(sorted(groups))


def _is_group(value: str) -> bool:
    """Whether a group name is usable. Names match exactly, so one with an invisible character is left out."""
    return len(value) <= LONGEST_GROUP and is_one_line(value)


def _has_second_factor(claims: dict[str, Any]) -> bool:
    methods, level = claims.get("amr"), claims.get("acr")
    shown = {method for method in methods if isinstance(method, str)} if isinstance(methods, list) else set()
    return bool(shown & SECOND_FACTORS) or (
        isinstance(level, str) and level in settings.OIDC_SECOND_FACTOR_ACR
    )


def _name(claims: dict[str, Any]) -> str:
    said = claims.get("name")
    return clean_name(said, 150) if isinstance(said, str) else ""
