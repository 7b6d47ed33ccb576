"""Changing the questions of tracks: a version is copied, its questions are edited, and it is put in force."""

from __future__ import annotations

from types import NoneType
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.actions.tracks import MANAGE
from catalog.models import Question, QuestionSet, Track
from catalog.models.questions import MOST_CHOICES, MOST_QUESTIONS
from core.editing import assign
from core.errors import Conflict
from core.names import read_line

State: Final = QuestionSet.State


def _require_draft(_by: User | None, found: QuestionSet) -> None:
    if found.state != State.DRAFT:
        raise Conflict(_("%(it)s is no draft; its questions stay. Copy it to change them.") % {"it": found})


def _require_draft_of(by: User | None, question: Question) -> None:
    _require_draft(by, question.question_set)


@action(NoneType, permission=MANAGE)
@transaction.atomic
def add_question_set(*, track: str, note: str, by: User) -> QuestionSet:
    """Begin a version of a track's questions, without questions: a draft.

    Args:
        track: code of the track.
        note: what the questions are for.
        by: an operator.

    Raises:
        PermissionDenied: `by` may not manage tracks.
        ValidationError: there is no such track, or the note is empty.
    """
    add_question_set.require(by, None)
    found = Track.objects.select_for_update(no_key=True).filter(code=track).first()
    if found is None:
        raise ValidationError({"track": _("There is no such track.")})
    draft = _new_draft(found, note, by)
    audit.record("question_set.added", actor=by, subject=draft, track=track, reason=draft.note)
    return draft


@action(QuestionSet, permission=MANAGE)
@transaction.atomic
def copy_question_set(pk: UUID | str, *, note: str, by: User) -> QuestionSet:
    """Make a draft with the questions of a version.

    Args:
        pk: id of the version.
        note: what will change, and why.
        by: an operator.

    Raises:
        QuestionSet.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not manage tracks.
        ValidationError: the note is empty.
    """
    source = QuestionSet.objects.select_related("track").get(pk=pk)
    copy_question_set.require(by, source)
    # One at a time, so that each has a number of its own.
    track = Track.objects.select_for_update(no_key=True).get(pk=source.track.pk)
    draft = _new_draft(track, note, by)
    Question.objects.bulk_create(
        Question(question_set=draft, **{name: getattr(one, name) for name in Question.EDITABLE})
        for one in source.questions.all()
    )
    audit.record("question_set.copied", actor=by, subject=draft, copied_from=str(source), reason=draft.note)
    return draft


@action(QuestionSet, permission=MANAGE, state=_require_draft)
@transaction.atomic
def put_questions_in_force(pk: UUID | str, *, by: User) -> QuestionSet:
    """Put a draft in force: requests that need the track answer it from now on. The version of before is superseded.

    Raises:
        QuestionSet.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not manage tracks.
        Conflict: it is no draft, or has no questions.
    """
    draft = _lock(pk)
    put_questions_in_force.require(by, draft)
    if not draft.questions.exists():
        raise Conflict(_("This version has no questions."))
    before = QuestionSet.objects.select_for_update().filter(track=draft.track, state=State.IN_FORCE).first()
    if before is not None:
        _end(before)
    draft.state, draft.put_in_force_by, draft.in_force_at = State.IN_FORCE, by, now()
    draft.save(update_fields=["state", "put_in_force_by", "in_force_at"])
    audit.record(
        "question_set.put_in_force",
        actor=by,
        subject=draft,
        supersedes=str(before) if before else "",
        reason=draft.note,
    )
    return draft


def _require_in_force(_by: User | None, found: QuestionSet) -> None:
    if found.state != State.IN_FORCE:
        raise Conflict(_("%(it)s is not in force.") % {"it": found})


@action(QuestionSet, permission=MANAGE, state=_require_in_force)
@transaction.atomic
def withdraw_questions(pk: UUID | str, *, by: User) -> QuestionSet:
    """Ask the questions of a track no longer. Answers that were given stay.

    Raises:
        QuestionSet.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not manage tracks.
        Conflict: it is not in force.
    """
    found = _lock(pk)
    withdraw_questions.require(by, found)
    _end(found)
    audit.record("question_set.withdrawn", actor=by, subject=found)
    return found


@action(QuestionSet, permission=MANAGE, state=_require_draft)
@transaction.atomic
def delete_question_set(pk: UUID | str, *, by: User) -> str:
    """Delete a draft with its questions; returns its name.

    Raises:
        QuestionSet.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not manage tracks.
        Conflict: it is no draft.
    """
    draft = _lock(pk)
    delete_question_set.require(by, draft)
    audit.record("question_set.deleted", actor=by, subject=draft)
    name = str(draft)
    draft.delete()
    return name


@action(QuestionSet, permission=MANAGE, state=_require_draft)
@transaction.atomic
def add_question(pk: UUID | str, *, by: User, **said: Any) -> Question:
    """Add a question to a draft.

    Args:
        pk: id of the version.
        by: an operator.
        said: the fields in `Question.EDITABLE`.

    Raises:
        QuestionSet.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not manage tracks.
        Conflict: it is no draft.
        ValidationError: by field, what is wrong; or the version has 30 questions.
    """
    draft = _lock(pk)
    add_question.require(by, draft)
    if draft.questions.count() >= MOST_QUESTIONS:
        raise ValidationError(_("A version has at most %(most)s questions.") % {"most": MOST_QUESTIONS})
    question = Question(question_set=draft)
    _write(question, said)
    question.save(force_insert=True)
    audit.record(
        "question.added",
        actor=by,
        subject=question,
        changes=audit.difference(None, _state(question), Question.EDITABLE),
    )
    return question


@action(Question, permission=MANAGE, state=_require_draft_of)
@transaction.atomic
def change_question(pk: UUID | str, *, by: User, **said: Any) -> Question:
    """Change a question of a draft.

    Args:
        pk: id of the question.
        by: an operator.
        said: the fields in `Question.EDITABLE`.

    Raises:
        Question.DoesNotExist: there is no such question.
        PermissionDenied: `by` may not manage tracks.
        Conflict: its version is no draft.
        ValidationError: by field, what is wrong.
    """
    question = _lock_question(pk)
    change_question.require(by, question)
    before = _state(question)
    _write(question, said)
    changes = audit.difference(before, _state(question), Question.EDITABLE)
    if changes:
        question.save()
        audit.record("question.changed", actor=by, subject=question, changes=changes)
    return question


@action(Question, permission=MANAGE, state=_require_draft_of)
@transaction.atomic
def delete_question(pk: UUID | str, *, by: User) -> QuestionSet:
    """Delete a question of a draft.

    Raises:
        Question.DoesNotExist: there is no such question.
        PermissionDenied: `by` may not manage tracks.
        Conflict: its version is no draft.
    """
    question = _lock_question(pk)
    delete_question.require(by, question)
    audit.record("question.deleted", actor=by, subject=question)
    question.delete()
    return question.question_set


def _write(question: Question, said: dict[str, Any]) -> None:
    """Set the fields. Raises ValidationError by field."""
    choices = [read_line(one) for one in said.get("choices", []) if one.strip()]
    is_choice = said.get("kind") == Question.Kind.CHOICE
    if is_choice and not 2 <= len(choices) <= MOST_CHOICES:
        raise ValidationError(
            {"choices": _("Enter 2 to %(most)s choices, one a line.") % {"most": MOST_CHOICES}}
        )
    if len(set(choices)) < len(choices):
        raise ValidationError({"choices": _("Each choice once.")})
    assign(question, said | {"choices": choices if is_choice else []})
    question.full_clean(exclude=["question_set"])


def _state(question: Question) -> dict[str, Any]:
    return {name: getattr(question, name) for name in Question.EDITABLE}


def _end(found: QuestionSet) -> None:
    found.state, found.superseded_at = State.SUPERSEDED, now()
    found.save(update_fields=["state", "superseded_at"])


def _new_draft(track: Track, note: str, by: User) -> QuestionSet:
    """A draft with the next number of its track, which the caller has locked. Raises ValidationError without a note."""
    note = read_line(note)
    if not note:
        raise ValidationError({"note": _("Say what changes, and why.")})
    last = QuestionSet.objects.filter(track=track).aggregate(last=Max("version"))["last"] or 0
    draft = QuestionSet(track=track, version=last + 1, note=note, created_by=by)
    draft.clean_fields(exclude=["track", "created_by", "put_in_force_by", "in_force_at", "superseded_at"])
    draft.save(force_insert=True)
    return draft


def _lock(pk: UUID | str) -> QuestionSet:
    return QuestionSet.objects.select_for_update(of=("self",)).select_related("track").get(pk=pk)


def _lock_question(pk: UUID | str) -> Question:
    """The question, its version locked first. Raises Question.DoesNotExist."""
    found = _lock(Question.objects.values_list("question_set", flat=True).get(pk=pk))
    question = Question.objects.get(pk=pk)
    question.question_set = found
    return question
