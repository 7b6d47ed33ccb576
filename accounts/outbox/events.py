"""What people are told of. Each app declares its events; importing the module that declares one registers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from accounts.mail import compose
from accounts.models import OutboxMessage, User


class Event:
    """A kind of thing that people are told. Subclasses say how; `declare` registers one instance of each."""

    # Stored in rows, so it never changes: "invitation".
    name: ClassVar[str]
    # What settings and lists call it.
    label: ClassVar[Any]
    # How people are told. An address without an account has no inbox.
    channels: ClassVar[Sequence[str]] = (OutboxMessage.Channel.MAIL,)
    # Whether people may choose not to be told.
    is_optional: ClassVar[bool] = True

    def find(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, Any]:
        """The subjects that may be told, by the ids of their messages. All messages are for one recipient.

        A message without a subject here is told to nobody: the subject is gone or settled, or the recipient may no
        longer see it. Runs in the scope of the message's tenant, or of the platform for its
        staff.
        """
        raise NotImplementedError

    def concerns(self, user: User) -> bool:
        """Whether it can ever be about this person, so that their page of choices offers it."""
        return True

    def reader(self, message: OutboxMessage, subject: Any) -> User | None:
        """Whose language the mail is written in; None: the language of the platform."""
        return message.user

    def title(self, message: OutboxMessage, subject: Any) -> str:
        """What happened, in one sentence: the line in the inbox and the subject of the mail."""
        raise NotImplementedError

    def path(self, message: OutboxMessage, subject: Any) -> str:
        """The page that the message leads to. The link signs nobody in."""
        raise NotImplementedError

    def lines(self, message: OutboxMessage, subject: Any) -> Sequence[str]:
        """What else the mail says, one paragraph each."""
        return ()

    def mail(self, message: OutboxMessage, subject: Any) -> EmailMultiAlternatives:
        """The mail, in the current language."""
        title = self.title(message, subject)
        url = f"{settings.CONSOLE_URL}{self.path(message, subject)}"
        lines = self.lines(message, subject)
        return compose("notice", title, message.recipient, title=title, lines=lines, url=url)

    def settle(self, message: OutboxMessage) -> None:
        """Note on the subject what became of the message. Runs in the transaction that records it."""


_DECLARED: Final[dict[str, Event]] = {}


def declare(event: Event) -> Event:
    """Register an event and return it. Raises ValueError if another event has its name."""
    if event.name in _DECLARED:
        raise ValueError(f"Two events are called {event.name}.")
    _DECLARED[event.name] = event
    return event


def event_named(name: str) -> Event:
    """Raises KeyError for an event that nobody declares, such as one of a newer release."""
    return _DECLARED[name]


def declared_events() -> list[Event]:
    """All events, by name."""
    return [event for _, event in sorted(_DECLARED.items())]


def labels() -> list[tuple[str, Any]]:
    """The events by name with their labels, for lists and filters."""
    return [(event.name, event.label) for event in declared_events()]
