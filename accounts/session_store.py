"""Sessions in the database (SESSION_ENGINE). Each row names its owner, so that we can list and end sessions.

A sign-in puts its origin into the session under ORIGIN_KEYS; saving copies it to the row's columns.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import DatabaseError, IntegrityError, router, transaction

ORIGIN_KEYS = ("address", "user_agent", "issuer", "subject", "provider_session", "has_second_factor")
# The prefix of ORIGIN_KEYS within the session's data.
PREFIX = "qm_"
# Set if an administrator's link opened the session.
BY_LINK = f"{PREFIX}administrator_link"
# Written once, and later only by accounts/sessions.py. Changing a session does not extend it, so this includes its end.
KEPT_AT_SAVING = ("created_at", "seen_at", "expire_date")


class SessionStore(DatabaseSessionStore):
    """Django's session store, on our table. `seen_at` is the row's value when this request read it."""

    seen_at: datetime | None = None

    @classmethod
    def get_model_class(cls) -> Any:
        from accounts.models.people import Session

        return Session

    def load(self) -> dict[str, Any]:
        row = self._get_session_from_db()  # type: ignore[attr-defined]
        self.seen_at = row.seen_at if row else None
        return self.decode(row.session_data) if row else {}

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row: Any = super().create_model_instance(data)
        row.user_id = data.get(SESSION_KEY)
        for name in ORIGIN_KEYS:
            if (value := data.get(f"{PREFIX}{name}")) is not None:
                setattr(row, name, value)
        return row

    def cycle_key(self) -> None:
        """Continue under another key. Raises SessionInterrupted (400) if somebody ended the session meanwhile.

        A signed-in session keeps its beginning and end. This locks the person, as code that ends sessions does;
        otherwise that code would miss the row that replaces the old one.
        """
        person, key = self.get(SESSION_KEY), self.session_key
        sessions: Any = self.model.objects.using(router.db_for_write(self.model))
        with transaction.atomic(using=sessions.db):
            times: dict[str, datetime] | None = {}
            if person and key:
                list(get_user_model().objects.select_for_update(no_key=True).filter(pk=person))
                times = sessions.filter(session_key=key).values("created_at", "expire_date").first()
                if times is None:
                    raise SessionInterrupted("This session has ended. Sign in again.")
            super().cycle_key()
            if times:
                sessions.filter(session_key=self.session_key).update(**times)

    def save(self, must_create: bool = False) -> None:
        """Write the session; an existing row keeps its times of beginning, last use and end.

        Raises UpdateError if somebody ended the session meanwhile: an ended session stays ended.
        """
        if self.session_key is None:
            self.create()
            return
        row = self.create_model_instance(self._get_session(no_load=must_create))  # type: ignore[attr-defined]
        changing = [
            field.name
            for field in row._meta.concrete_fields
            if not field.primary_key and field.name not in KEPT_AT_SAVING
        ]
        using = router.db_for_write(self.model, instance=row)
        try:
            with transaction.atomic(using=using):
                if must_create:
                    row.save(force_insert=True, using=using)
                else:
                    row.save(force_update=True, using=using, update_fields=changing)
        except IntegrityError as error:
            if must_create:
                raise CreateError from error
            raise
        except DatabaseError as error:
            if not must_create:
                raise UpdateError from error
            raise
