"""Forms of the dialogs about the questions of tracks."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin.dialogs import DialogForm
from catalog.models import Question, QuestionSet, Track
from catalog.models.questions import MOST_QUESTIONS
from core.choices import PickField, offer


class QuestionNoteForm(DialogForm):
    note = forms.CharField(
        label=gettext_lazy("What changes, and why?"), max_length=500, widget=UnfoldAdminTextInputWidget
    )


class NewQuestionsForm(QuestionNoteForm):
    track = PickField(
        Track, by="code", label=gettext_lazy("Track"), empty_label=None, widget=UnfoldAdminSelectWidget
    )

    field_order = ("track", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "track", Track.objects.order_by("code"))

    def answers(self) -> dict[str, Any]:
        said = super().answers()
        return said | {"track": said["track"].code}


class QuestionForm(DialogForm):
    """The fields of a question: of the one that is changed, or of one at the end of a draft."""

    text = forms.CharField(label=gettext_lazy("Question"), max_length=300, widget=UnfoldAdminTextInputWidget)
    help = forms.CharField(
        label=gettext_lazy("Help"), max_length=500, required=False, widget=UnfoldAdminTextInputWidget
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind of answer"), choices=Question.Kind.choices, widget=UnfoldAdminSelectWidget
    )
    choices = forms.CharField(
        label=gettext_lazy("Choices"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}),
        help_text=gettext_lazy("One a line. Only for one of a list."),
    )
    is_required = forms.ChoiceField(
        label=gettext_lazy("Must be answered"),
        choices=[("yes", gettext_lazy("Yes")), ("no", gettext_lazy("No"))],
        widget=UnfoldAdminSelectWidget,
    )
    code = forms.CharField(
        label=gettext_lazy("Code"),
        max_length=40,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy(
            "What the API calls it. Keep it in later versions, so that answers are found again."
        ),
    )
    position = forms.IntegerField(
        label=gettext_lazy("Number"),
        min_value=1,
        max_value=MOST_QUESTIONS * 10,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy("Questions are asked in this order."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if question := Question.objects.filter(pk=self.object_id).first():
            self.initial = {name: getattr(question, name) for name in Question.EDITABLE} | {
                "choices": "\n".join(question.choices),
                "is_required": "yes" if question.is_required else "no",
            }
        elif found := QuestionSet.objects.filter(pk=self.object_id).first():
            self.initial = {"position": found.questions.count() + 1, "is_required": "yes"}

    def answers(self) -> dict[str, Any]:
        said = super().answers()
        return said | {
            "choices": said["choices"].splitlines(),
            "is_required": said["is_required"] == "yes",
        }
