"""What undoing one action would do, and what the inverses share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec

from django.core.exceptions import ObjectDoesNotExist
from django.utils.translation import gettext as _

from accounts.models import User
from audit.models import AuditEntry
from core.errors import Conflict

P = ParamSpec("P")


@dataclass(frozen=True)
class Step:
    """One action behind a revision."""

    entry: AuditEntry
    # What undoing it would do; or, if it has no inverse, why not.
    words: str
    undo: Callable[[User | None], object] | None = None


def changed_since(what: str) -> Conflict:
    """The error for something that is no longer as the entry left it."""
    return Conflict(
        _("%(what)s: changed again since. Undo that first, or correct it by hand.") % {"what": what},
        code="changed_since",
    )


def found_again(entry: AuditEntry, work: Callable[[], object]) -> None:
    """Do it. Raises Conflict if the thing is gone."""
    try:
        work()
    except ObjectDoesNotExist as error:
        raise changed_since(entry.subject_label) from error
