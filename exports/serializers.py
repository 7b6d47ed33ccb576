"""The input and output of the HTTP API for exports."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from core.local_days import end_of_month, read_month
from core.serializer_fields import MoneyField
from core.serializers import StrictModelSerializer, StrictSerializer
from exports.kinds import FileKind, all_kinds, choices, default_kind, kind_named
from exports.models import Export

Field = serializers.Field[Any, Any, Any, Any]


class ExportPlaceSerializer(StrictSerializer):
    """The kind of file, its tenant and its project."""

    reads_everything = False
    tenant = serializers.SlugField(
        required=False, help_text="slug; auditors may omit it for a file over all tenants"
    )
    project = serializers.SlugField(
        required=False, help_text="slug, for kinds of file with projects; default: all"
    )

    def get_fields(self) -> dict[str, Field]:
        kind = serializers.ChoiceField(choices=choices(), default=default_kind().name)
        return {"kind": kind} | super().get_fields()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if kind_named(attrs["kind"]).is_of_one_tenant and "tenant" not in attrs:
            raise serializers.ValidationError({"tenant": _("Name a tenant.")})
        return attrs


class NewExportSerializer(ExportPlaceSerializer):
    """The content of a file: `period` (a month), or `start` and `end`; then the filters of each kind."""

    reads_everything = True
    format = serializers.ChoiceField(
        choices=Export.Format.choices, default="plain", help_text="format of a CSV file"
    )
    period = serializers.CharField(required=False, help_text="a month: 2026-10")
    start = serializers.DateField(required=False)
    end = serializers.DateField(required=False, help_text="included")

    def get_fields(self) -> dict[str, Field]:
        fields = super().get_fields()
        for kind in all_kinds():
            fields |= kind.api_fields()
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        self._require_only_filters_of(kind_named(attrs["kind"]), attrs)
        if "period" in attrs:
            if beside := [name for name in ("start", "end") if name in attrs]:
                raise serializers.ValidationError(
                    dict.fromkeys(
                        beside, "The period already says which days. Leave this out, or leave out period."
                    )
                )
            try:
                attrs["start"] = read_month(attrs["period"])
            except ValueError:
                raise serializers.ValidationError({"period": _("Write a month as 2026-10.")}) from None
            attrs["end"] = end_of_month(attrs["start"])
        elif "start" not in attrs or "end" not in attrs:
            raise serializers.ValidationError({"period": _("Give a period, or start and end.")})
        if not (attrs["start"].year >= 1970 and attrs["end"].year <= 9000):
            raise serializers.ValidationError({"start": _("Give years from 1970 to 9000.")})
        return attrs

    def _require_only_filters_of(self, kind: FileKind, attrs: dict[str, Any]) -> None:
        """Raise ValidationError for a filter that `kind` would ignore: the file would be wider than what was asked."""
        if "project" in attrs and not kind.has_projects:
            raise serializers.ValidationError(
                {"project": _("This kind of file has no projects. Leave it out.")}
            )
        if "project" in attrs and "tenant" not in attrs:
            raise serializers.ValidationError({"project": _("Name the tenant of this project, too.")})
        every = {name for other in all_kinds() for name in other.api_fields()}
        if foreign := sorted((every - set(kind.api_fields())) & set(self.initial_data)):
            raise serializers.ValidationError(
                dict.fromkeys(foreign, "This kind of file has no such filter. Leave it out.")
            )


class ExportSerializer(StrictModelSerializer[Export]):
    tenant: Any = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    project: Any = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)
    start = serializers.DateField(source="start_day", read_only=True)
    end = serializers.DateField(source="end_day", read_only=True)
    total = MoneyField(allow_null=True)
    format = serializers.CharField(source="csv_format", read_only=True)

    class Meta:
        model = Export
        fields = (
            "id", "kind", "format", "tenant", "project", "start", "end", "state", "rows_done", "rows_total", "currency",
            "total", "size_bytes", "sha256", "error", "created_at", "finished_at", "expires_at",
        )  # fmt: skip
        read_only_fields = fields
