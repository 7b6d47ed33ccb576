"""What a person is told, and how: everything that its event offers, unless they switched it off."""

from __future__ import annotations

from accounts.models import OutboxMessage, User
from accounts.outbox.events import Event, declared_events


def channels_of(event: Event) -> list[str]:
    """How people can be told of an event: what may be told by mail and switched off is also told in a chat."""
    may_chat = event.is_optional and OutboxMessage.Channel.MAIL in event.channels
    return [*event.channels, *([OutboxMessage.Channel.CHAT] if may_chat else [])]


def switch_of(event: Event, channel: str) -> str:
    """The name of one choice, as it is stored and as the page sends it."""
    return f"{event.name}:{channel}"


def wants(user: User, event: Event, channel: str) -> bool:
    """Whether a person is told of this event by this channel. What is not optional, everybody is told.

    In a chat, only those who have added one.
    """
    if channel == OutboxMessage.Channel.CHAT and not user.has_chat:
        return False
    return not event.is_optional or switch_of(event, channel) not in user.muted


def events_for(user: User) -> list[Event]:
    """The events that a person can switch off: those that may ever be about them."""
    return [event for event in declared_events() if event.is_optional and event.concerns(user)]
