"""Reading, storing and showing what requesters answer to the questions of the tracks that their request needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from catalog.example_questions import in_words
from catalog.models import AccessRequest, Grant, Question, QuestionAnswers, QuestionSet, Review
from catalog.models.questions import LONGEST_ANSWER
from core.names import read_prose
from core.page_parts import Fact


def field_name(track: str, code: str) -> str:
    """What forms and errors call the answer to a question."""
    return f"answers.{track}.{code}"


def sets_in_force(tracks: Iterable[str]) -> dict[str, QuestionSet]:
    """The versions that requests answer now, with their questions, by code of the track."""
    found = QuestionSet.objects.filter(state=QuestionSet.State.IN_FORCE, track__code__in=list(tracks))
    return {
        one.track_id: one
        for one in found.select_related("track").prefetch_related("questions").order_by("track_id")
    }


def read_answers(
    sets: Mapping[str, QuestionSet], said: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The answers as they are stored, by track and code.

    Args:
        sets: the versions to answer.
        said: what was answered, by track and code. Answers for other tracks are left out: a form may have them still.

    Raises ValidationError, by `field_name`: a question that must be answered is not, an answer is none of its kind, or
    there is no such question.
    """
    problems: dict[str, str] = {}
    read: dict[str, dict[str, Any]] = {}
    for track, found in sets.items():
        questions = {question.code: question for question in found.questions.all()}
        given = said.get(track) or {}
        for code in given.keys() - questions.keys():
            problems[field_name(track, code)] = _("There is no such question.")
        read[track] = {}
        for code, question in questions.items():
            try:
                answer = _read(question, given.get(code))
            except ValidationError as wrong:
                problems[field_name(track, code)] = " ".join(wrong.messages)
                continue
            if answer is not None:
                read[track][code] = answer
            elif question.is_required:
                problems[field_name(track, code)] = _("This question must be answered.")
    if problems:
        raise ValidationError(dict(problems))
    return read


def _read(question: Question, said: Any) -> Any:
    """The answer as it is stored; None for none. Raises ValidationError."""
    if said is None or said == "":
        return None
    if question.kind == Question.Kind.YES_NO:
        known = {"yes": True, "no": False, True: True, False: False}
        if not isinstance(said, str | bool) or said not in known:
            raise ValidationError(_("Answer yes or no."))
        return known[said]
    if question.kind == Question.Kind.NUMBER:
        return _read_number(said)
    if not isinstance(said, str):
        raise ValidationError(_("Answer with a text."))
    if question.kind == Question.Kind.CHOICE:
        if said not in question.choices:
            raise ValidationError(_("Choose one of the list."))
        return said
    if len(said) > LONGEST_ANSWER:
        raise ValidationError(_("Use at most 2,000 characters."))
    return read_prose(said) or None


def _read_number(said: Any) -> str:
    """A number as a text, so that no digit is lost."""
    try:
        number = Decimal(str(said)) if not isinstance(said, bool) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) >= Decimal(10) ** 15:
        raise ValidationError(_("Enter a number."))
    return f"{number:f}"


def store_answers(access_request: AccessRequest, found: QuestionSet, answers: Mapping[str, Any]) -> None:
    """Store answers to one version. A trigger rejects it while an approval of the track stands."""
    QuestionAnswers.objects.create(
        tenant=access_request.tenant, access_request=access_request, question_set=found, answers=dict(answers)
    )


def newest_answers(access_request: AccessRequest) -> dict[str, QuestionAnswers]:
    """The answers that count, by code of the track. Two queries."""
    rows = (
        QuestionAnswers.objects.in_tenant(access_request.tenant)
        .filter(access_request=access_request)
        .select_related("question_set__track")
        .prefetch_related("question_set__questions")
        .order_by("at", "pk")
    )
    return {row.question_set.track_id: row for row in rows}


@dataclass(frozen=True)
class AnsweredTrack:
    """The answers to a track's questions, as people read them."""

    title: str
    facts: list[Fact]
    at: datetime


def answered_tracks(access_request: AccessRequest) -> list[AnsweredTrack]:
    """What was answered, by track, with the version of the questions; the language is the reader's for the example."""
    return [
        AnsweredTrack(
            title=_("Answers for %(track)s (questions %(version)s)")
            % {"track": row.question_set.track.label, "version": row.question_set.version},
            facts=[
                Fact(str(question), _in_words(question, row.answers.get(question.code)), is_long=True)
                for question in row.question_set.questions.all()
            ],
            at=row.at,
        )
        for row in newest_answers(access_request).values()
    ]


def _in_words(question: Question, answer: Any) -> str:
    if answer is None:
        return _("not answered")
    if isinstance(answer, bool):
        return _("Yes") if answer else _("No")
    return in_words(answer) if question.kind == Question.Kind.CHOICE else str(answer)


def carried_over(sets: Mapping[str, QuestionSet], renews: Grant) -> dict[str, dict[str, Any]]:
    """The answers of a renewal: those of the request before, as far as the questions in force still take them.

    Nothing must be answered again: reviewers see what is not answered, and can ask for changes.
    """
    earlier = newest_answers(renews.item.access_request)
    carried: dict[str, dict[str, Any]] = {}
    for track, found in sets.items():
        before = earlier[track].answers if track in earlier else {}
        carried[track] = {}
        for question in found.questions.all():
            with suppress(ValidationError):
                if (answer := _read(question, before.get(question.code))) is not None:
                    carried[track][question.code] = answer
    return carried


def read_changed_answers(
    access_request: AccessRequest, said: Mapping[str, Mapping[str, Any]]
) -> dict[QuestionSet, dict[str, Any]]:
    """What a request that is sent again answers otherwise than before, by version of the questions.

    Tracks that are not named keep their answers; one that has none yet, because its questions came later, must be
    answered. Raises as `read_answers` does.
    """
    tracks = [one.track_id for one in access_request.reviews.exclude(state=Review.State.CANCELLED)]
    sets, before = sets_in_force(tracks), newest_answers(access_request)
    wanted = {track: found for track, found in sets.items() if track in said or track not in before}
    read = read_answers(wanted, said)
    return {
        found: read[track]
        for track, found in wanted.items()
        if track not in before
        or (before[track].question_set_id, before[track].answers) != (found.pk, read[track])
    }
