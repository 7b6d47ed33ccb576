"""A new installation has an example of questions for the compliance track, as a draft."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections

from catalog import example_questions


def make_first_questions(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Make the example a draft of its track, unless the track has a version or is gone. Runs after every migrate."""
    from catalog.models import Question, QuestionSet, Track

    # `migrate` may stop at an earlier state.
    if Question._meta.db_table not in connections[using].introspection.table_names():
        return
    code = example_questions.TRACK
    sets = QuestionSet.objects.using(using)
    if not Track.objects.using(using).filter(code=code).exists() or sets.filter(track__code=code).exists():
        return
    draft = sets.create(track_id=code, version=1, note=example_questions.NOTE)
    Question.objects.using(using).bulk_create(
        Question(
            question_set=draft,
            position=position,
            code=one.code,
            kind=one.kind,
            text=one.text,
            help=one.help,
            choices=list(one.choices),
            is_required=one.is_required,
        )
        for position, one in enumerate(example_questions.QUESTIONS, start=1)
    )
