"""Deciding several reviews at once, each by itself: one that cannot be decided stops no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.translation import gettext as _

from accounts.models import User
from catalog.actions.reviews import decide_review, read_verdict
from catalog.models import Review
from core.errors import Conflict


@dataclass(frozen=True)
class Outcome:
    """What became of one review: decided, or why not."""

    pk: UUID
    is_decided: bool
    words: str


def decide_reviews(
    chosen: Iterable[tuple[UUID, Mapping[str, Any]]], *, reviewer: User, verdict: str, comment: str = ""
) -> list[Outcome]:
    """Give several reviews the same verdict and comment, each as `decide_review` does, in a transaction of its own.

    Args:
        chosen: id and seen facts of each review. One whose facts are worse now is reported, not decided.
        reviewer: who decides; `decide_review` asks of each review whether they may.
        verdict: as in `decide_review`.
        comment: as in `decide_review`.

    Raises ValidationError, before anything is decided, for an unknown verdict, or a rejection or return without a
    reason.
    """
    read_verdict(verdict, comment)
    return [_decide(pk, seen, by=reviewer, verdict=verdict, comment=comment) for pk, seen in chosen]


def _decide(pk: UUID, seen: Mapping[str, Any], *, by: User, verdict: str, comment: str) -> Outcome:
    try:
        review = decide_review(pk, by=by, verdict=verdict, comment=comment, seen=seen)
    except Review.DoesNotExist:
        return Outcome(pk, False, _("There is no such review."))
    except Conflict as conflict:
        return Outcome(pk, False, conflict.message)
    except PermissionDenied as refused:
        return Outcome(pk, False, str(refused))
    except ValidationError as refused:
        return Outcome(pk, False, " ".join(refused.messages))
    if verdict == "return":
        return Outcome(pk, True, _("Changes wanted"))
    return Outcome(pk, True, str(review.get_state_display()))
