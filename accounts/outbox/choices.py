"""What a person is told, and how: everything that its event offers, unless they switched it off."""

from __future__ import annotations

from accounts.models import User
from accounts.outbox.events import Event, declared_events


def switch_of(event: Event, channel: str) -> str:
    """The name of one choice, as it is stored and as the page sends it."""
    return f"{event.name}:{channel}"


def wants(user: User, event: Event, channel: str) -> bool:
    """Whether a person is told of this event by this channel. What is not optional, everybody is told."""
    return not event.is_optional or switch_of(event, channel) not in user.muted


def events_for(user: User) -> list[Event]:
    """The events that a person can switch off: those that may ever be about them."""
    return [event for event in declared_events() if event.is_optional and event.concerns(user)]
