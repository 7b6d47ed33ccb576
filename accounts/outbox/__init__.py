"""The outbox tells people what happened, once, by the channels of their choice (docs/notifications.md).

An action writes rows (`posting.tell`), a task sends them (`sending.send_due`), and each app declares in `events.py`
what it tells, to whom, and who may still be told when the time comes.
"""
