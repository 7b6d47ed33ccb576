"""Presentation of the conversation on a request, as portal and staff site show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest
from django.template.defaultfilters import linebreaksbr
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.models import User
from accounts.permissions import signed_in
from catalog.actions.comments import MENTION, comment_on_request
from catalog.models import AccessRequest, RequestComment
from core.keyset import requested_page

PAGE_SIZE: Final = 20


@dataclass(frozen=True)
class CommentLine:
    """One comment, its text as HTML. `note` says what its author was to the request, unless a member."""

    pk: UUID
    author: str
    note: str
    text: SafeString
    at: datetime
    is_own: bool


def conversation_of(request: HttpRequest, access_request: AccessRequest) -> dict[str, Any]:
    """The newest comments, newest first, with links to earlier pages, and whether the reader may write.

    Three queries, however long the conversation is.
    """
    reader = signed_in(request)
    comments = RequestComment.objects.visible_to(reader).filter(access_request=access_request)
    page = requested_page(request, comments.select_related("author"), ("-pk",), size=PAGE_SIZE)
    mentioned = {pk for comment in page.rows for pk in comment.mentions}
    people = User.objects.in_bulk(mentioned)
    return {
        "comments": [_line(comment, people, reader) for comment in page.rows],
        "may_comment": comment_on_request.is_possible(reader, access_request),
        **page.links(fragment="conversation"),
    }


def _line(comment: RequestComment, people: dict[UUID, User], reader: User) -> CommentLine:
    is_member = comment.capacity == RequestComment.Capacity.MEMBER
    return CommentLine(
        pk=comment.pk,
        author=str(comment.author),
        note="" if is_member else comment.get_capacity_display(),
        text=_text_of(comment, people),
        at=comment.at,
        is_own=comment.author_id == reader.pk,
    )


def _text_of(comment: RequestComment, people: dict[UUID, User]) -> SafeString:
    """The text, with the names of those who were mentioned in it."""
    pieces: list[tuple[SafeString]] = []
    end = 0
    for found in MENTION.finditer(comment.text):
        person = people.get(UUID(found[1]))
        if person is None or person.pk not in comment.mentions:
            continue
        pieces.append((linebreaksbr(comment.text[end : found.start()]),))
        pieces.append((format_html('<b class="w5">@{}</b>', person),))
        end = found.end()
    return format_html_join("", "{}", [*pieces, (linebreaksbr(comment.text[end:]),)])
