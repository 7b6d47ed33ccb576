"""The conversation on a request: its requester's tenant and its reviewers write, and both see all of it."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.comment_notices import tell_of_comment
from catalog.models import AccessRequest, RequestComment, Review, ReviewDecision
from catalog.review_scopes import DECIDE, decided_by
from core.errors import Conflict
from core.names import read_prose
from core.scope import platform_scope
from tenants.emergency import emergency_of
from tenants.status import in_active_tenant, lock_tenant_shared

LONGEST_COMMENT: Final = 4000
MOST_COMMENTS: Final = 1000
MOST_MENTIONS: Final = 10

# An e-mail address after an "@", to the end of its last word: "@dana@lab.example, please".
_WRITTEN: Final = re.compile(r"(?<![\w@.])@([\w.+-]+@[\w-]+(?:\.[\w-]+)+)")

# A mention as it is stored: the person's id, so that no text keeps the address of somebody who is erased.
MENTION: Final = re.compile(r"@\[([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\]")

Capacity = RequestComment.Capacity


def capacity_of(user: User, access_request: AccessRequest) -> RequestComment.Capacity | None:
    """What `user` is to the request: a member of its tenant, a reviewer of one of its tracks; None for others."""
    access = emergency_of(user)
    if access is not None and access.tenant_id == access_request.tenant_id:
        return Capacity.EMERGENCY
    if user.own_tenants().filter(tenant=access_request.tenant_id).exists():
        return Capacity.MEMBER
    if not user.has_perm(DECIDE):
        return None
    reviews = Review.objects.across_tenants().filter(access_request=access_request)
    # Scopes of all tenants are not of the one whose page this may be.
    with platform_scope("whether a review scope covers a request", is_routine=True):
        return Capacity.REVIEWER if decided_by(user, reviews).exists() else None


def _require_part_in_it(by: User, access_request: AccessRequest) -> None:
    if capacity_of(by, access_request) is None:
        raise PermissionDenied(
            _("Members of the tenant write here, and reviewers whose review scopes cover the request.")
        )


@action(AccessRequest, permission=None, rule=_require_part_in_it, state=in_active_tenant)
@transaction.atomic
def comment_on_request(pk: UUID | str, *, by: User, text: str) -> RequestComment:
    """Add a comment to a request, decided or not. Nobody changes or deletes it later.

    A person is mentioned by "@" and their e-mail address, if they can see the request; the text then keeps their id.
    Any other address stays text, without a word on whether somebody has it.

    Raises:
        AccessRequest.DoesNotExist: `by` cannot see such a request.
        PermissionDenied: `by` is no member of its tenant, and none of their review scopes covers one of its reviews.
        Conflict: the tenant is not active, or the request has 1,000 comments.
        ValidationError: the text is empty, longer than 4,000 characters, or has invisible characters.
    """
    found = AccessRequest.objects.visible_to(by).select_related("tenant").get(pk=pk)
    found.tenant = lock_tenant_shared(found.tenant)
    comment_on_request.require(by, found)
    try:
        text = read_prose(text)
    except ValidationError as error:
        raise ValidationError({"text": error.messages}) from error
    if not text:
        raise ValidationError({"text": _("Write something.")})
    if len(text) > LONGEST_COMMENT:
        raise ValidationError({"text": _("Use at most 4,000 characters.")})
    comments = RequestComment.objects.in_tenant(found.tenant).filter(access_request=found)
    if comments.count() >= MOST_COMMENTS:
        raise Conflict(_("This request has 1,000 comments, the most there can be."), code="too_many_comments")
    capacity = capacity_of(by, found)
    assert capacity is not None  # the rule above
    mentioned = mentioned_in(text, found, by_member=capacity != Capacity.REVIEWER)
    comment = RequestComment.objects.create(
        tenant=found.tenant,
        access_request=found,
        author=by,
        capacity=capacity,
        text=_with_ids(text, mentioned),
        mentions=[person.pk for person in mentioned],
    )
    audit.record(
        "access_request.commented",
        actor=by,
        subject=found,
        comment=str(comment.pk),
        capacity=capacity.value,
        mentions=[str(person.pk) for person in mentioned],
    )
    tell_of_comment(comment, found, mentioned)
    return comment


def mentioned_in(text: str, access_request: AccessRequest, *, by_member: bool) -> list[User]:
    """The people whom a text mentions and who can see the request, at most ten.

    A member of the tenant mentions members, and staff who already wrote or decided here: so nobody finds out by
    mentions which addresses belong to the platform's staff.
    """
    addresses = list(dict.fromkeys(address.lower() for address in _WRITTEN.findall(text)))[:MOST_MENTIONS]
    people = User.objects.filter(email__in=addresses, is_active=True) if addresses else User.objects.none()
    return [person for person in people if _may_be_mentioned(person, access_request, by_member)]


def _with_ids(text: str, mentioned: list[User]) -> str:
    ids = {person.email.lower(): person.pk for person in mentioned}

    def stored(found: re.Match[str]) -> str:
        person = ids.get(found[1].lower())
        return f"@[{person}]" if person else found[0]

    return _WRITTEN.sub(stored, text)


def _may_be_mentioned(person: User, access_request: AccessRequest, by_member: bool) -> bool:
    if not AccessRequest.objects.visible_to(person).filter(pk=access_request.pk).exists():
        return False
    if not by_member or person.own_tenants().filter(tenant=access_request.tenant_id).exists():
        return True
    here = {"tenant": access_request.tenant_id}
    wrote = RequestComment.objects.across_tenants().filter(
        access_request=access_request, author=person, **here
    )
    decided = ReviewDecision.objects.across_tenants().filter(
        review__access_request=access_request, reviewer=person, **here
    )
    return wrote.exists() or decided.exists()
