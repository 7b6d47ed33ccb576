"""Turn a database error caused by a concurrent change into the Conflict that people see.

An action checks first and writes afterwards. If the data changes in between, one of our constraints or triggers
rejects the row. That is nobody's fault and not a server error: pages, the admin, the API and SCIM answer 409.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import structlog
from django.db import Error
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from psycopg.errors import (
    DeadlockDetected,
    ExclusionViolation,
    ForeignKeyViolation,
    SerializationFailure,
    UniqueViolation,
)
from psycopg.errors import Error as PostgresError

from core.errors import Conflict

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

log = structlog.get_logger(__name__)

# Another transaction inserted, deleted or locked what this one needed.
OF_RACES = (UniqueViolation, ExclusionViolation, ForeignKeyViolation, DeadlockDetected, SerializationFailure)


class Sentence(NamedTuple):
    """The message for people when the constraint rejects a row, and the code for programs."""

    words: str | StrPromise
    code: str = "changed_meanwhile"


_sentences: dict[str, Sentence] = {
    "tenant_stays_closed": Sentence(
        _("Someone else has just closed this tenant. Nothing can be changed here."), "tenant_not_active"
    ),
    "tenant_closes_by_two": Sentence(
        _("Someone else has just changed the proposal to close this tenant. Reload to see the current state.")
    ),
    "tenant_closing_stands": Sentence(
        _("Someone else has just changed the proposal to close this tenant. Reload to see the current state.")
    ),
    "tenant_currency_stands": Sentence(
        _("The tenant's first usage has just arrived, so its currency cannot be changed."), "currency_in_use"
    ),
}


def register(sentences: Mapping[str, Sentence]) -> None:
    """Add the messages of an app's triggers, by the name that they give as CONSTRAINT. Safe to repeat."""
    _sentences.update(sentences)


def known_constraints() -> frozenset[str]:
    """The constraints of triggers that have a message of their own."""
    return frozenset(_sentences)


def constraint_of(error: BaseException) -> str:
    """The name of the constraint that rejected the row, as the database reports it; empty if it reports none."""
    cause = error.__cause__
    return (cause.diag.constraint_name or "") if isinstance(cause, PostgresError) else ""


def conflict_of(error: BaseException) -> Conflict | None:
    """The Conflict that a database error means; None if the error is our fault and stays an error (500)."""
    if not isinstance(error, Error):
        return None
    constraint = constraint_of(error)
    sentence = _sentences.get(constraint)
    if sentence is None and not isinstance(error.__cause__, OF_RACES):
        return None
    log.warning("database_refused", constraint=constraint, reason=str(error), exc_info=sentence is None)
    if sentence is None:
        return Conflict(
            gettext("Someone else changed this first. Reload to see the current state."),
            code="changed_meanwhile",
        )
    return Conflict(str(sentence.words), code=sentence.code)


def conflict_for(request: HttpRequest, error: BaseException) -> Conflict | None:
    """Like `conflict_of`, except for gateways: they retry after a 500 but set an event aside after a 409."""
    return None if request.path_info.startswith("/internal/") else conflict_of(error)


@contextmanager
def conflicts_of_database() -> Generator[None]:
    """Raise Conflict if the database rejects a row in the block because of a concurrent change.

    Also decorates an action. Put it around the action's transaction, never inside: the rejection ends the transaction.
    """
    try:
        yield
    except Error as error:
        if conflict := conflict_of(error):
            raise conflict from error
        raise
