"""People and programs, how they sign in, their sessions and tokens."""

from accounts.models.idempotency import StoredAnswer
from accounts.models.people import (
    Session,
    Source,
    StaffAppointment,
    User,
)
from accounts.models.second_factor import RecoveryCode, SecondFactor

__all__ = [
    "RecoveryCode",
    "SecondFactor",
    "Session",
    "Source",
    "StaffAppointment",
    "StoredAnswer",
    "User",
]
