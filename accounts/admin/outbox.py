"""Staff pages: messages of the outbox, with those that failed and can be sent again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.actions import send_message_again
from accounts.admin.base import Colors, ReadOnlyAdmin
from accounts.admin.dialogs import Dialog
from accounts.models import OutboxMessage
from accounts.outbox.events import labels
from core.stored_words import retold


class EventFilter(admin.SimpleListFilter):
    title = _("Event")
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return labels()

    def queryset(self, request: HttpRequest, messages: QuerySet[Any]) -> QuerySet[Any]:
        return messages.filter(event=self.value()) if self.value() else messages


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnlyAdmin):
    """What was told to whom and whether it arrived; never the words, which may hold a link that is a secret."""

    page_badge = "state_label"
    list_display = [
        "event_label",
        "channel_label",
        "to",
        "of_tenant",
        "created_at",
        "attempts",
        "state_label",
    ]
    list_filter = ["state", "channel", EventFilter]
    list_select_related = ["user", "of_tenant"]
    search_fields = ["address", "user__email"]
    ordering = ["-pk"]
    fields = readonly_fields = [
        "event_label", "channel_label", "to", "of_tenant", "subject_id", "created_at", "state_label", "attempts",
        "next_attempt", "what_went_wrong", "settled_at",
    ]  # fmt: skip
    actions_detail = ["again"]
    empty_title = _("No messages")
    empty_text = _("What people are told by mail is listed here, until it is deleted after some months.")

    @display(description=_("Event"))
    def event_label(self, message: OutboxMessage) -> str:
        return str(dict(labels()).get(message.event, message.event))

    @display(description=_("Channel"))
    def channel_label(self, message: OutboxMessage) -> str:
        return message.get_channel_display()

    @display(description=_("Recipient"))
    def to(self, message: OutboxMessage) -> str:
        return message.recipient

    @display(description=_("State"), label=Colors(failed="danger", waiting="info"))
    def state_label(self, message: OutboxMessage) -> tuple[str, str]:
        return message.state, message.get_state_display()

    @display(description=_("Next attempt"))
    def next_attempt(self, message: OutboxMessage) -> Any:
        return message.due_at if message.state == OutboxMessage.State.WAITING else None

    @display(description=_("Last problem"))
    def what_went_wrong(self, message: OutboxMessage) -> str:
        return retold(message.problem)

    again = Dialog(
        send_message_again,
        label=_("Send again"),
        url_path="again",
        title=_("Send this message again?"),
        text=_("It is written anew, if its recipient may still be told, and tried as often as at first."),
        button=_("Send again"),
        done=_("It waits to be sent."),
    )
