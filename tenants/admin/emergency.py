"""Emergency access in the admin: open it from a tenant's page, and review what others did with it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextareaWidget

from accounts.admin.base import Colors, ReadOnlyAdmin
from accounts.admin.dialogs import Dialog, DialogForm
from accounts.permissions import signed_in
from accounts.second_factor import has_authenticator
from core.context import current_origin
from core.errors import Conflict
from core.form_errors import show_errors
from tenants.actions import open_emergency_access, review_emergency_access
from tenants.actions.emergency import LENGTHS, LONGEST_TEXT
from tenants.emergency_mail import owners_of
from tenants.models import EmergencyAccess, Tenant
from tenants.models.emergency import SHORTEST_REASON

WORDS = {15: _("15 minutes"), 60: _("1 hour"), 240: _("4 hours")}


class OpenForm(forms.Form):
    """Asks why and for how long."""

    reason = forms.CharField(
        label=_("Reason"),
        min_length=SHORTEST_REASON,
        error_messages={"min_length": _("Enter at least %(limit_value)d characters.")},
        max_length=LONGEST_TEXT,
        help_text=_(
            "The tenant's owners read it in an e-mail now, and everyone with access to its audit log later."
        ),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )
    minutes = forms.TypedChoiceField(
        label=_("For how long"),
        coerce=int,
        choices=[(minutes, WORDS[minutes]) for minutes in LENGTHS],
        initial=LENGTHS[0],
        help_text=_("It cannot be extended. End it as soon as you are done."),
        widget=UnfoldAdminRadioSelectWidget(),
    )


class RemarkForm(DialogForm):
    remark = forms.CharField(
        label=_("Remark"),
        max_length=LONGEST_TEXT,
        help_text=_("What you found. The tenant's owners can read it."),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )


class EmergencyActions:
    """Adds opening emergency access to the admin of tenants."""

    admin_site: Any
    opts: Any

    def has_emergency_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return open_emergency_access.is_for(request.user)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """Hide the button for closed tenants. People without a second factor see it: it leads to setting one up."""
        hidden = set()
        if Tenant.objects.filter(pk=object_id, status=Tenant.Status.CLOSED).exists():
            hidden.add("emergency_access")
        buttons = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [button for button in buttons if button.method.original_function_name not in hidden]

    @action(description=_("Emergency access"), url_path="emergency-access", permissions=["emergency"])
    def emergency_access(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask why and for how long, explain what happens, and open the access."""
        person = signed_in(request)
        tenant = Tenant.objects.visible_to(person).get(pk=object_id)
        form = OpenForm(request.POST or None)
        context = self.admin_site.each_context(request) | {
            "opts": self.opts, "title": _("Emergency access to %(tenant)s") % {"tenant": tenant}, "form": form,
            "tenant": tenant, "back": reverse("admin:tenants_tenant_change", args=[tenant.pk]),
        }  # fmt: skip
        if not current_origin.get().has_second_factor:
            context["page_for_factor"] = (
                "second-factor-confirm" if has_authenticator(person) else "second-factor-enrol"
            )
            return self._answer(request, context, status=403)
        if not form.is_valid():
            return self._answer(request, context, status=422 if form.is_bound else 200)
        if request.POST.get("step") == "confirm":
            try:
                open_emergency_access(tenant.pk, by=person, **form.cleaned_data)
            except Conflict as conflict:
                form.add_error(None, conflict.message)
            except ValidationError as error:
                show_errors(form, error)
            else:
                messages.success(request, _("Emergency access is open. End it as soon as you are done."))
                return redirect("tenant-home", tenant.slug)
            return self._answer(request, context, status=422)
        context |= {
            "is_sure": True,
            "length": WORDS[form.cleaned_data["minutes"]],
            "owners": owners_of(tenant.pk),
        }
        return self._answer(request, context, status=200)

    def _answer(self, request: HttpRequest, context: dict[str, Any], *, status: int) -> HttpResponse:
        return render(request, "admin/tenants/emergency_access.html", context, status=status)


class ReviewedFilter(admin.SimpleListFilter):
    title = _("Reviewed")
    parameter_name = "reviewed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("no", _("By nobody yet")), ("yes", _("By a second person"))]

    def queryset(self, request: HttpRequest, accesses: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() in ("yes", "no"):
            return accesses.filter(reviewed_at__isnull=self.value() == "no")
        return accesses


@admin.register(EmergencyAccess)
class EmergencyAccessAdmin(ReadOnlyAdmin):
    page_badge = "state"
    list_display = ["tenant", "opened_by", "why", "opened_at", "state", "reviewed"]
    list_filter = [ReviewedFilter]
    search_fields = ["tenant__name", "opened_by__email", "reason"]
    ordering = ["-pk"]
    fields = [
        "tenant", "opened_by", "reason", "opened_at", "expires_at", "state", "ended_at", "recorded_actions",
        "mailed_at", "mail_problem", "reviewed_by", "reviewed_at", "remark",
    ]  # fmt: skip
    readonly_fields = fields
    actions_detail = ["review"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        accesses: Any = super().get_queryset(request)
        with_status: QuerySet[Any] = accesses.with_status()
        return with_status

    @display(description=_("Reason"))
    def why(self, access: EmergencyAccess) -> str:
        return Truncator(access.reason).chars(40)

    @display(description=_("State"), label=Colors(open="danger"))
    def state(self, access: EmergencyAccess) -> tuple[str, str]:
        return ("over", access.over_at) if access.over_at else ("open", pgettext("a state", "Open"))

    @display(description=_("Reviewed"), label=Colors(nobody="warning"))
    def reviewed(self, access: EmergencyAccess) -> tuple[str, str]:
        by = access.reviewed_by
        return ("somebody", str(by)) if by else ("nobody", gettext("By nobody yet"))

    @display(description=_("Actions"))
    def recorded_actions(self, access: EmergencyAccess) -> str:
        audit_log = reverse("admin:audit_auditentry_changelist")
        return format_html(
            '<a class="underline" href="{}?emergency={}">{}</a>',
            audit_log,
            access.pk,
            _("Its actions in the audit log"),
        )

    review = Dialog(
        review_emergency_access,
        label=_("Mark as reviewed"),
        url_path="review",
        form=RemarkForm,
        title=_("Have you reviewed the actions?"),
        text=_(
            "First read its actions in the audit log, and check whether the reason justifies them. The "
            "tenant sees your name and remark."
        ),
        button=_("I have reviewed them"),
        done=_("Marked as reviewed."),
    )
