"""The filter of the audit log as a form in the address. Page, staff page, export and API read it alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.action_words import action_in_words
from audit.filters import NOBODY, EntryFilter, actions_in_log
from audit.models import AuditEntry
from core.addresses import address_or_none
from core.local_days import start_of_day
from tenants.models import EmergencyAccess, Membership, Tenant

PLATFORM = "platform"


class AuditLogForm(forms.Form):
    """Narrows the audit log by person, action, object and days. Every field may stay empty."""

    person = forms.CharField(
        label=_("Person"), required=False, max_length=254,
        help_text=_("E-mail address, or “platform”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )  # fmt: skip
    action = forms.ChoiceField(label=_("Action"), required=False)
    object = forms.CharField(label=_("Object"), required=False, max_length=64, help_text=_("Its id."))
    start = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    end = forms.DateField(
        label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    # Only actions under this emergency access.
    emergency = forms.UUIDField(required=False, widget=forms.HiddenInput())

    def __init__(self, *args: Any, tenant: Tenant | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.audit_log_of = tenant
        self.accesses = (
            EmergencyAccess.objects.in_tenant(tenant) if tenant else EmergencyAccess.objects.none()
        )
        self.fields["action"].choices = action_choices(tenant)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or {}
        if asked.get("start") and asked.get("end") and asked["end"] < asked["start"]:
            self.add_error("end", _("The last day is before the first."))
        for name in ("start", "end"):
            if asked.get(name) and not 1970 <= asked[name].year <= 9000:
                self.add_error(name, _("Give a year from 1970 to 9000."))
        return asked

    def entry_filter(self) -> EntryFilter:
        """The form as a filter. An unknown address finds nothing, like the address of a person who did nothing here."""
        asked = self.cleaned_data
        person = asked["person"].strip().lower()
        tenant = asked.get("tenant") or self.audit_log_of
        zone = tenant.timezone if tenant else "UTC"
        tenants = (tenant.pk,) if tenant else None
        entry_filter = EntryFilter(
            tenants=tenants,
            actor=actor_of(person, tenants),
            is_platform=person == PLATFORM,
            action=asked["action"],
            subject=asked["object"].strip(),
            since=start_of_day(asked["start"], zone) if asked["start"] else None,
            until=start_of_day(asked["end"] + timedelta(days=1), zone) if asked["end"] else None,
        )
        return self._by_emergency_access(entry_filter) if asked.get("emergency") else entry_filter

    def _by_emergency_access(self, entry_filter: EntryFilter) -> EntryFilter:
        """Narrow the filter to one access: its person, its time and its mark. An invisible access has no actions."""
        access = self.accesses.filter(pk=self.cleaned_data["emergency"]).first()
        if access is None:
            return replace(entry_filter, actor=NOBODY)
        # A page may finish a little after the access ends.
        start, end = access.opened_at, access.expires_at + timedelta(minutes=1)
        return replace(
            entry_filter,
            actor=access.opened_by_id if entry_filter.actor in (None, access.opened_by_id) else NOBODY,
            since=max(start, entry_filter.since or start),
            until=min(end, entry_filter.until or end),
            emergency_access=access.pk,
        )


class StaffAuditLogForm(AuditLogForm):
    """The same for auditors, who may choose one tenant or all."""

    # A text field: thousands of choices would cost more than the page itself.
    tenant = forms.CharField(
        label=_("Tenant"), required=False, max_length=60, help_text=_("The slug. Empty: all tenants.")
    )
    field_order = ("tenant", "person", "action", "object", "start", "end", "emergency")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, tenant=None, **kwargs)
        self.accesses = EmergencyAccess.objects.visible_to(user)
        self.visible = Tenant.objects.visible_to(user)

    def clean_tenant(self) -> Tenant | None:
        if not (slug := self.cleaned_data["tenant"].strip()):
            return None
        tenant = self.visible.filter(slug=slug).first()
        if tenant is None:
            raise forms.ValidationError(_("There is no such tenant."))
        return tenant


def actor_of(person: str, tenants: tuple[UUID, ...] | None) -> UUID | None:
    """The id of the person with an address; None for everyone and for the platform.

    A person who neither belongs to `tenants` (None: all) nor did anything there counts as nobody. Files and the audit
    log itself keep and show the filter, and it must not reveal which addresses have an account elsewhere.
    """
    if not person or person == PLATFORM:
        return None
    found = User.objects.filter(email=address_or_none(person))
    if tenants is not None:
        members = Membership.objects.across_tenants().filter(tenant__in=tenants, user=OuterRef("pk"))
        actions = AuditEntry.objects.across_tenants().filter(tenant__in=tenants, actor=OuterRef("pk"))
        found = found.filter(Exists(members) | Exists(actions))
    return found.values_list("pk", flat=True).first() or NOBODY


def address_of(actor: str | None) -> str:
    """The address of the person with the id `actor`, as the form takes it."""
    if not actor:
        return ""
    return User.objects.filter(pk=actor).values_list("email", flat=True).first() or "nobody"


def action_choices(tenant: Tenant | None) -> list[tuple[str, Any]]:
    """The audit log's actions by kind of object: first all actions of a kind, then each of them."""
    kinds: dict[str, list[str]] = {}
    for verb in actions_in_log((tenant.pk,) if tenant else None):
        kinds.setdefault(verb.partition(".")[0], []).append(verb)
    choices: list[tuple[str, Any]] = [("", _("All"))]
    for kind, verbs in kinds.items():
        noun = action_in_words(kind)
        every = (f"{kind}.", _("%(noun)s: everything") % {"noun": noun})
        choices.append((noun, [every, *((verb, action_in_words(verb)) for verb in verbs)]))
    return choices
