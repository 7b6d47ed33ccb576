"""Convert rows to payloads and payloads to facts, and compute the versions (ETags) of resources."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from django.conf import settings
from scim2_models import GroupMember, GroupMembership, Meta, Reference

from accounts.models import User
from core.addresses import address_or_none
from core.names import clean_name
from directory.models import DirectoryGroup
from directory.scim import payloads
from directory.scope import PersonFacts, entry_of

BASE_PATH = "/scim/v2"


def location(endpoint: str, pk: object = "") -> str:
    """The address of an endpoint or a resource."""
    return f"{settings.CONSOLE_URL}{BASE_PATH}/{endpoint}" + (f"/{pk}" if pk else "")


def user_payload(user: User) -> payloads.User:
    """A person as the directory sees them. Requires `directory_entry` selected and `directory_groups` prefetched."""
    entry = entry_of(user)
    groups = sorted(user.directory_groups.all(), key=lambda group: group.pk)
    payload = payloads.User(
        id=str(user.pk),
        external_id=user.external_id or None,
        user_name=user.email,
        name=payloads.Name(
            formatted=(entry and entry.formatted_name) or user.name or None,
            given_name=(entry and entry.given_name) or None,
            family_name=(entry and entry.family_name) or None,
        ),
        display_name=user.name or None,
        active=user.is_active,
        emails=[payloads.Email(value=(entry and entry.work_email) or user.email, type="work", primary=True)],
        groups=[
            GroupMembership(
                value=str(group.pk),
                ref=Reference(location("Groups", group.pk)),
                display=group.display_name,
                type="direct",
            )
            for group in groups
        ]
        or None,
    )
    payload.meta = Meta(
        resource_type="User",
        created=user.date_joined,
        last_modified=entry.changed_at if entry else user.date_joined,
        location=location("Users", user.pk),
        version=user_version(payload),
    )
    return payload


def user_version(payload: payloads.User) -> str:
    """The version of a person: a digest of everything shown, wherever it was changed."""
    shown = payload.model_dump(exclude={"meta"})
    return _weak(hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:20])


def facts_of_user(payload: payloads.User, before: PersonFacts | None = None) -> PersonFacts:
    """The facts in a payload. If it does not say whether the person is active, that stays as `before`."""
    facts = _said(payload)
    if payload.active is None and before is not None:
        facts = replace(facts, is_active=before.is_active)
    return _settled(facts)


def facts_of_patched(payload: payloads.User, shown: payloads.User, before: PersonFacts) -> PersonFacts:
    """The facts after a PATCH that turned the payload `shown` into `payload`.

    Facts that it did not change keep the directory's earlier values. A full name composed of its parts follows them.
    """
    then, now = _said(shown), _said(payload)
    changed = {
        name: getattr(now, name)
        for name in (field.name for field in fields(PersonFacts))
        if getattr(now, name) != getattr(then, name)
    }
    after = replace(before, **changed)
    if "formatted_name" not in changed and before.formatted_name == _put_together(before):
        after = replace(after, formatted_name=_put_together(after))
    return _settled(after)


def _said(payload: payloads.User) -> PersonFacts:
    name = payload.name or payloads.Name()
    return PersonFacts(
        email=_address(payload.user_name or ""),
        is_active=payload.active is not False,
        external_id=payload.external_id or "",
        given_name=clean_name(name.given_name or ""),
        family_name=clean_name(name.family_name or ""),
        formatted_name=clean_name(name.formatted or ""),
        display_name=clean_name(payload.display_name or ""),
        work_email=_work_email(payload.emails or []),
    )


def _put_together(facts: PersonFacts) -> str:
    return f"{facts.given_name} {facts.family_name}".strip()


def _settled(facts: PersonFacts) -> PersonFacts:
    """Keep the work address only if it differs from the sign-in address."""
    return replace(facts, work_email="") if address_or_none(facts.work_email) == facts.email else facts


def _address(said: str) -> str:
    """An address in its one form. An invalid address stays as it was sent, for the action to reject."""
    return address_or_none(said) or said.strip()


def group_payload(group: DirectoryGroup, members: Iterable[User] | None) -> payloads.Group:
    """A group as the directory sees it; `members` is None if the directory did not request them."""
    return payloads.Group(
        id=str(group.pk),
        external_id=group.external_id or None,
        display_name=group.display_name,
        members=None if members is None else [_member(user) for user in members] or None,
        meta=Meta(
            resource_type="Group",
            created=group.created_at,
            last_modified=group.changed_at,
            location=location("Groups", group.pk),
            version=group_version(group),
        ),
    )


def group_version(group: DirectoryGroup) -> str:
    """The version of a group: the time of its last change, which is made under its lock."""
    return _weak(f"{int(group.changed_at.timestamp() * 1_000_000):x}")


def _member(user: User) -> Any:
    """A member, not validated, because a group may have thousands of them."""
    return GroupMember.model_construct(
        value=str(user.pk), ref=location("Users", user.pk), type="User", display=user.name or user.email
    )


def _work_email(emails: list[payloads.Email]) -> str:
    """The one address that is stored: the one of type work, else the primary one, else the first."""
    usable = [email for email in emails if email.value]
    ranked = sorted(usable, key=lambda email: (email.type != "work", not email.primary))
    return (ranked[0].value or "").strip() if ranked else ""


def _weak(text: str) -> str:
    return f'W/"{text}"'
