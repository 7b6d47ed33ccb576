"""Evaluation scores of a model over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import signed_in
from catalog.actions.scores import set_score
from catalog.models import CatalogModel, EvaluationScore
from core.serializers import StrictModelSerializer, StrictSerializer


class ScoreSerializer(StrictModelSerializer[EvaluationScore]):
    class Meta:
        model = EvaluationScore
        fields: ClassVar[list[str]] = ["benchmark", "metric", "value", "source_url", "stated_on", "at"]
        read_only_fields = fields


class NewScoreSerializer(StrictSerializer):
    """A score, by benchmark and metric. `value` null removes it."""

    benchmark = serializers.CharField(max_length=80)
    metric = serializers.CharField(max_length=40, required=False, default="", allow_blank=True)
    value = serializers.DecimalField(max_digits=12, decimal_places=4, allow_null=True)
    source_url = serializers.CharField(
        max_length=500, required=False, default="", allow_blank=True, help_text="The page that states it."
    )
    stated_on = serializers.DateField(
        required=False, allow_null=True, default=None, help_text="When it was measured; default: today."
    )


class ScoresMixin:
    """Adds `scores/` to the addresses of models."""

    get_object: Any

    @extend_schema(responses=ScoreSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def scores(self, request: Request, name: str) -> Response:
        """Evaluation scores of a model, each with its source: at most a hundred."""
        return _answer(self.get_object())

    @extend_schema(request=NewScoreSerializer, responses=ScoreSerializer(many=True))
    @scores.mapping.put
    def score(self, request: Request, name: str) -> Response:
        """Set one score of a model, or remove it."""
        model: CatalogModel = self.get_object()
        set_score.require(signed_in(request), model)
        said = NewScoreSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        set_score(model.pk, by=signed_in(request), **said.validated_data)
        return _answer(model)


def _answer(model: CatalogModel) -> Response:
    rows = model.scores.order_by("benchmark", "metric")
    return Response(ScoreSerializer(rows, many=True).data)
