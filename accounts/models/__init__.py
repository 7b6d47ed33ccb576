"""People and programs, how they sign in, their sessions and tokens."""

from accounts.models.chat import ChatChannel
from accounts.models.idempotency import IdempotencyRecord
from accounts.models.outbox import OutboxMessage
from accounts.models.people import (
    Session,
    Source,
    StaffRoleAssignment,
    User,
)
from accounts.models.second_factor import RecoveryCode, SecondFactor

__all__ = [
    "ChatChannel",
    "IdempotencyRecord",
    "OutboxMessage",
    "RecoveryCode",
    "SecondFactor",
    "Session",
    "Source",
    "StaffRoleAssignment",
    "User",
]
