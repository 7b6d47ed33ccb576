"""What happens to an access request between asking and deciding, over HTTP: the conversation, and sending it again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency import idempotent
from accounts.permissions import signed_in
from catalog.actions import comment_on_request, resend_access_request
from catalog.actions.recusals import step_back
from catalog.models import AccessRequest, RequestComment, Review
from catalog.request_serializers import (
    AccessRequestSerializer,
    CommentSerializer,
    NewCommentSerializer,
    ResendSerializer,
    StepBackSerializer,
)
from core.pagination import CURSOR, PAGE_SIZE
from core.query_parameters import takes
from tenants.api.base import VisibleMixin
from tenants.roles import TokenScope

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
        values = dict(said.validated_data)
        items = {str(one.pop("id")): one for one in map(dict, values.pop("items", []))}
        sent = resend_access_request(found.pk, by=signed_in(request), items=items, **values)
        return Response(self._serialized(sent.pk))

    @extend_schema(request=StepBackSerializer, responses=AccessRequestSerializer)
    @action(detail=True, methods=["post"], url_path="step-back", token_scope=TokenScope.PLATFORM)
    def step_back(self, request: Request, pk: str) -> Response:
        """Leave a request to other reviewers, for good."""
        access_request, review = self._reviewed(request)
        step_back.require(signed_in(request), review)
        said = StepBackSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        if review.tenant_id is None:
            raise ValidationError({"track": [_("This request needs no such review.")]})
        step_back(review.pk, by=signed_in(request), reason=said.validated_data["reason"])
        return Response(self._serialized(access_request.pk))

    def _reviewed(self, request: Request) -> tuple[AccessRequest, Review]:
        """The request, and its review on the track that the body names; not stored if it needs none."""
        access_request = self.get_object()
        track = str(request.data.get("track", "")) if isinstance(request.data, dict) else ""
        visible = Review.objects.visible_to(request.user).filter(
            access_request=access_request, track__code=track
        )
        review = visible.first() or Review(track_id=track)
        review.access_request = access_request
        return access_request, review

    def _serialized(self, pk: UUID) -> Any:
        return self.get_serializer(self.get_queryset().get(pk=pk)).data
