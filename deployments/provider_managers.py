"""Letting a member of the staff who is no operator manage one provider: an object permission of a group of its own."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from guardian.shortcuts import assign_perm, remove_perm

import audit
from accounts.declared import action
from accounts.models import User
from core.addresses import address_or_none
from deployments.models import Provider
from deployments.provider_declared import MANAGE, lock_provider


def managers_of(provider: Provider) -> list[str]:
    """The addresses of people who may manage this provider alone, in order."""
    people = User.objects.filter(groups__name=group_name(provider.pk), is_staff=True)
    return list(people.order_by("email").values_list("email", flat=True))


# Not `on` the provider: whoever may manage one alone does not pass it on.
@action(Provider, permission=MANAGE)
@transaction.atomic
def set_provider_manager(pk: UUID | str, email: str, is_manager: bool, *, by: User) -> Provider:
    """Let a member of the staff manage one provider, or no longer. Safe to repeat.

    Args:
        pk: id of the provider.
        email: of the person.
        is_manager: False takes it back.
        by: an operator.

    Raises:
        Provider.DoesNotExist: `by` cannot see such a provider.
        PermissionDenied: `by` may not manage all providers.
        ValidationError: there is no such person among the staff.
    """
    provider = lock_provider(pk, by)
    set_provider_manager.require(by, provider)
    person = User.objects.filter(email=address_or_none(email) or "", is_staff=True, is_active=True).first()
    if person is None:
        raise ValidationError({"email": _("No member of the staff has this address.")})
    group, _is_new = Group.objects.get_or_create(name=group_name(provider.pk))
    assign_perm(MANAGE, group, provider)
    if person.groups.filter(pk=group.pk).exists() != is_manager:
        (person.groups.add if is_manager else person.groups.remove)(group)
        audit.record(
            "provider.manager_added" if is_manager else "provider.manager_removed",
            actor=by,
            subject=provider,
            person=person.email,
        )
    return provider


def forget_managers(provider: Provider) -> None:
    """Take a provider that is deleted from everybody, inside the caller's transaction. The empty group stays."""
    for group in Group.objects.filter(name=group_name(provider.pk)):
        remove_perm(MANAGE, group, provider)
        group.user_set.clear()


def group_name(pk: UUID) -> str:
    """The name of the group whose members manage the provider."""
    return f"provider:{pk}:managers"
