"""Mail, and scheduled cleanup. A message is only a hint, and the row is the truth: any task may run twice."""

from __future__ import annotations

from celery import shared_task
from celery.schedules import crontab

from accounts import idempotency, sessions
from accounts.outbox import sending


@shared_task(soft_time_limit=120)
def clear_expired_sessions() -> None:
    """Delete the rows of expired sessions."""
    sessions.clear_expired_sessions()


@shared_task(soft_time_limit=120)
def clear_idempotency_records() -> None:
    """Delete answers to idempotent requests that no client will repeat any more."""
    idempotency.clear_idempotency_records()


@shared_task(soft_time_limit=420)
def send_mail_due() -> None:
    """Send the mails that are due: after each commit that tells somebody, and by the clock for what was left."""
    sending.send_mail_due()


@shared_task(soft_time_limit=420)
def send_chat_due() -> None:
    """Send what is due in chats: after each commit that tells somebody there, and by the clock for what was left."""
    # That module imports models, which Celery may not have loaded yet.
    from accounts.outbox import chat

    chat.send_chat_due()


@shared_task(soft_time_limit=120)
def mark_the_missed() -> None:
    """Mark people who were told something by a process that died before it marked them."""
    # That module imports this one.
    from accounts.outbox.posting import mark_the_missed

    mark_the_missed()


@shared_task
def clear_settled_messages() -> None:
    """Delete messages of the outbox that were sent or given up long ago."""
    sending.clear_settled_messages()


SCHEDULE = {
    "send-mail-due": {"task": "accounts.tasks.send_mail_due", "schedule": 30.0},
    "send-chat-due": {"task": "accounts.tasks.send_chat_due", "schedule": 30.0},
    "mark-the-missed": {"task": "accounts.tasks.mark_the_missed", "schedule": 300.0},
    "clear-settled-messages": {
        "task": "accounts.tasks.clear_settled_messages",
        "schedule": crontab(hour="3", minute="27"),
    },
    "clear-expired-sessions": {
        "task": "accounts.tasks.clear_expired_sessions",
        "schedule": crontab(minute="17"),
    },
    "clear-idempotency-records": {
        "task": "accounts.tasks.clear_idempotency_records",
        "schedule": crontab(minute="37"),
    },
}
