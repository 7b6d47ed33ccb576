"""The documentation of a model over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import signed_in
from catalog.actions.documents import document_model
from catalog.models import CatalogModel, ModelDocument
from core.markdown import LONGEST, cleaned
from core.serializers import StrictModelSerializer, StrictSerializer


class DocumentSerializer(StrictModelSerializer[ModelDocument]):
    """The documentation of a model; all fields are empty if there is none."""

    html = serializers.SerializerMethodField(
        help_text="The text rendered, without anything that runs or loads."
    )
    at = serializers.DateTimeField(read_only=True, allow_null=True)
    digest = serializers.CharField(read_only=True, help_text="Send it as `seen` when you edit the text.")

    class Meta:
        model = ModelDocument
        fields: ClassVar[list[str]] = ["text", "html", "source", "at", "digest"]
        read_only_fields = fields

    def get_html(self, document: ModelDocument) -> str:
        return cleaned(document.html)


class NewDocumentSerializer(StrictSerializer):
    text = serializers.CharField(
        max_length=LONGEST, allow_blank=True, trim_whitespace=False, help_text="Markdown; empty: none."
    )
    seen = serializers.CharField(
        max_length=64,
        required=False,
        allow_null=True,
        allow_blank=True,
        default=None,
        help_text="The `digest` that you have read. If the text is another one now, the answer is 409.",
    )


class DocumentationMixin:
    """Adds `documentation/` to the addresses of models."""

    get_object: Any

    @extend_schema(responses=DocumentSerializer)
    @action(detail=True, methods=["get"])
    def documentation(self, request: Request, name: str) -> Response:
        """What is written about a model, with source and time."""
        return _answer(self.get_object())

    @extend_schema(request=NewDocumentSerializer, responses=DocumentSerializer)
    @documentation.mapping.put
    def document(self, request: Request, name: str) -> Response:
        """Write the documentation of a model, in Markdown: CommonMark with tables. HTML in it is shown as text."""
        model: CatalogModel = self.get_object()
        document_model.require(signed_in(request), model)
        said = NewDocumentSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        document_model(model.pk, by=signed_in(request), **said.validated_data)
        return _answer(model)


def _answer(model: CatalogModel) -> Response:
    document = ModelDocument.objects.filter(model=model).first()
    empty = {"text": "", "html": "", "source": "", "at": None, "digest": ""}
    return Response(DocumentSerializer(document).data if document else empty)
