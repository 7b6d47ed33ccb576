"""The platform's staff, and the source of each role."""

from __future__ import annotations

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.actions import end_staff_role, make_staff
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.dialogs import Dialog
from accounts.models import StaffRoleAssignment, User
from accounts.permissions import signed_in
from accounts.roles import StaffRole
from core.addresses import AddressFormField
from core.errors import Conflict
from core.form_errors import show_errors


class AssignForm(forms.Form):
    """A person and the role to assign. People need an account before they get a role."""

    email = AddressFormField(
        label=_("E-mail address"),
        help_text=_("Address of a person with an account here."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "email"}),
    )
    role = forms.ChoiceField(label=_("Role"), choices=StaffRole.choices, widget=UnfoldAdminSelectWidget())

    def clean_email(self) -> User:
        person = User.objects.filter(email=self.cleaned_data["email"]).first()
        if person is None:
            raise ValidationError(
                _("Nobody has this address. They sign in once, then you can assign a role.")
            )
        return person


def _end_assignment(pk: str, *, by: User) -> User:
    assignment = StaffRoleAssignment.objects.select_related("user").get(pk=pk)
    end_staff_role(assignment.user, assignment.role, by=by)
    return assignment.user


@admin.register(StaffRoleAssignment)
class StaffRoleAssignmentAdmin(ReadOnlyAdmin):
    list_display = ["user", "role_label", "source_label", "is_active", "created_at"]
    list_filter = ["role", "source"]
    list_select_related = ["user"]
    search_fields = ["user__email", "user__name"]
    ordering = ["role", "-pk"]
    fields = ["user", "role", "source", "created_at"]
    readonly_fields = fields
    actions_list = ["assign"]
    actions_detail = ["end"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[StaffRoleAssignment]:
        return StaffRoleAssignment.objects.select_related("user").order_by("role", "-pk")

    @display(description=_("Role"), ordering="role")
    def role_label(self, assignment: StaffRoleAssignment) -> str:
        return assignment.get_role_display()

    @display(description=_("Comes from"), ordering="source")
    def source_label(self, assignment: StaffRoleAssignment) -> str:
        return assignment.get_source_display()

    @display(description=_("Active"), boolean=True)
    def is_active(self, assignment: StaffRoleAssignment) -> bool:
        return assignment.user.is_active

    def has_assign_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return make_staff.is_for(request.user)

    @action(description=_("Assign role"), url_path="assign", permissions=["assign"])
    def assign(self, request: HttpRequest) -> HttpResponse:
        """Give a person a staff role."""
        form = AssignForm(request.POST or None)
        if form.is_valid():
            person, role = form.cleaned_data["email"], form.cleaned_data["role"]
            try:
                make_staff(person, role, by=signed_in(request))
            except ValidationError as error:
                show_errors(form, error)
            except (PermissionDenied, Conflict) as error:
                form.add_error(None, str(error))
            else:
                said = {"person": person, "role": StaffRole(role).label}
                messages.success(request, _("%(person)s is %(role)s from their next request on.") % said)
                return redirect("admin:accounts_staffroleassignment_changelist")
        hint = _("You cannot assign a role to yourself. The audit log records who assigned each role.")
        return self.form_page(
            request, form, title=_("Assign a staff role"), button=_("Assign role"), hint=hint
        )

    end = Dialog(
        end_staff_role,
        call=_end_assignment,
        label=_("Dismiss"),
        url_path="end",
        is_dangerous=True,
        title=_("End this staff role?"),
        text=_("From their next request on it gives no rights."),
        button=_("End role"),
        done=_("%(it)s no longer has this role."),
        ends_on="list",
    )
