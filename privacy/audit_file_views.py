"""A tenant's audit log as files: order, watch and download them like any other export."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView

from accounts.permissions import signed_in
from core.local_days import day_at
from exports.forms import format_field
from exports.models import Export
from exports.presentation import present_row
from privacy.audit_files import AUDIT_JSONL, AUDIT_KINDS, ask_for_audit_file
from privacy.audit_forms import AuditLogForm, StaffAuditLogForm
from tenants.views.mixins import TenantPageMixin

SHOWN = 25
KINDS = [(kind.name, kind.label) for kind in AUDIT_KINDS.values()]


class _Asking(forms.Form):
    """The extra fields for a file of the audit log, its kind and format. Its days are required."""

    kind = forms.ChoiceField(label=_("File"), choices=KINDS)
    format = format_field()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("start", "end"):
            self.fields[name].required = True
        del self.fields["emergency"]

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or {}
        if asked.get("kind") == AUDIT_JSONL.name and asked.get("format") != Export.Format.PLAIN:
            self.add_error("format", _("This format applies only to CSV. Choose CSV, or the plain format."))
        return asked


class AuditExportForm(_Asking, AuditLogForm):
    """A part of one tenant's audit log as a file."""


class StaffAuditExportForm(_Asking, StaffAuditLogForm):
    """A part of any tenant's audit log, or of all, as a file."""


class AuditExports(TenantPageMixin, FormView):  # type: ignore[type-arg]
    """The newest files of the audit log, and the form that orders another one."""

    form_class = AuditExportForm
    template_name = "privacy/audit_exports.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        ask_for_audit_file.require_permission(signed_in(request), Export(tenant=self.tenant))
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        ask_for_audit_file.require(signed_in(request), Export(tenant=self.tenant))
        return super().post(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"tenant": self.tenant}

    def get_initial(self) -> dict[str, Any]:
        today = day_at(now(), self.tenant.timezone)
        asked = {
            name: self.request.GET[name]
            for name in ("person", "action", "object")
            if name in self.request.GET
        }
        return asked | {"start": today.replace(day=1), "end": today}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = (
            Export.objects.visible_to(signed_in(self.request)).in_tenant(self.tenant).of_kinds(*AUDIT_KINDS)
        )
        rows = [present_row(export) for export in found.with_names().order_by("-pk")[:SHOWN]]
        return super().get_context_data(**kwargs) | {"exports": rows}

    def form_valid(self, form: AuditExportForm) -> HttpResponse:
        ask_for_audit_file(
            self.tenant,
            kind=form.cleaned_data["kind"],
            start_day=form.cleaned_data["start"],
            end_day=form.cleaned_data["end"],
            by=signed_in(self.request),
            entry_filter=form.entry_filter().as_json(),
            csv_format=form.cleaned_data["format"],
        )
        return redirect("audit-exports", tenant=self.tenant.slug)

    def form_invalid(self, form: AuditExportForm) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)
