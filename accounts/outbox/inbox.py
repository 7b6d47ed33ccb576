"""What a person finds in their inbox, said when they look, from what they may see then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from accounts.models import OutboxMessage
from accounts.outbox.events import event_named

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Entry:
    """A line of the inbox. Without a title there is nothing left that this person may know."""

    pk: UUID
    title: str
    path: str
    at: datetime
    is_unread: bool


def entries(messages: Sequence[OutboxMessage]) -> list[Entry]:
    """The messages of one person as lines, in their order; one query for each event among them."""
    by_event: dict[str, list[OutboxMessage]] = {}
    for message in messages:
        by_event.setdefault(message.event, []).append(message)
    found: dict[UUID, Any] = {}
    for name, some in by_event.items():
        found |= _find(name, some)
    return [_entry(message, found.get(message.pk)) for message in messages]


def _find(name: str, messages: Iterable[OutboxMessage]) -> Mapping[UUID, Any]:
    try:
        return event_named(name).find(list(messages))
    except KeyError:
        # Of a release that is newer, or gone.
        log.warning("event_unknown", message_event=name)
        return {}


def _entry(message: OutboxMessage, subject: Any) -> Entry:
    title = path = ""
    if subject is not None:
        event = event_named(message.event)
        title, path = event.title(message, subject), event.path(message, subject)
    return Entry(message.pk, title, path, message.created_at, message.read_at is None)
