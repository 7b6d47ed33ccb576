"""What people are told about the conversation on a request: that somebody names them, or writes on their request."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.mail import quoted
from accounts.models import OutboxMessage, User
from accounts.outbox.events import Event, declare
from accounts.outbox.posting import tell
from catalog.models import AccessRequest, RequestComment
from catalog.notices import BOTH


class CommentEvent(Event):
    """Somebody wrote on a request; who is told must still see it. The text is read on the page, not in a mail."""

    channels = BOTH

    def find(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, Any]:
        reader = messages[0].user
        # None of these events is for a bare address.
        assert reader is not None
        comments = RequestComment.objects.across_tenants().filter(
            pk__in=[message.subject_id for message in messages],
            access_request__in=AccessRequest.objects.visible_to(reader).values("pk"),
        )
        found = {one.pk: one for one in comments.select_related("tenant", "author", "access_request")}
        return {one.pk: found[one.subject_id] for one in messages if one.subject_id in found}

    def path(self, message: OutboxMessage, subject: RequestComment) -> str:
        reader = message.user
        assert reader is not None
        if reader.own_tenants().filter(tenant=subject.tenant_id).exists():
            return reverse("request-detail", args=[subject.tenant.slug, subject.access_request_id])
        return reverse("admin:catalog_accessrequest_change", args=[subject.access_request_id])


class Mentioned(CommentEvent):
    name = "access_request.mentioned"
    label = gettext_lazy("Somebody mentions you on a request")

    def title(self, message: OutboxMessage, subject: RequestComment) -> str:
        return _("%(who)s mentions you on the request for %(model)s in %(project)s") % _words(subject)


class RequestCommented(CommentEvent):
    name = "access_request.commented"
    label = gettext_lazy("Somebody writes on your request")

    def title(self, message: OutboxMessage, subject: RequestComment) -> str:
        return _("%(who)s wrote on your request for %(model)s in %(project)s") % _words(subject)


MENTIONED: Final = declare(Mentioned())
REQUEST_COMMENTED: Final = declare(RequestCommented())


def tell_of_comment(
    comment: RequestComment, access_request: AccessRequest, mentioned: Collection[User]
) -> None:
    """Tell those whom a comment mentions, and whoever made the request; nobody twice, and not the author."""
    named = [person for person in mentioned if person.pk != comment.author_id]
    tell(MENTIONED, named, subject=comment, tenant=access_request.tenant)
    person = access_request.requested_by
    requester = person.responsible if person.is_service_account else person
    if requester is not None and requester.pk not in {comment.author_id, *(one.pk for one in named)}:
        tell(REQUEST_COMMENTED, [requester], subject=comment, tenant=access_request.tenant)


def _words(comment: RequestComment) -> dict[str, str]:
    request = comment.access_request
    return {
        "who": quoted(comment.author),
        "model": request.models_label,
        "project": quoted(request.projects_label),
    }
