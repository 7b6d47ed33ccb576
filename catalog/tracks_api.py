"""Tracks of reviews over HTTP, with the questions that requests answer."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers, viewsets

from catalog.answers import sets_in_force
from catalog.example_questions import in_words
from catalog.models import Question, Track
from catalog.pace import paces_of
from core.serializers import StrictModelSerializer
from tenants.roles import TokenScope


class QuestionSerializer(StrictModelSerializer[Question]):
    text = serializers.SerializerMethodField()
    help = serializers.SerializerMethodField()
    choices = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="Answer with one of them."
    )

    class Meta:
        model = Question
        fields = ["code", "kind", "text", "help", "choices", "is_required"]

    def get_text(self, question: Question) -> str:
        return in_words(question.text)

    def get_help(self, question: Question) -> str:
        return in_words(question.help)


class TrackSerializer(StrictModelSerializer[Track]):
    name = serializers.CharField(source="label", read_only=True)
    usual_working_hours = serializers.SerializerMethodField(
        help_text="The median of the last 30 days; null: too few were decided."
    )
    questions_version = serializers.SerializerMethodField(help_text="Null: it asks no questions.")
    questions = serializers.SerializerMethodField()

    class Meta:
        model = Track
        fields = [
            "code",
            "name",
            "quorum",
            "due_hours",
            "usual_working_hours",
            "questions_version",
            "questions",
        ]

    def get_usual_working_hours(self, track: Track) -> float | None:
        pace = paces_of([track]).get(track.code)
        return pace.hours if pace else None

    def get_questions_version(self, track: Track) -> int | None:
        found = self._sets().get(track.code)
        return found.version if found else None

    @extend_schema_field(QuestionSerializer(many=True))
    def get_questions(self, track: Track) -> Any:
        found = self._sets().get(track.code)
        return QuestionSerializer(found.questions.all() if found else [], many=True).data

    def _sets(self) -> Any:
        context: Any = self.context
        if "question_sets" not in context:
            context["question_sets"] = sets_in_force(Track.objects.values_list("code", flat=True))
        return context["question_sets"]


class TrackViewSet(viewsets.ReadOnlyModelViewSet[Track]):
    """Tracks of reviews, and the questions that a request answers if it needs the track."""

    queryset = Track.objects.select_related("calendar").order_by("code")
    serializer_class = TrackSerializer
    token_scope = TokenScope.REQUESTS
    lookup_field = "code"
    lookup_value_regex = r"[a-z][a-z0-9-]*"
