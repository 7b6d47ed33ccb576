"""The page that closes a tenant: suspend, export, propose, then confirm by someone else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.generic import TemplateView

from accounts.permissions import signed_in
from billing.closing import begin_closing, build_final_export, latest_final_export
from exports.models import Export
from exports.presentation import present_row
from tenants.actions.closing import confirm_closing, open_closing, propose_closing, withdraw_closing
from tenants.models import TenantClosing
from tenants.signals import impact_of
from tenants.views.mixins import TenantPageMixin


@dataclass(frozen=True)
class ClosingFacts:
    """What the page shows about the closing of a tenant."""

    closing: TenantClosing | None
    export: Any
    export_is_done: bool
    export_is_under_way: bool
    impact: Any
    can_begin: bool
    can_build: bool
    can_propose: bool
    can_withdraw: bool
    can_confirm: bool


class ClosingPage(TenantPageMixin, TemplateView):
    """The progress of the closing, and the next step for people who may take it."""

    template_name = "billing/closing.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self._require_some_action()
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Take one step. Irreversible steps require the tenant's slug. The actions check everything else."""
        self._require_some_action()
        step = request.POST.get("step", "")
        action = {
            "begin": self._begin,
            "build": self._build,
            "propose": self._propose,
            "withdraw": self._withdraw,
            "confirm": self._confirm,
        }.get(step)
        if action is None:
            raise ValidationError(_("This step does not exist."))
        try:
            messages.success(request, action(request))
        except ValidationError as error:
            context = self.get_context_data(problem=" ".join(error.messages), said=request.POST)
            return self.render_to_response(context, status=422 if getattr(request, "htmx", False) else 400)
        return redirect("tenant-closing", self.tenant.slug)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = signed_in(self.request)
        export = latest_final_export(self.tenant)
        closing = open_closing(self.tenant)
        return super().get_context_data(**kwargs) | vars(
            ClosingFacts(
                closing=closing,
                export=present_row(export) if export else None,
                export_is_done=export is not None and export.state == Export.State.DONE,
                export_is_under_way=export is not None
                and export.state in (Export.State.QUEUED, Export.State.RUNNING),
                impact=impact_of(self.tenant),
                can_begin=begin_closing.is_possible(user, self.tenant),
                can_build=build_final_export.is_possible(user, self.tenant),
                can_propose=propose_closing.is_possible(user, self.tenant),
                can_withdraw=closing is not None and withdraw_closing.is_possible(user, closing),
                can_confirm=closing is not None and confirm_closing.is_possible(user, closing),
            )
        )

    def _require_some_action(self) -> None:
        user, draft = signed_in(self.request), TenantClosing(tenant=self.tenant)
        if not (propose_closing.is_permitted(user, self.tenant) or confirm_closing.is_permitted(user, draft)):
            raise PermissionDenied(_("Only owners and operators can close a tenant."))

    def _begin(self, request: HttpRequest) -> str:
        begin_closing.require(signed_in(request), self.tenant)
        self._require_typed(request)
        begin_closing(self.tenant.pk, by=signed_in(request), reason=request.POST.get("reason", ""))
        return _("%(tenant)s is suspended, and its final export is being built.") % {"tenant": self.tenant}

    def _build(self, request: HttpRequest) -> str:
        build_final_export.require(signed_in(request), self.tenant)
        build_final_export(self.tenant.pk, by=signed_in(request))
        return _("The final export is being built.")

    def _propose(self, request: HttpRequest) -> str:
        propose_closing.require(signed_in(request), self.tenant)
        self._require_typed(request)
        export = latest_final_export(self.tenant)
        if export is None:
            raise ValidationError(_("Build the final export first."))
        propose_closing(
            self.tenant.pk,
            export_id=export.pk,
            reason=request.POST.get("reason", ""),
            by=signed_in(request),
        )
        return _("Proposed. Someone else must now confirm it.")

    def _withdraw(self, request: HttpRequest) -> str:
        closing = self._closing()
        withdraw_closing.require(signed_in(request), closing)
        withdraw_closing(closing.pk, by=signed_in(request))
        return _("The proposal is withdrawn. Operators can resume the tenant.")

    def _confirm(self, request: HttpRequest) -> str:
        closing = self._closing()
        confirm_closing.require(signed_in(request), closing)
        self._require_typed(request)
        confirm_closing(closing.pk, by=signed_in(request))
        return _("%(tenant)s is closed.") % {"tenant": self.tenant}

    def _closing(self) -> TenantClosing:
        closing = open_closing(self.tenant)
        if closing is None:
            raise Http404
        return closing

    def _require_typed(self, request: HttpRequest) -> None:
        if request.POST.get("typed", "").strip() != self.tenant.slug:
            raise ValidationError(_("Enter %(slug)s to confirm.") % {"slug": self.tenant.slug})
