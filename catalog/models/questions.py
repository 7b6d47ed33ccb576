"""The questions of a track, in versions, and what requesters answered."""

from __future__ import annotations

from typing import ClassVar, Final

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import CheckConstraint, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import User
from catalog.example_questions import in_words
from catalog.models.requests import AccessRequest, Review
from catalog.models.tracks import Track
from core.ids import uuid7
from core.names import one_line
from core.tenant_managers import TenantOwned

MOST_QUESTIONS: Final = 30
MOST_CHOICES: Final = 20
LONGEST_ANSWER: Final = 2000
QUESTION_CODE = RegexValidator(
    r"^[a-z][a-z0-9_]*$", _("Lower-case letters, digits and underscores; a letter first.")
)


class QuestionSet(models.Model):
    """One version of the questions of a track. At most one of a track is in force; triggers keep it as it is then."""

    class State(models.TextChoices):
        DRAFT = "draft", pgettext_lazy("questions", "Draft")
        IN_FORCE = "in_force", pgettext_lazy("questions", "In force")
        SUPERSEDED = "superseded", pgettext_lazy("questions", "Superseded")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    track = models.ForeignKey(
        Track,
        models.PROTECT,
        to_field="code",
        db_column="track",
        verbose_name=_("track"),
        related_name="question_sets",
    )
    # From 1, per track.
    version = models.PositiveIntegerField(_("version"))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.DRAFT)
    note = models.CharField(_("what changes, and why"), max_length=500, blank=True)
    # Null: an example of this release.
    created_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("made by"), null=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    put_in_force_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("put in force by"), null=True, related_name="+"
    )
    in_force_at = models.DateTimeField(_("in force from"), null=True)
    superseded_at = models.DateTimeField(_("in force until"), null=True)

    class Meta:
        verbose_name = _("version of the questions")
        verbose_name_plural = _("versions of the questions")
        constraints = [
            UniqueConstraint(fields=["track", "version"], name="question_set_version"),
            UniqueConstraint(
                fields=["track"], condition=Q(state="in_force"), name="question_set_one_in_force"
            ),
            CheckConstraint(
                name="question_set_says_when",
                condition=Q(state="draft", in_force_at=None)
                | ~Q(state="draft") & Q(in_force_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return _("%(track)s %(version)s") % {"track": self.track.label, "version": self.version}


class Question(models.Model):
    """One question of a version. Its code tells answers apart, and stays the same in later versions."""

    class Kind(models.TextChoices):
        TEXT = "text", pgettext_lazy("question", "Text")
        CHOICE = "choice", pgettext_lazy("question", "One of a list")
        YES_NO = "yes_no", pgettext_lazy("question", "Yes or no")
        NUMBER = "number", pgettext_lazy("question", "Number")

    EDITABLE: ClassVar[tuple[str, ...]] = (
        "position", "code", "kind", "text", "help", "choices", "is_required",
    )  # fmt: skip

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    question_set = models.ForeignKey(
        QuestionSet, models.CASCADE, verbose_name=_("version of the questions"), related_name="questions"
    )
    position = models.PositiveSmallIntegerField(_("number"), default=1)
    code = models.CharField(_("code"), max_length=40, validators=[QUESTION_CODE])
    kind = models.CharField(_("kind of answer"), max_length=6, choices=Kind, default=Kind.TEXT)
    text = models.CharField(_("question"), max_length=300)
    help = models.CharField(_("help"), max_length=500, blank=True)
    # Answers store the text of the choice.
    choices = ArrayField(
        models.CharField(max_length=200), verbose_name=_("choices"), default=list, blank=True
    )
    is_required = models.BooleanField(_("must be answered"), default=True)

    class Meta:
        verbose_name = _("question")
        verbose_name_plural = _("questions")
        ordering = ["question_set", "position", "pk"]
        constraints = [
            UniqueConstraint(fields=["question_set", "code"], name="question_once"),
            one_line("text", of="question"),
            CheckConstraint(
                name="question_has_choices",
                condition=Q(kind="choice") & ~Q(choices=[]) | ~Q(kind="choice") & Q(choices=[]),
            ),
        ]

    def __str__(self) -> str:
        return in_words(self.text)


class QuestionAnswers(TenantOwned):
    """What the requester answered to a version of a track's questions. The newest of a track counts; none changes."""

    visible_to_staff = Review.visible_to_staff

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    access_request = models.ForeignKey(
        AccessRequest, models.PROTECT, verbose_name=_("access request"), related_name="answers"
    )
    question_set = models.ForeignKey(
        QuestionSet, models.PROTECT, verbose_name=_("version of the questions"), related_name="+"
    )
    # By code of the question: a text, a number, or true and false. What was not answered is absent.
    answers = models.JSONField(_("answers"))
    at = models.DateTimeField(_("at"), default=now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("answers")
        verbose_name_plural = _("answers")
        indexes = [Index(fields=["access_request", "-at"], name="question_answers_newest")]

    def __str__(self) -> str:
        return str(self.question_set)
