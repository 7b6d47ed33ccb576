"""Staff pages: the questions of tracks, in versions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import display

from accounts.admin import ReadOnly, ReadOnlyAdmin
from accounts.admin.base import Colors
from accounts.admin.dialogs import Dialog
from catalog.actions import question_sets
from catalog.example_questions import in_words
from catalog.models import Question, QuestionSet
from catalog.question_forms import NewQuestionsForm, QuestionForm, QuestionNoteForm
from core.dates import DASH

STATES = Colors(draft="default", in_force="success", superseded="default")


class QuestionColumns:
    """A question in the language of the reader, if it is of the example."""

    @display(description=_("Question"))
    def question(self, question: Question) -> str:
        return in_words(question.text)

    @display(description=_("Help"))
    def helps(self, question: Question) -> str:
        return in_words(question.help) or DASH

    @display(description=_("Choices"))
    def listed(self, question: Question) -> str:
        return format_html_join("", "<p>{}</p>", ((in_words(one),) for one in question.choices)) or DASH


class QuestionInline(QuestionColumns, ReadOnly, TabularInline):  # type: ignore[misc]
    """The questions of a version, in their order."""

    model = Question
    fields = readonly_fields = ["position", "question", "kind", "listed", "is_required", "code"]
    extra = 0
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Question]:
        rows: QuerySet[Question] = super().get_queryset(request)
        return rows.order_by("position", "pk")


@admin.register(QuestionSet)
class QuestionSetAdmin(ReadOnlyAdmin):
    page_badge = "state_label"
    list_display = ["__str__", "state_label", "noted", "in_force_at"]
    list_filter = ["track", "state"]
    list_select_related = ["track"]
    ordering = ["-pk"]
    fields = readonly_fields = [
        "track", "version", "state_label", "noted", "created_by", "created_at", "put_in_force_by", "in_force_at",
        "superseded_at",
    ]  # fmt: skip
    inlines = [QuestionInline]
    actions_list = ["begin"]
    actions_detail = ["add_question", "put_in_force", "copy", "withdraw", "remove"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("track")

    @display(description=_("State"), label=STATES)
    def state_label(self, found: QuestionSet) -> tuple[str, str]:
        return found.state, found.get_state_display()

    @display(description=_("What changes, and why?"))
    def noted(self, found: QuestionSet) -> str:
        return in_words(found.note) or DASH

    begin = Dialog(
        question_sets.add_question_set,
        label=_("New questions"),
        url_path="begin",
        icon="add",
        form=NewQuestionsForm,
        title=_("Questions for which track?"),
        text=_("A draft without questions. Nobody is asked until it is in force."),
        button=_("Begin"),
        done=_("Added: %(it)s"),
        ends_on="list",
    )
    copy = Dialog(
        question_sets.copy_question_set,
        label=_("Copy"),
        url_path="copy",
        icon="content_copy",
        form=QuestionNoteForm,
        title=_("Copy these questions?"),
        text=_("The copy is a draft: change its questions, then put it in force."),
        button=_("Copy"),
        done=_("Copied: %(it)s"),
        ends_on="list",
    )
    add_question = Dialog(
        question_sets.add_question,
        label=_("Add a question"),
        url_path="add-question",
        icon="add",
        form=QuestionForm,
        title=_("Add a question"),
        text=_("Requesters answer it once this draft is in force."),
        button=_("Add"),
        done=_("Added: %(it)s"),
    )
    put_in_force = Dialog(
        question_sets.put_questions_in_force,
        label=_("Put in force"),
        url_path="put-in-force",
        title=_("Put these questions in force?"),
        text=_(
            "Requests that need this track answer them from now on, and returned ones when they are sent again. "
            "The version of before is superseded; its answers stay."
        ),
        button=_("Put in force"),
        done=_("In force: %(it)s"),
    )
    withdraw = Dialog(
        question_sets.withdraw_questions,
        label=_("Ask no longer"),
        url_path="withdraw",
        is_dangerous=True,
        title=_("Ask these questions no longer?"),
        text=_("Requests for this track answer no questions then. Answers that were given stay."),
        button=_("Ask no longer"),
        done=_("No longer in force: %(it)s"),
    )
    remove = Dialog(
        question_sets.delete_question_set,
        label=_("Delete"),
        url_path="remove",
        is_dangerous=True,
        ends_on="list",
        title=_("Delete this draft?"),
        text=_("Its questions are deleted with it."),
        button=_("Delete"),
        done=_("Deleted: %(it)s"),
    )


@admin.register(Question)
class QuestionAdmin(QuestionColumns, ReadOnlyAdmin):
    list_display = ["question", "question_set", "kind", "is_required"]
    list_select_related = ["question_set__track"]
    ordering = ["-pk"]
    fields = readonly_fields = [
        "question_set", "position", "question", "helps", "kind", "listed", "is_required", "code",
    ]  # fmt: skip
    actions_detail = ["edit", "remove"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("question_set__track")

    edit = Dialog(
        question_sets.change_question,
        label=_("Change"),
        url_path="change-question",
        form=QuestionForm,
        title=_("Change this question"),
        text=_("Only the questions of a draft can be changed."),
        button=_("Save"),
        done=_("Saved: %(it)s"),
    )
    remove = Dialog(
        question_sets.delete_question,
        label=_("Delete"),
        url_path="remove",
        is_dangerous=True,
        ends_on="list",
        title=_("Delete this question?"),
        text=_("Only the questions of a draft can be deleted."),
        button=_("Delete"),
        done=_("Deleted from %(it)s"),
    )
