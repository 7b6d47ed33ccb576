"""People, for operators."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin.base import ReadOnlyAdmin, more
from accounts.admin.sign_in import SignInActions
from accounts.models import User
from privacy.admin.personal_data import PersonalDataMixin
from tenants.admin.people_actions import PeopleActions

# Actions give roles and record them, so groups have no page of their own.
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(PeopleActions, SignInActions, PersonalDataMixin, ReadOnlyAdmin):
    list_display = ["email", "name", "is_staff", "is_active", "last_login"]
    list_filter = ["is_staff", "is_active"]
    search_fields = ["email", "name"]
    ordering = ["email"]
    fields = [
        "email", "name", "is_active", "is_staff", "is_superuser", "roles", "has_second_factor", "is_locked_out",
        "date_joined", "last_login",
    ]  # fmt: skip
    readonly_fields = fields
    actions_detail: list[Any] = ["reactivate", "unlock", "hand_out", more("deactivate", "reset", "erase")]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return User.objects.order_by("email")

    @display(description=_("Staff roles"))
    def roles(self, user: User) -> str:
        return ", ".join(sorted(user.staff_roles)) or "—"
