"""The questions of tracks as fields of the request form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from catalog.answers import field_name
from catalog.example_questions import in_words
from catalog.models import Question, QuestionSet
from catalog.models.questions import LONGEST_ANSWER

_REQUIRED = {"required": gettext_lazy("This question must be answered.")}


@dataclass(frozen=True)
class QuestionGroup:
    """The questions of one track, as bound fields of a form."""

    title: str
    fields: list[forms.BoundField]


class AsksQuestions(forms.Form):
    """A form that also asks the questions of the tracks that a request needs."""

    sets: Mapping[str, QuestionSet]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sets = {}

    def ask(
        self, sets: Mapping[str, QuestionSet], earlier: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Add a field for each question, before the form is read.

        Args:
            sets: the versions in force, by track.
            earlier: what was answered before, by track and code.
        """
        self.sets = sets
        for track, found in sets.items():
            for question in found.questions.all():
                name = field_name(track, question.code)
                self.fields[name] = _field(question)
                answer = (earlier or {}).get(track, {}).get(question.code)
                self.initial[name] = (
                    {True: "yes", False: "no"}.get(answer, answer) if answer is not None else ""
                )

    def groups(self) -> list[QuestionGroup]:
        """The questions, by track."""
        return [
            QuestionGroup(
                _("Questions of the %(track)s review") % {"track": found.track.label.lower()},
                [self[field_name(track, question.code)] for question in found.questions.all()],
            )
            for track, found in self.sets.items()
        ]

    @property
    def asked(self) -> str:
        """The tracks whose questions the form has, so that a preview knows what the page shows."""
        return " ".join(self.sets)

    def answers(self) -> dict[str, dict[str, Any]]:
        """What was answered, by track and code; what was not is absent."""
        said: dict[str, dict[str, Any]] = {}
        for track, found in self.sets.items():
            codes = [question.code for question in found.questions.all()]
            given = {code: self.cleaned_data.get(field_name(track, code)) for code in codes}
            said[track] = {code: answer for code, answer in given.items() if answer not in (None, "")}
        return said


def _field(question: Question) -> forms.Field:
    common: dict[str, Any] = {
        "label": in_words(question.text),
        "help_text": in_words(question.help),
        "required": question.is_required,
        "error_messages": _REQUIRED,
    }
    if question.kind == Question.Kind.YES_NO:
        return forms.ChoiceField(choices=[("", "—"), ("yes", _("Yes")), ("no", _("No"))], **common)
    if question.kind == Question.Kind.CHOICE:
        choices = [("", "—"), *((choice, in_words(choice)) for choice in question.choices)]
        return forms.ChoiceField(choices=choices, **common)
    if question.kind == Question.Kind.NUMBER:
        return forms.DecimalField(max_digits=18, **common)
    return forms.CharField(max_length=LONGEST_ANSWER, widget=forms.Textarea, **common)
