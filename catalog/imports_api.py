"""Imports of the catalog over HTTP, for operators and their automation."""

from __future__ import annotations

from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.entry_points import SubjectMixin
from accounts.idempotency import idempotent
from accounts.permissions import signed_in
from catalog.actions import accept_entries, import_entries, reject_entries, start_import, undo_import
from catalog.import_forms import CORRECTED
from catalog.import_words import changes_of
from catalog.models import CatalogImport, ImportEntry
from catalog.price_map.formats import FORMATS
from catalog.price_map.reading import UnreadableFile
from catalog.price_map.verdicts import in_words
from catalog.request_steps_api import IDEMPOTENT
from core.pagination import KeysetPages
from core.serializers import StrictModelSerializer, StrictSerializer, require_no_fields
from core.text_files import UnreadableText
from tenants.roles import TokenScope

# Ids in one request.
MOST_CHOSEN = 10_000


class ImportSerializer(StrictModelSerializer[CatalogImport]):
    """A file that was compared with the catalog."""

    class Meta:
        model = CatalogImport
        fields = [
            "id", "source", "format", "file_name", "digest", "at", "state", "counts", "outcome", "refused",
        ]  # fmt: skip


class NewImportSerializer(StrictSerializer):
    """A file, as text."""

    format = serializers.ChoiceField(choices=sorted(FORMATS), default="litellm")
    file_name = serializers.CharField(max_length=200)
    content = serializers.CharField(trim_whitespace=False)


class ChangeSerializer(StrictSerializer):
    """One thing that an entry changes, in words."""

    label = serializers.CharField(read_only=True)  # type: ignore[assignment]
    was = serializers.CharField(read_only=True)
    now = serializers.CharField(read_only=True)


class EntrySerializer(StrictModelSerializer[ImportEntry]):
    """One offer that a file says something new of."""

    changes = serializers.SerializerMethodField()
    held_because = serializers.SerializerMethodField(help_text="Why it is held back, in words.")

    class Meta:
        model = ImportEntry
        fields = [
            "id", "run", "key", "model_name", "provider", "kind", "state", "before", "after", "changes", "held_for",
            "held_because", "differs", "is_edited", "decided_at",
        ]  # fmt: skip

    @extend_schema(responses=ChangeSerializer(many=True))
    def get_changes(self, entry: ImportEntry) -> list[dict[str, str]]:
        return [vars(one) for one in changes_of(entry)]

    def get_held_because(self, entry: ImportEntry) -> list[str]:
        return list(map(in_words, entry.held_for))


class ChosenSerializer(StrictSerializer):
    """Which entries; without ids, all that are open."""

    entries = serializers.ListField(
        child=serializers.UUIDField(), required=False, allow_empty=False, max_length=MOST_CHOSEN
    )


class AcceptSerializer(ChosenSerializer):
    """Which entries; without ids, all that wait."""

    may_take_held = serializers.BooleanField(
        default=False, help_text="Also those that are held back: you have looked at them."
    )


def _price() -> serializers.DecimalField:
    return serializers.DecimalField(
        max_digits=18, decimal_places=8, min_value=0, allow_null=True, required=False
    )


class CorrectedPricesSerializer(StrictSerializer):
    """The kinds of `catalog.import_forms.PRICES`."""

    input, output, cache_read = _price(), _price(), _price()


class CorrectSerializer(StrictSerializer):
    """What an entry should say. What is left out stays."""

    prices = CorrectedPricesSerializer(
        required=False, help_text="US dollars per million; null: no price of this kind."
    )
    facts = serializers.DictField(
        child=serializers.JSONField(allow_null=True), required=False, help_text=f"Of {', '.join(CORRECTED)}."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if unknown := sorted(set(attrs.get("facts", {})) - set(CORRECTED)):
            raise serializers.ValidationError({"facts": [f"{unknown[0][:80]}?"]})
        return attrs


class _ForImporters(SubjectMixin):
    """Rows that people with the right to import see."""

    token_scope = TokenScope.PLATFORM
    model: Any
    request: Any

    def get_queryset(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model.objects.all()
        return rows if start_import.is_for(self.request.user) else rows.none()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        start_import.require(signed_in(request), None)
        return super().list(request, *args, **kwargs)  # type: ignore[misc, no-any-return]

    def read(self, kind: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """The validated request."""
        said = kind(data=self.request.data)
        said.is_valid(raise_exception=True)
        return dict(said.validated_data)


class ImportViewSet(
    _ForImporters, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[CatalogImport]
):
    """Files that were compared with the catalog. Nothing changes until somebody accepts entries."""

    model, serializer_class = CatalogImport, ImportSerializer
    queryset = CatalogImport.objects.none()
    filterset_fields = ["state", "source"]

    @extend_schema(request=NewImportSerializer, responses={201: ImportSerializer}, parameters=[IDEMPOTENT])
    def create(self, request: Request) -> Response:
        """Compare a file with the catalog."""
        user = signed_in(request)
        start_import.require(user, None)

        def action() -> Response:
            said = self.read(NewImportSerializer)
            try:
                run = start_import(
                    said["content"], file_name=said["file_name"], format=said["format"], by=user
                )
            except (UnreadableFile, UnreadableText) as error:
                raise ValidationError({"content": [str(error)]}) from error
            return Response(self.get_serializer(run).data, status=status.HTTP_201_CREATED)

        return idempotent(request, action)

    @extend_schema(request=AcceptSerializer, responses=ImportSerializer)
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:
        """Accept entries. Many are left to a task: the import is `busy` until it is done."""
        run = self.subject_of(accept_entries)
        decided = accept_entries(
            run.pk, by=signed_in(request), in_background=True, **self.read(AcceptSerializer)
        )
        return Response(self.get_serializer(decided.run).data)

    @extend_schema(request=ChosenSerializer, responses=ImportSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject entries. Later imports do not list the very same again."""
        run = self.subject_of(reject_entries)
        decided = reject_entries(run.pk, by=signed_in(request), **self.read(ChosenSerializer))
        return Response(self.get_serializer(decided.run).data)

    @extend_schema(request=None, responses=ImportSerializer)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """Restore what offers and facts said before. `outcome` names what somebody has changed since, which stays."""
        run = self.subject_of(undo_import)
        require_no_fields(request.data)
        decided = undo_import(run.pk, by=signed_in(request), in_background=True)
        return Response(self.get_serializer(decided.run).data)


class EntryFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Filter entries by import, state, kind of change, model, or why they are held back."""

    run = django_filters.UUIDFilter(field_name="run_id")
    state = django_filters.ChoiceFilter(choices=ImportEntry.State.choices)
    kind = django_filters.ChoiceFilter(choices=ImportEntry.Kind.choices)
    model = django_filters.CharFilter(field_name="model_name")


class EntryPages(KeysetPages):
    """Newest import first, and in an import what is held back."""

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> Any:
        return ("-run_id", "place")


class ImportEntryViewSet(
    _ForImporters, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ImportEntry]
):
    """Entries of imports: what we have, what the file says, and what became of it."""

    model, serializer_class, filterset_class = ImportEntry, EntrySerializer, EntryFilter
    queryset = ImportEntry.objects.none()
    pagination_class = EntryPages

    @extend_schema(request=CorrectSerializer, responses=EntrySerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Correct what an entry says. It is compared again, and waits until somebody accepts it."""
        entry = self.subject_of(import_entries.edit_entry)
        said = self.read(CorrectSerializer)
        edited = import_entries.edit_entry(
            entry.pk, prices=said.get("prices", {}), facts=said.get("facts", {}), by=signed_in(request)
        )
        return Response(self.get_serializer(edited).data)

    @extend_schema(request=None, responses=EntrySerializer)
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:
        """Accept one entry, also if it is held back."""
        entry = self.subject_of(import_entries.accept_entry)
        require_no_fields(request.data)
        return Response(
            self.get_serializer(import_entries.accept_entry(entry.pk, by=signed_in(request))).data
        )

    @extend_schema(request=None, responses=EntrySerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject one entry."""
        entry = self.subject_of(import_entries.reject_entry)
        require_no_fields(request.data)
        return Response(
            self.get_serializer(import_entries.reject_entry(entry.pk, by=signed_in(request))).data
        )
