"""Sessions in the database, each row saying whose it is, so that they can be listed and ended (SESSION_ENGINE).

What a sign-in knows of itself it puts into the session under ORIGIN_KEYS; saving copies it to the row's columns.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore

ORIGIN_KEYS = ("address", "user_agent", "issuer", "subject", "provider_session", "has_second_factor")
PREFIX = "qm_"  # of ORIGIN_KEYS within the session's data


class SessionStore(DatabaseSessionStore):
    """Django's own, on our table."""

    @classmethod
    def get_model_class(cls) -> Any:
        from tenants.models import Session

        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row: Any = super().create_model_instance(data)
        row.user_id = data.get(SESSION_KEY)
        for name in ORIGIN_KEYS:
            if (value := data.get(f"{PREFIX}{name}")) is not None:
                setattr(row, name, value)
        return row
