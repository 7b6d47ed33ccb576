"""The page on which owners say which access is still needed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.generic import TemplateView

from accounts.permissions import signed_in
from catalog.actions.campaigns import answer_attestation, answer_many
from catalog.models import Attestation, AttestationCampaign, Grant
from core.ids import is_uuid
from core.keyset import requested_page
from core.tenant_managers import TenantQuerySet
from tenants.permissions import require_somewhere
from tenants.views.mixins import TenantScopedMixin

PAGE_SIZE = 50
NAMED = ("tenant", "campaign", "grant__model", "grant__project__tenant", "grant__owner", "grant__tenant")


class AttestationList(TenantScopedMixin[TenantQuerySet[Attestation]], TemplateView):
    """Grants of open campaigns that wait for an answer: those of the reader, or all. A POST answers the chosen ones."""

    model = Attestation
    template_name = "catalog/attestation_list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = signed_in(self.request)
        waiting = self.get_queryset().filter(
            answer=Attestation.Answer.PENDING,
            campaign__state=AttestationCampaign.State.OPEN,
            campaign__closes_at__gt=now(),
        )
        lasting = Grant.objects.in_tenant(self.tenant).not_over().filter(pk=OuterRef("grant"))
        waiting = waiting.filter(Exists(lasting)).select_related(*NAMED)
        tab = "all" if self.request.GET.get("tab") == "all" else "mine"
        if tab == "mine":
            free = Q(grant__owner=None) | Q(grant__suspended_at__isnull=False)
            waiting = waiting.filter(Q(grant__owner=user) | free)
        page = requested_page(self.request, waiting, ("pk",), size=PAGE_SIZE)
        return super().get_context_data(**kwargs) | {
            "tab": tab,
            "rows": [
                {"it": one, "can_answer": answer_attestation.is_possible(user, one)} for one in page.rows
            ],
            "problems": kwargs.get("problems", []),
            **page.links(tab=tab),
        }

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user = signed_in(request)
        require_somewhere(user, answer_attestation.permission, self.tenant)
        chosen = [UUID(name) for name in request.POST.getlist("chosen") if is_uuid(name)]
        answer = request.POST.get("answer", "")
        if answer not in (Attestation.Answer.CONFIRMED, Attestation.Answer.DROPPED) or not chosen:
            return self._again([_("Choose grants, and say whether they are still needed.")])
        rows = list(self.get_queryset().filter(pk__in=chosen).select_related(*NAMED).order_by("pk"))
        if rows and not any(answer_attestation.is_possible(user, row) for row in rows):
            answer_attestation.require(user, rows[0])
        names = {row.pk: f"{row.grant.model.title}, {row.grant.project.name}" for row in rows}
        problems = answer_many(names, person=user, answer=answer)
        if answered := len(names) - len(problems):
            words = ngettext("%(n)s grant is answered", "%(n)s grants are answered", answered)
            messages.success(request, words % {"n": answered})
        if problems:
            return self._again([f"{names[pk]}: {why}" for pk, why in problems.items()])
        return redirect("attestation-list", self.tenant.slug)

    def _again(self, problems: list[str]) -> HttpResponse:
        return self.render_to_response(self.get_context_data(problems=problems), status=400)
