"""Undoing changes of providers. Credentials never come back: no entry has them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

from accounts.models import User
from audit.models import AuditEntry
from core.joined import listed, named
from deployments.models import Provider
from deployments.provider_actions import change_provider, disable_provider, enable_provider
from deployments.provider_audit import headers_before, settings_of, shown
from gateway.undo.steps import Step, changed_since, found_again

# What an entry has as a text.
_LISTS = frozenset({"regions"})
_HIDDEN = frozenset({"private_ca"})


def disabled(entry: AuditEntry) -> Step:
    """The inverse of disabling one."""
    words = _("Enable provider %(name)s") % {"name": entry.subject_label}
    return Step(entry, words, lambda by: found_again(entry, lambda: enable_provider(entry.subject_id, by=by)))


def enabled(entry: AuditEntry) -> Step:
    """The inverse of enabling one."""
    words = _("Disable provider %(name)s") % {"name": entry.subject_label}
    return Step(
        entry, words, lambda by: found_again(entry, lambda: disable_provider(entry.subject_id, by=by))
    )


def changed(entry: AuditEntry) -> Step:
    """The inverse of changing settings, without a test of whether the provider is reached."""
    names = settings_of(entry.changes, entry.details)
    if not names:
        return Step(
            entry, _("A credential was replaced. No entry has credentials: enter the one before again.")
        )
    if _HIDDEN & names:
        return Step(entry, _("The audit log does not keep certificates. Enter the ones before again."))
    if not names <= set(Provider.EDITABLE):
        return Step(entry, _("A setting of this entry does not exist any more. Correct it by hand."))
    values: dict[str, Any] = {name: before for name, (before, _after) in entry.changes.items()}
    for name in _LISTS & values.keys():
        values[name] = values[name].split(", ") if values[name] else []
    before_in_words = {name: before for name, (before, _after) in entry.changes.items()}
    if "extra_headers" in names:
        values["extra_headers"] = headers_before(entry.details)
        if values["extra_headers"] is None:
            return Step(entry, _("The values of the headers before can no longer be read. Enter them again."))
        before_in_words["extra_headers"] = shown("extra_headers", values["extra_headers"])

    def undo(by: User | None) -> None:
        if by is None:
            raise PermissionDenied(_("A person must undo changes of a provider."))
        found_again(entry, lambda: _change(entry, values, by))

    labels = {name: str(Provider._meta.get_field(name).verbose_name) for name in values}  # type: ignore[union-attr]
    now = listed(
        named(labels[name], _("not known") if before is None else before or _("none"))
        for name, before in before_in_words.items()
    )
    words = _("Set of provider %(name)s: %(values)s") % {"name": entry.subject_label, "values": now}
    if entry.details.get("credential"):
        words += " " + _("Its credential stays as it is.")
    return Step(entry, words, undo)


def _change(entry: AuditEntry, values: dict[str, Any], by: User) -> None:
    provider = Provider.objects.visible_to(by).select_for_update(of=("self",)).get(pk=entry.subject_id)
    if any(shown(name, getattr(provider, name)) != after for name, (_before, after) in entry.changes.items()):
        raise changed_since(entry.subject_label)
    change_provider(provider.pk, by=by, is_tested=False, may_change_audience=True, **values)
