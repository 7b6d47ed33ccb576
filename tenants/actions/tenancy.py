"""Creating and changing tenants."""

from __future__ import annotations

import re
from copy import copy
from types import NoneType
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from core.editing import assign
from core.errors import Conflict
from core.letters import foreign_to_names
from core.local_days import zones_to_choose
from core.look_alikes import skeleton
from tenants.models import DataClass, Limit, Tenant
from tenants.revision import raise_revision
from tenants.roles import Role
from tenants.status import in_active_tenant, lock_tenant

REGION: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@action(NoneType, permission="tenants.create_tenant")
@transaction.atomic
def create_tenant(
    *, by: User | None, slug: str, name: str, first_owner: str = "", **fields: object
) -> Tenant:
    """Create an active tenant. `by` None means the platform (setup, import).

    Args:
        fields: from `Tenant.EDITABLE`.
        first_owner: an e-mail address to invite as owner; only people can invite.

    Raises:
        PermissionDenied: `by` may not create tenants. Conflict: another tenant has this slug or name, or a name
        that looks like it.
        ValidationError: by field; an unknown time zone, for example, would stop every snapshot.
    """
    create_tenant.require(by, None)
    tenant = Tenant(slug=slug)
    assign(tenant, {"name": name, **fields})
    _clean(tenant, named_before="")
    if by is not None:
        _check_slug_reads_alone(slug)
    try:
        with transaction.atomic():
            tenant.save(force_insert=True)
    except IntegrityError as error:
        _refuse_look_alike(error)
        raise Conflict(
            _("A tenant with the slug %(slug)s already exists. Choose another one.") % {"slug": slug},
            code="slug_taken",
        ) from error
    audit.record("tenant.created", actor=by, subject=tenant)
    if by is not None and first_owner:
        # Imported late: that module itself checks whether a tenant is active.
        from tenants.actions.invitations import invite

        invite(tenant, first_owner, Role.OWNER, by=by)
    return tenant


@action(Tenant, permission="tenants.manage_tenant", on=lambda tenant: tenant, state=in_active_tenant)
@transaction.atomic
def change_tenant(pk: UUID | str, *, by: User, **fields: Any) -> Tenant:
    """Change some of `Tenant.EDITABLE`. Omitted fields stay. The slug is permanent.

    Anyone who may change the settings can lower the highest data class; only operators raise it.

    Raises:
        Tenant.DoesNotExist: `by` cannot see such a tenant. PermissionDenied: `by` may not change its settings,
        or raises the data class. Conflict: the tenant is not active, has usage and would get another currency, or
        would get a name that is or looks like another tenant's.
        ValidationError: by field.
    """
    tenant = lock_tenant(pk, by=by)
    change_tenant.require_permission(by, tenant)
    before = copy(tenant)
    wanted = DataClass(before.highest_data_class)
    if fields.get("highest_data_class") in DataClass.values:
        wanted = DataClass(fields["highest_data_class"])
    if wanted.rank > DataClass(before.highest_data_class).rank and not create_tenant.is_for(by):
        raise PermissionDenied(_("Only operators can allow a tenant to use more sensitive data. Ask them."))
    change_tenant.require(by, tenant)
    assign(tenant, fields)
    _clean(tenant, named_before=before.name)
    changes = audit.difference(before, tenant, Tenant.EDITABLE)
    if not changes:
        return tenant
    try:
        with transaction.atomic():
            tenant.save(update_fields=[*changes, "name_skeleton"] if "name" in changes else list(changes))
    except IntegrityError as error:
        _refuse_look_alike(error)
        if "keeps its currency" not in str(error):
            raise
        raise Conflict(
            _("%(tenant)s already has usage in %(currency)s, so its currency cannot be changed.")
            % {"tenant": before.name, "currency": before.currency},
            code="currency_in_use",
        ) from error
    audit.record("tenant.changed", actor=by, subject=tenant, changes=changes)
    # The time zone sets the days and months that limits count. Gateways read the rest with the tenant.
    is_policy = not changes.keys().isdisjoint(("regions", "answer_storage", "degrading"))
    if "timezone" in changes or is_policy:
        raise_revision(
            limits=limited_in(tenant) if "timezone" in changes else (),
            tenants=[tenant.pk] if is_policy else (),
        )
    return tenant


def limited_in(tenant: Tenant) -> set[UUID]:
    """Return the ids of the tenant, its projects and its keys on which limits are set."""
    places = Limit.objects.in_tenant(tenant).values_list("key_id", "project_id").distinct()
    return {key or project or tenant.pk for key, project in places}


def _check_slug_reads_alone(slug: str) -> None:
    """Raise Conflict for a slug that readers could mistake for another tenant's: `l` for `1`, `_` for `-`."""
    wanted = skeleton(slug)
    others = Tenant.objects.exclude(slug=slug).values_list("slug", flat=True)
    if any(skeleton(other) == wanted for other in others.iterator()):
        raise Conflict(
            _("%(slug)s looks like another tenant's slug. Choose another one.") % {"slug": slug},
            code="slug_taken",
        )


def _refuse_look_alike(error: IntegrityError) -> None:
    """Raise Conflict if the name is too much like another tenant's. The message does not reveal that tenant."""
    if "name_skeleton" in str(error):
        raise Conflict(
            _("Another tenant has this name, or one that looks like it. Choose another one."),
            code="name_taken",
        ) from error


def _clean(tenant: Tenant, *, named_before: str) -> None:
    """Normalize the fields. An unchanged name is not checked again. Raises ValidationError by field."""
    problems: dict[str, Any] = {}
    try:
        tenant.clean_fields(exclude=["name_skeleton"])
    except ValidationError as error:
        problems |= error.error_dict
    if "name" not in problems and tenant.name != named_before and (foreign := foreign_to_names(tenant.name)):
        problems["name"] = _(
            "The character %(code)s (%(character)s) is not allowed in names. Use letters of a script in "
            "current use, such as Latin, Greek, Cyrillic, Arabic, Devanagari or Han, and no symbols that "
            "look like letters."
        ) % {"code": f"U+{ord(foreign):04X}", "character": foreign}
    if "timezone" not in problems and tenant.timezone not in zones_to_choose():
        problems["timezone"] = _("Use an IANA name, such as Europe/Berlin.")
    if "regions" not in problems:
        tenant.regions = sorted({str(region).strip().lower() for region in tenant.regions} - {""})
        if wrong := [region for region in tenant.regions if not REGION.fullmatch(region)]:
            problems["regions"] = _("Write regions like eu or eu-west-1, not %(wrong)s.") % {
                "wrong": wrong[0]
            }
    if problems:
        raise ValidationError(problems)
