"""Actions on providers: add, test, change, disable, enable, delete; and the networks in which they may be."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from types import NoneType
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import ProtectedError
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from core.editing import assign
from core.errors import Conflict
from deployments.announcements import announce_provider
from deployments.models import Provider
from deployments.provider_audience import audience_of, require_confirmed, require_may_widen
from deployments.provider_audit import SAME_IN_WORDS, headers_kept, shown
from deployments.provider_credentials import NewCredential, row_of
from deployments.provider_declared import (
    MANAGE,
    changes_provider,
    lock_provider,
    place_of,
    require_may_enter,
    require_same_place,
)
from deployments.provider_fields import allowed_networks, clean_provider
from deployments.provider_lists import note_report
from deployments.provider_managers import forget_managers
from deployments.provider_networks import ALLOWED_NETWORKS
from deployments.provider_rotation import replace_credentials
from deployments.provider_tests import require_reached
from deployments.providers.listing import Report
from deployments.reach import Audience, lets_others_in
from tenants.models import DataClass
from tenants.revision import raise_revision


@action(NoneType, permission=MANAGE)
def try_new_provider(provider: Provider, credential: NewCredential | None, *, by: User) -> Report:
    """Test a provider that is not saved. Takes seconds, saves nothing but the audit entry; safe to repeat.

    Raises:
        PermissionDenied: `by` may not manage providers.
        ValidationError: a field is invalid, or the provider was not reached; the message says what is wrong.
    """
    try_new_provider.require(by, None)
    clean_provider(provider, allowed_networks())
    fault = ""
    try:
        return require_reached(provider, credential)
    except ValidationError as error:
        fault = " ".join(error.messages)
        raise
    finally:
        audit.record("provider.tried", actor=by, subject=by, base_url=provider.base_url, fault=fault)


@action(NoneType, permission=MANAGE)
def add_provider(
    provider: Provider,
    credential: NewCredential | None,
    *,
    by: User | None,
    report: Report | None = None,
    is_tested: bool = True,
) -> Provider:
    """Save a new provider with its credential and the models that it lists, after a test that it can be used.

    Args:
        provider: unsaved.
        credential: None for a provider that needs none.
        by: None means the platform (set-up).
        report: of a test made just before; without it the provider is tested here, which takes seconds.
        is_tested: False saves without a test, for a provider that only gateways can reach.

    Raises:
        PermissionDenied: `by` may not manage providers.
        ValidationError: a field is invalid, or the test failed.
        Conflict: a provider of that name exists.
    """
    add_provider.require(by, None)
    clean_provider(provider, allowed_networks())
    if Provider.objects.filter(name=provider.name).exists():
        raise Conflict(_("A provider with this name already exists."), code="name_taken")
    if report is None and is_tested:
        report = require_reached(provider, credential)
    with transaction.atomic():
        provider.save(force_insert=True)
        row = row_of(provider, credential) if credential is not None else None
        if row is not None:
            row.made_by = by
            row.save(force_insert=True)
        note_report(provider, report)
        audit.record(
            "provider.added",
            actor=by,
            subject=provider,
            dialect=provider.dialect,
            base_url=provider.base_url,
            is_tested=report is not None,
            credential=row.label if row is not None else "",
        )
        raise_revision(routing=True)
    return provider


@changes_provider()
def change_provider(
    pk: UUID | str,
    *,
    by: User,
    is_tested: bool = True,
    credential: NewCredential | None = None,
    may_change_audience: bool = False,
    **values: Any,
) -> Provider:
    """Change fields of a provider. If how it is reached changes, it is tested first, which takes seconds.

    Whoever may manage this provider alone cannot move it (`move_provider`), raise its data class, or change regions so
    that others reach it.

    Args:
        pk: id of the provider.
        by: the person.
        is_tested: False saves without a test.
        credential: replaces those in force at once. Necessary if calls go to another place afterwards.
        may_change_audience: confirms that tenants with a grant gain or lose a model.
        values: by name, of `Provider.EDITABLE`.

    Raises:
        Provider.DoesNotExist: `by` cannot see such a provider.
        PermissionDenied: `by` may not manage this provider, move it, name files and variables, or let others in.
        Conflict: tenants gain or lose a model, and `may_change_audience` is not set (`audience_would_change`); or
            somebody else moved the provider while it was tested, or with a credential on its way.
        ValidationError: a field is invalid, the credential is missing, or the test failed.
    """
    draft = Provider.objects.visible_to(by).get(pk=pk)
    seen = copy(draft)
    change_provider.require(by, draft)
    require_may_enter(by, credential)
    wanted = copy(draft)
    assign(wanted, values)
    clean_provider(wanted, allowed_networks())
    require_may_widen(by, audience_of(draft), audience_of(wanted))
    changed = {
        name: getattr(wanted, name)
        for name in Provider.EDITABLE
        if getattr(wanted, name) != getattr(draft, name)
    }
    _assign(draft, changed, by=by, credential=credential)
    report = None
    if is_tested and (credential is not None or changed.keys() & Provider.CONNECTION):
        report = require_reached(draft, credential)
    with transaction.atomic():
        provider = lock_provider(pk, by)
        change_provider.require(by, provider)
        if credential is not None or report is not None:
            require_same_place(provider, seen)
        if changed or credential is not None:
            # Only what this person changed: somebody else may have changed other fields while the test ran.
            old, audience = {name: getattr(provider, name) for name in changed}, audience_of(provider)
            audience_wanted = _audience_with(provider, changed)
            require_may_widen(by, audience, audience_wanted)
            require_confirmed(provider, audience_wanted, is_confirmed=may_change_audience)
            _assign(provider, changed, by=by, credential=credential)
            row = replace_credentials(provider, credential, by=by) if credential is not None else None
            provider.save(update_fields=sorted(changed))
            note_report(provider, report)
            pairs = {name: (shown(name, old[name]), shown(name, getattr(provider, name))) for name in changed}
            kept: dict[str, Any] = {}
            if "extra_headers" in changed:
                kept["headers_before"] = headers_kept(old["extra_headers"])
            if same := sorted(name for name, (before, after) in pairs.items() if before == after):
                kept[SAME_IN_WORDS] = same
            audit.record(
                "provider.changed",
                actor=by,
                subject=provider,
                is_tested=report is not None,
                credential=row.label if row is not None else "",
                changes=pairs,
                **kept,
            )
            if lets_others_in(audience, audience_wanted):
                announce_provider(provider)
            else:
                raise_revision(routing=True)
    return provider


# Not `on` the provider: whoever may manage one alone could send its calls, with all prompts, to a server of theirs.
@action(Provider, permission=MANAGE)
def move_provider(
    provider: Provider, values: dict[str, Any], *, by: User, credential: NewCredential | None
) -> None:
    """Say in memory where calls to a provider go: its base URL, proxy or private CA. `change_provider` saves it.

    Args:
        provider: as it is.
        values: by name, of `Provider.PLACE`.
        by: the person.
        credential: the provider's, entered again; necessary if one is in force and goes to another server.

    Raises:
        PermissionDenied: `by` may not manage all providers.
        ValidationError: the credential is missing.
    """
    move_provider.require(by, provider)
    place = place_of(provider)
    assign(provider, values)
    _require_credential(provider, place, credential)


def moves(provider: Provider, values: dict[str, Any]) -> bool:
    """Whether these values, as people write them, move a provider: then entry points ask `move_provider`."""
    return any(
        str(values[name]).strip() != getattr(provider, name) for name in Provider.PLACE & values.keys()
    )


def _assign(
    provider: Provider, values: dict[str, Any], *, by: User, credential: NewCredential | None
) -> None:
    """Set fields in memory, those that say where calls go by `move_provider`, which raises what it raises."""
    moved = {name: value for name, value in values.items() if name in Provider.PLACE}
    assign(provider, {name: value for name, value in values.items() if name not in moved})
    if moved:
        move_provider(provider, moved, by=by, credential=credential)


def _audience_with(provider: Provider, values: dict[str, Any]) -> Audience:
    """The provider's audience, with those of these values that say it."""
    return Audience(
        regions=tuple(values.get("regions", provider.regions)),
        highest_data_class=DataClass(values.get("highest_data_class", provider.highest_data_class)),
    )


def _require_credential(
    provider: Provider, before: tuple[str, ...], credential: NewCredential | None
) -> None:
    """Raise ValidationError if calls would take a credential to another place, and nobody has entered it again.

    Otherwise whoever may change a provider could read its credential, on a server of their own.
    """
    if credential is None and place_of(provider) != before and provider.credentials.in_force(now()).exists():
        message = _("Calls would take the credential to another place. Enter it again.")
        raise ValidationError({"credential": message})


def _require_enabled(by: User | None, provider: Provider) -> None:
    if not provider.is_enabled:
        raise Conflict(_("This provider is already disabled."))


@changes_provider(_require_enabled)
@transaction.atomic
def disable_provider(pk: UUID | str, *, by: User | None) -> Provider:
    """Send no more calls to a provider; gateways know within seconds. Everything about it stays.

    Raises:
        Provider.DoesNotExist: `by` cannot see such a provider.
        PermissionDenied: `by` may not manage this provider.
        Conflict: it is disabled already.
    """
    provider = lock_provider(pk, by)
    disable_provider.require(by, provider)
    provider.is_enabled = False
    provider.save(update_fields=["is_enabled"])
    audit.record("provider.disabled", actor=by, subject=provider)
    raise_revision(routing=True)
    return provider


def _require_disabled(by: User | None, provider: Provider) -> None:
    if provider.is_enabled:
        raise Conflict(_("This provider is enabled."))


@changes_provider(_require_disabled)
@transaction.atomic
def enable_provider(pk: UUID | str, *, by: User | None) -> Provider:
    """Send calls to a provider again.

    Raises:
        Provider.DoesNotExist: `by` cannot see such a provider.
        PermissionDenied: `by` may not manage this provider.
        Conflict: it is enabled already.
    """
    provider = lock_provider(pk, by)
    enable_provider.require(by, provider)
    provider.is_enabled = True
    provider.save(update_fields=["is_enabled"])
    audit.record("provider.enabled", actor=by, subject=provider)
    announce_provider(provider)
    return provider


@changes_provider()
@transaction.atomic
def delete_provider(pk: UUID | str, *, by: User | None) -> Provider:
    """Delete a provider, its credentials and its list of models. Usage in the ledger stays.

    Raises:
        Provider.DoesNotExist: `by` cannot see such a provider.
        PermissionDenied: `by` may not manage this provider.
        Conflict: something still routes there; the message names it.
    """
    provider = lock_provider(pk, by)
    delete_provider.require(by, provider)
    audit.record("provider.deleted", actor=by, subject=provider, base_url=provider.base_url)
    try:
        with transaction.atomic():
            forget_managers(provider)
            Provider.objects.filter(pk=provider.pk).delete()
    except ProtectedError as error:
        names = sorted({str(row) for row in error.protected_objects})
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        message = _("Models still route to this provider: %(names)s. Remove it from their routes first.")
        raise Conflict(message % {"names": shown}, code="is_routed") from error
    raise_revision(routing=True)
    return provider


@action(NoneType, permission=MANAGE)
@transaction.atomic
def set_allowed_networks(networks: Iterable[str], *, by: User | None) -> list[str]:
    """Set the networks beyond the public Internet in which providers may be. Safe to repeat; none at first.

    Raises:
        PermissionDenied: `by` may not manage providers.
        ValidationError: a text is no network, or one that can never be allowed.
    """
    set_allowed_networks.require(by, None)
    return ALLOWED_NETWORKS.replace(networks, by=by)
