"""What happens to an access request between asking and deciding, over HTTP: the conversation, and sending it again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency import idempotent
from accounts.permissions import signed_in
from catalog.actions import comment_on_request, resend_access_request
from catalog.models import AccessRequest, RequestComment
from catalog.request_serializers import (
    AccessRequestSerializer,
    CommentSerializer,
    NewCommentSerializer,
    ResendSerializer,
)
from core.pagination import CURSOR, PAGE_SIZE
from core.query_parameters import takes
from tenants.api.base import VisibleMixin

IDEMPOTENT = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="If the request is sent again with the same body, the first answer is repeated and "
    "nothing happens twice.",
)


class RequestStepsViewSet(VisibleMixin, viewsets.GenericViewSet[AccessRequest]):
    """Routes below one access request, for its viewset."""

    @takes(CURSOR, PAGE_SIZE)
    @extend_schema(responses=CommentSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, serializer_class=CommentSerializer)
    def comments(self, request: Request, pk: str) -> Response:
        """The conversation on a request, newest first. The tenant and its reviewers see the same one."""
        comments: Any = RequestComment.objects.visible_to(request.user).filter(
            access_request=self.get_object()
        )
        page: Any = self.paginate_queryset(comments.select_related("author"))
        answer: Response = self.get_paginated_response(CommentSerializer(page or [], many=True).data)
        return answer

    @extend_schema(request=NewCommentSerializer, responses={201: CommentSerializer}, parameters=[IDEMPOTENT])
    @comments.mapping.post
    def comment(self, request: Request, pk: str) -> Response:
        """Add a comment. Nobody can change or delete it."""
        found, user = self.subject_of(comment_on_request), signed_in(request)

        def action() -> Response:
            said = NewCommentSerializer(data=request.data)
            said.is_valid(raise_exception=True)
            made = comment_on_request(found.pk, by=user, text=said.validated_data["text"])
            return Response(CommentSerializer(made).data, status=status.HTTP_201_CREATED)

        return idempotent(request, action)

    @extend_schema(request=ResendSerializer, responses=AccessRequestSerializer)
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: str) -> Response:
        """Change a request that was returned for changes, and send it again."""
        found = self.subject_of(resend_access_request)
        said = ResendSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        sent = resend_access_request(found.pk, by=signed_in(request), **said.validated_data)
        return Response(self._serialized(sent.pk))

    def _serialized(self, pk: UUID) -> Any:
        return self.get_serializer(self.get_queryset().get(pk=pk)).data
