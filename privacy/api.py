"""The audit log over HTTP."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from rest_framework import mixins, serializers, viewsets
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from accounts.permissions import require, signed_in
from audit.filters import PAGE_SIZE, EntryFilter, find_entries, hides_origin
from audit.models import AuditEntry
from audit.staff_reads import with_what_was_read
from core.query_parameters import query_of, takes
from core.serializers import StrictModelSerializer, StrictSerializer
from privacy.audit_forms import PLATFORM, actor_of
from tenants.api.base import VisibleMixin
from tenants.models import Tenant
from tenants.permissions import tenants_where


class AuditEntrySerializer(StrictModelSerializer[AuditEntry]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True, allow_null=True)
    actor = serializers.CharField(source="actor_label", read_only=True)
    on_behalf_of = serializers.CharField(source="on_behalf_of_label", read_only=True)
    changes = serializers.JSONField(read_only=True, help_text="{field: [before, after]}")

    class Meta:
        model = AuditEntry
        fields = [
            "id", "tenant", "at", "actor", "acting_as", "on_behalf_of", "reason", "verb", "subject_type", "subject_id",
            "subject_label", "changes", "details", "request_id", "trace_id", "address", "user_agent",
        ]  # fmt: skip

    def to_representation(self, instance: AuditEntry) -> dict[str, Any]:
        """Leave out the address and program of staff if the caller may not know them."""
        line = dict(super().to_representation(instance))
        if hides_origin(instance, signed_in(self.context["request"])):
            line["address"], line["user_agent"] = None, ""
        return line


class AuditLogQuerySerializer(StrictSerializer):
    """Filters of the audit log."""

    # Of a query, which may hold what is for others.
    reads_everything = False
    tenant = serializers.SlugField(
        required=False, help_text="slug; default: all tenants whose audit log you may read"
    )
    person = serializers.CharField(required=False, max_length=254, help_text="e-mail address, or `platform`")
    verb = serializers.CharField(
        required=False, max_length=80, help_text="such as `api_key.claimed`, or `api_key.` for all of a kind"
    )
    subject_id = serializers.CharField(required=False, max_length=64, help_text="id of the object")
    after = serializers.DateTimeField(required=False, help_text="not before this moment")
    before = serializers.DateTimeField(required=False, help_text="before this moment")
    page_size = serializers.IntegerField(required=False, default=PAGE_SIZE, min_value=1, max_value=500)
    cursor = serializers.CharField(required=False, help_text="from `next` or `previous`")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "after" in attrs and "before" in attrs and attrs["before"] <= attrs["after"]:
            raise serializers.ValidationError(
                {
                    "before": _(
                        "No moment is after `after` and before this one. Leave one out, or give a later one here."
                    )
                }
            )
        return attrs


class AuditEntryViewSet(
    VisibleMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[AuditEntry]
):
    """Who did what, when and from where, in tenants whose audit log you may read. Entries cannot be changed."""

    model, serializer_class, filter_backends = AuditEntry, AuditEntrySerializer, ()

    def get_queryset(self) -> QuerySet[AuditEntry]:
        return super().get_queryset().select_related("tenant", "actor")

    def get_object(self) -> AuditEntry:
        """An entry of the audit log: 404 outside the caller's tenants, 403 if the caller may not read the audit log."""
        entry = super().get_object()
        require(signed_in(self.request), "tenants.view_audit", entry.tenant)
        with_what_was_read([entry])
        return entry

    @takes(AuditLogQuerySerializer)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Actions, newest first."""
        readable = self.readable()
        asked = AuditLogQuerySerializer(data=query_of(request))
        asked.is_valid(raise_exception=True)
        entry_filter, query = self.entry_filter(asked.validated_data, readable), asked.validated_data
        older_than, newer_than = _read_cursor(query.get("cursor", ""))
        page = find_entries(
            entry_filter, older_than=older_than, newer_than=newer_than, size=query["page_size"]
        )
        here, rows = request.build_absolute_uri(), page.entries
        older = _cursor("o", rows[-1].pk) if rows and page.has_older else None
        newer = _cursor("n", rows[0].pk) if rows and page.has_newer else None
        return Response(
            {
                "next": replace_query_param(here, "cursor", older) if older else None,
                "previous": replace_query_param(here, "cursor", newer) if newer else None,
                "results": self.get_serializer(rows, many=True).data,
            }
        )

    def entry_filter(self, asked: dict[str, Any], tenants: tuple[UUID, ...] | None) -> EntryFilter:
        """The request `asked` as a filter of the audit log, limited to `tenants`, which the caller may read."""
        if "tenant" in asked:
            chosen = get_object_or_404(
                Tenant.objects.visible_to(signed_in(self.request)), slug=asked["tenant"]
            )
            if tenants is not None and chosen.pk not in tenants:
                raise PermissionDenied(UNREADABLE)
            tenants = (chosen.pk,)
        person = asked.get("person", "").strip().lower()
        return EntryFilter(
            tenants=tenants,
            actor=actor_of(person, tenants),
            is_platform=person == PLATFORM,
            action=asked.get("verb", ""),
            subject=asked.get("subject_id", ""),
            since=asked.get("after"),
            until=asked.get("before"),
        )

    def readable(self) -> tuple[UUID, ...] | None:
        """The tenants whose audit log the caller may read; None means all. Raises PermissionDenied if there is none."""
        user = signed_in(self.request)
        if user.has_perm("tenants.view_audit"):
            return None
        tenants = tenants_where(user, "tenants.view_audit")
        if not (found := tuple(tenants.values_list("pk", flat=True))):
            raise PermissionDenied(UNREADABLE)
        return found


UNREADABLE = "Your role does not allow you to read the audit log. Ask an owner or admin for it."


def _cursor(direction: str, place: UUID) -> str:
    return urlsafe_b64encode(f"{direction}{place}".encode()).decode()


def _read_cursor(text: str) -> tuple[UUID | None, UUID | None]:
    """Return (older than, newer than). Raises NotFound for an invalid cursor."""
    if not text:
        return None, None
    try:
        plain = urlsafe_b64decode(text).decode("ascii")
        place = UUID(plain[1:])
    except ValueError:
        raise NotFound("Invalid cursor") from None
    return (place, None) if plain[0] == "o" else (None, place)
