"""Revisions of the configuration over HTTP: what each changed, and undoing it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.entry_points import SubjectMixin
from accounts.permissions import signed_in
from audit.models import AuditEntry
from core.pagination import LINK, PAGE_SIZE, PLAIN_PAGE_PARAMETERS, plain_page
from core.query_parameters import takes
from core.serializers import StrictModelSerializer, StrictSerializer
from gateway.undo import LAST_FIRST, Step, entries_of, may_see_who, steps_of, undo_revision
from tenants.models import ConfigChange
from tenants.roles import TokenScope


class RevisionSerializer(StrictModelSerializer[ConfigChange]):
    """A revision, and how many rows of each kind gateways were to read again."""

    tenants = serializers.IntegerField(source="tenants_count", read_only=True)
    projects = serializers.IntegerField(source="projects_count", read_only=True)
    keys = serializers.IntegerField(source="keys_count", read_only=True)
    limits = serializers.IntegerField(source="limits_count", read_only=True)

    class Meta:
        model = ConfigChange
        fields = [
            "revision",
            "raised_at",
            "is_everything",
            "tenants",
            "projects",
            "keys",
            "limits",
            "raised_with",
        ]
        read_only_fields = fields


class StepSerializer(StrictSerializer):
    """One action behind a revision, and what undoing it would do."""

    entry = serializers.UUIDField(source="entry.pk", help_text="Id of the audit entry.")
    at = serializers.DateTimeField(source="entry.at")
    actor = serializers.SerializerMethodField(
        help_text="Who did it; null without the permission to read the audit log."
    )
    verb = serializers.CharField(source="entry.verb")
    subject = serializers.CharField(source="entry.subject_label")
    changes = serializers.JSONField(source="entry.changes", help_text="By field: before and after.")
    can_be_undone = serializers.SerializerMethodField()
    words = serializers.CharField(help_text="What undoing would do, or why it has no inverse.")

    def get_actor(self, step: Step) -> str | None:
        return step.entry.actor_label if self.context["shows_who"] else None

    def get_can_be_undone(self, step: Step) -> bool:
        return step.undo is not None


class UndoSerializer(StrictSerializer):
    """Why a revision is undone."""

    reason = serializers.CharField(max_length=500)


class RevisionViewSet(
    SubjectMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]
):
    """Revisions of the configuration that gateways receive, the newest first."""

    token_scope = TokenScope.PLATFORM
    serializer_class = RevisionSerializer
    lookup_field = lookup_url_kwarg = "revision"
    # For the schema; get_queryset returns the rows.
    queryset = ConfigChange.objects.none()

    def get_queryset(self) -> Any:
        return ConfigChange.objects.visible_to(self.request.user).with_counts().order_by("-revision")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if not request.user.has_perm("tenants.view_configchange"):
            raise PermissionDenied(_("Only operators can see revisions."))
        return super().list(request, *args, **kwargs)

    @takes(*PLAIN_PAGE_PARAMETERS)
    @extend_schema(responses=StepSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None)
    def changes(self, request: Request, revision: str) -> Response:
        """The actions behind a revision, the last one first, each with what undoing it would do. A page at a time."""
        return _page(request, self.get_object())

    @takes(PAGE_SIZE, http_method="POST")
    @extend_schema(request=UndoSerializer, responses=StepSerializer(many=True), parameters=[LINK])
    @action(detail=True, methods=["post"], pagination_class=None)
    def undo(self, request: Request, revision: str) -> Response:
        """Do the inverse of each action that has one, as new actions. 409: somebody changed the same thing since.

        The answer is the first page of the actions behind the revision.
        """
        change = self.subject_of(undo_revision)
        wanted = UndoSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        undo_revision(change.revision, reason=wanted.validated_data["reason"], by=signed_in(request))
        return _page(request, change)


def _page(request: Request, change: ConfigChange) -> Response:
    viewer = signed_in(request)
    context = {"shows_who": may_see_who(viewer)}

    def serialized(entries: list[AuditEntry], *, many: bool) -> StepSerializer:
        return StepSerializer(steps_of(entries), many=many, context=context)

    return plain_page(request, [(entries_of(change, viewer), LAST_FIRST)], serialized)
