"""Sending what is due. A message to the queue is a hint, the row is the truth.

An attempt claims one row: it counts itself, and moves the row's next attempt behind the longest time it can take. Only
the latest attempt can record its result. A process that dies leaves a row that becomes due again, so what was sent and
not yet recorded is sent a second time: with the same Message-ID, by which mail programs recognize it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException, SMTPSenderRefused
from typing import Any, Final

import structlog
from django.conf import settings
from django.core.mail import get_connection
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.timezone import now

from accounts.mail import in_language_of
from accounts.models import OutboxMessage
from accounts.outbox.choices import wants
from accounts.outbox.events import Event, event_named
from accounts.stored_sentences import CANNOT_BE_WRITTEN, MAIL_IS_REFUSED, MAIL_SERVER_IS_AWAY, SENDER_DIED
from core.scope import platform_scope, tenant_scope

log = structlog.get_logger(__name__)
State = OutboxMessage.State

# An attempt waits for the server about 20 times, each at most EMAIL_TIMEOUT: two addresses of its host, its greeting,
# EHLO, STARTTLS with its handshake, EHLO again, up to three methods of AUTH with two answers each, MAIL, RCPT, DATA,
# the mail and its answer, RSET and QUIT. The rest is for ours: reading and writing rows.
WAITS_OF_AN_ATTEMPT: Final = 30
SHORTEST_LEASE: Final = timedelta(minutes=5)
FIRST_WAIT: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(hours=6)
# With these waits, the last attempt begins 20 hours after the first.
MOST_ATTEMPTS: Final = 12
# Seconds after which a task leaves the rest to the next one.
LONGEST_RUN: Final = 240
SWEPT_AT_ONCE: Final = 5000
_TROUBLE: Final = (OSError, SMTPException)


class TemporaryTrouble(Exception):
    """The message was not sent; trying again later may work. `is_servers`: no other message would get through now."""

    def __init__(self, problem: str, *, is_servers: bool = False) -> None:
        super().__init__(problem)
        self.problem, self.is_servers = problem, is_servers


class PermanentTrouble(Exception):
    """The message was not sent, and trying again would change nothing."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def send_mail_due() -> int:
    """Send the mails that are due, one after the other, and return how many went out; 0 if another worker is at it.

    Stops when nothing is due, after LONGEST_RUN seconds, and at the first mail for which the server is away.
    """
    sent, ends_at = 0, time.monotonic() + LONGEST_RUN
    while True:
        with only_sender("accounts.send_mail_due") as is_ours:
            if not is_ours:
                return sent
            some, is_done = _send_until(ends_at)
        sent += some
        # Whoever wrote a mail after the last look was turned away while we held the lock: so look again without it.
        if not is_done or not _is_any_due(OutboxMessage.Channel.MAIL):
            return sent


@contextmanager
def only_sender(name: str) -> Iterator[bool]:
    """Yield whether this worker is the only one that sends: with a slow server, more would only fill all workers.

    The lock belongs to the session, so it ends with a process that dies. If it is lost early, claims still keep two
    senders apart. `name` tells senders of different things apart.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [name])
        is_ours: bool = cursor.fetchone()[0]
    try:
        yield is_ours
    finally:
        # With the session, its lock is gone; a new one has none to give back.
        if is_ours and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])


def _send_until(ends_at: float) -> tuple[int, bool]:
    """Return how many mails went out, and whether none is left that is due."""
    sent = 0
    server = get_connection()
    try:
        while time.monotonic() < ends_at:
            message = claim(OutboxMessage.Channel.MAIL)
            if message is None:
                return sent, True
            try:
                sent += _attempt(message, server)
            except TemporaryTrouble:
                break
    finally:
        server.close()
    return sent, False


def _due(channel: str) -> QuerySet[OutboxMessage]:
    """The messages that are due and no other worker holds, the oldest first; in a transaction."""
    due = OutboxMessage.objects.filter(channel=channel, state=State.WAITING, due_at__lte=now())
    return due.order_by("due_at").select_for_update(skip_locked=True)


def _is_any_due(channel: str) -> bool:
    with platform_scope("whether a message is due", is_routine=True), transaction.atomic():
        return _due(channel).first() is not None


def lease() -> timedelta:
    """How long an attempt holds its message: longer than it can take, whatever the patience with the server is."""
    return max(SHORTEST_LEASE, WAITS_OF_AN_ATTEMPT * timedelta(seconds=settings.EMAIL_TIMEOUT))


def claim(channel: str) -> OutboxMessage | None:
    """Take the next message that is due for one attempt; None if there is none that no other worker holds."""
    while True:
        with platform_scope("a message that is due", is_routine=True), transaction.atomic():
            message = _due(channel).first()
            if message is None:
                return None
            if message.attempts < MOST_ATTEMPTS:
                message.attempts += 1
                message.due_at = now() + lease()
                message.save(update_fields=["attempts", "due_at"])
                return message
        # Whatever it does to the processes that try, they never lived to say so.
        record(message, State.FAILED, SENDER_DIED())


def _attempt(message: OutboxMessage, server: Any) -> bool:
    """Write and send one claimed mail, and record the result; return whether it went out.

    Raises TemporaryTrouble, when recorded, if the server is away.
    """
    try:
        mail = _write(message)
        if mail is None:
            record(message, State.DROPPED)
            return False
        mail.connection = server
        _pass_on(mail)
    except PermanentTrouble as trouble:
        log.warning("message_not_sent", message=str(message.pk), problem=trouble.problem)
        record(message, State.FAILED, trouble.problem)
        return False
    except TemporaryTrouble as trouble:
        log.warning("message_waits", message=str(message.pk), problem=trouble.problem)
        postpone(message, trouble.problem)
        if trouble.is_servers:
            raise
        return False
    except Exception as error:
        # Nobody foresaw it. It is this mail's trouble until it proves to be more, so the others go out.
        log.exception("message_not_passed_on", message=str(message.pk), message_event=message.event)
        postpone(message, CANNOT_BE_WRITTEN(kind=type(error).__name__))
        # The next mail begins a conversation of its own.
        server.close()
        return False
    record(message, State.SENT)
    log.info("message_sent", message=str(message.pk), message_event=message.event)
    return True


def _write(message: OutboxMessage) -> Any:
    """The mail as its recipient may read it now; None if there is nothing to tell them any more.

    Raises TemporaryTrouble for what we fail to write: the release that mends it sends it.
    """
    try:
        event = event_named(message.event)
        with scope_of(message):
            subject = event.find([message]).get(message.pk)
            if subject is None or not is_wanted(message, event):
                return None
            with in_language_of(event.reader(message, subject)):
                mail = event.mail(message, subject)
        mail.extra_headers |= {"Message-ID": message_id(message), "Auto-Submitted": "auto-generated"}
    except Exception as error:
        log.exception("message_not_written", message=str(message.pk), message_event=message.event)
        raise TemporaryTrouble(CANNOT_BE_WRITTEN(kind=type(error).__name__)) from error
    return mail


def is_wanted(message: OutboxMessage, event: Event) -> bool:
    """Whether the recipient, if it is a person, still has an active account and has not switched this off meanwhile."""
    person = message.user
    return person is None or (person.is_active and wants(person, event, message.channel))


def message_id(message: OutboxMessage) -> str:
    """The Message-ID of every attempt to send this message."""
    return f"<{message.pk}@{settings.CONSOLE_URL.split('://')[-1].split('/')[0].split(':')[0]}>"


def scope_of(message: OutboxMessage) -> Any:
    """The scope of the recipient's own requests, but of this tenant alone."""
    person = message.user
    is_staff = person is not None and (person.is_superuser or bool(person.staff_roles))
    if message.of_tenant_id is None or is_staff:
        return platform_scope(f"telling of {message.event}", is_routine=True)
    return tenant_scope(message.of_tenant_id, person=message.user_id or "")


def _pass_on(mail: Any) -> None:
    """Hand a mail to the server. Raises TemporaryTrouble or PermanentTrouble."""
    try:
        mail.connection.open()
    except _TROUBLE as error:
        raise TemporaryTrouble(MAIL_SERVER_IS_AWAY(kind=type(error).__name__), is_servers=True) from error
    try:
        mail.send()
    except _TROUBLE as error:
        kind = type(error).__name__
        if is_final(error):
            raise PermanentTrouble(MAIL_IS_REFUSED(kind=kind)) from error
        # The next mail begins a conversation of its own.
        mail.connection.close()
        is_answer = isinstance(error, SMTPRecipientsRefused | SMTPResponseException)
        problem = MAIL_IS_REFUSED(kind=kind) if is_answer else MAIL_SERVER_IS_AWAY(kind=kind)
        raise TemporaryTrouble(problem, is_servers=not is_answer or _refuses_us(error)) from error


def is_final(error: Exception) -> bool:
    """Whether a server's refusal of a mail is for good: codes of 500 and more (RFC 5321, section 4.2.1)."""
    if isinstance(error, SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, SMTPResponseException) and error.smtp_code >= 500 and not _refuses_us(error)


def _refuses_us(error: Exception) -> bool:
    """Whether the server wants no mail of ours: all have one sender (DEFAULT_FROM_EMAIL), which operators can mend."""
    return isinstance(error, SMTPSenderRefused)


def record(message: OutboxMessage, state: str, problem: str = "") -> None:
    """Record the result of an attempt, and let its event note it; not if a later attempt has begun.

    What became of the message stands even if its event fails to note it: a mail that went out is not sent again.
    """
    with platform_scope("what became of a message", is_routine=True), transaction.atomic():
        message.state, message.problem, message.settled_at = state, problem, now()
        mine = OutboxMessage.objects.filter(pk=message.pk, state=State.WAITING, attempts=message.attempts)
        if mine.update(state=state, problem=problem, settled_at=message.settled_at):
            _let_its_event_note(message)


def _let_its_event_note(message: OutboxMessage) -> None:
    try:
        # A savepoint: what the event wrote goes with its error, the result of the attempt does not.
        with transaction.atomic():
            _event_of(message).settle(message)
    except Exception:
        log.exception("message_not_noted", message=str(message.pk), message_event=message.event)


def _event_of(message: OutboxMessage) -> Event:
    try:
        return event_named(message.event)
    except KeyError:
        return Event()


def postpone(message: OutboxMessage, problem: str) -> None:
    """Let a message wait for its next attempt, twice as long each time; after the last one it has failed."""
    if message.attempts >= MOST_ATTEMPTS:
        record(message, State.FAILED, problem)
        return
    wait = min(FIRST_WAIT * 2 ** (message.attempts - 1), LONGEST_WAIT)
    with platform_scope("a message that waits", is_routine=True):
        mine = OutboxMessage.objects.filter(pk=message.pk, state=State.WAITING, attempts=message.attempts)
        mine.update(problem=problem, due_at=now() + wait)


def clear_settled_messages() -> int:
    """Delete messages that were settled OUTBOX_DAYS ago, dead letters included; return how many. Safe to repeat."""
    before = now() - timedelta(days=settings.OUTBOX_DAYS)
    with platform_scope("sweep of settled messages"):
        old = OutboxMessage.objects.filter(settled_at__lt=before).order_by("settled_at")
        gone = 0
        while True:
            some = list(old.values_list("pk", flat=True)[:SWEPT_AT_ONCE])
            gone += OutboxMessage.objects.filter(pk__in=some).delete()[0]
            if len(some) < SWEPT_AT_ONCE:
                return gone
