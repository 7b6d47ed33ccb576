"""A tenant's audit log: who did what, and from where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.apps import apps
from django.core.exceptions import BadRequest, FieldDoesNotExist
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.generic import DetailView, TemplateView

from accounts.models import User
from accounts.permissions import signed_in
from audit.action_words import action_in_words
from audit.detail_words import detail_in_words
from audit.filters import Page, find_entries, hides_origin
from audit.models import AuditEntry
from audit.staff_reads import with_what_was_read
from core.joined import listed, named
from core.keyset import requested_place
from core.stored_words import retold
from core.tenant_managers import TenantQuerySet
from privacy.audit_forms import AuditLogForm
from tenants.views.mixins import MayReadAuditLog, PartialMixin, TenantScopedMixin

Labels = Mapping[Any, Any]
# Fields whose choices say what a detail's values are called.
_FIELDS_OF_DETAILS: Final[dict[str, list[tuple[str, str]]]] = {
    "data_class": [("catalog.RequestItem", "data_class")],
    "format": [("exports.Export", "csv_format")],
    "risk_tier": [("catalog.CatalogModel", "risk_tier")],
    "role": [("tenants.Membership", "role"), ("accounts.StaffRoleAssignment", "role")],
    "scopes": [("tenants.PersonalAccessToken", "scopes")],
}
# Details that have codes of rows of this model, which says what each is called.
_CODES_OF_DETAILS: Final[dict[str, str]] = dict.fromkeys(
    ("track", "tracks", "tracks_added", "tracks_asked_again"), "catalog.Track"
)
_NOTHING: Final = "—"
NOTHING = Page([], has_newer=False, has_older=False)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+\d\d:\d\d|Z)")
_AMOUNT: Final = re.compile(r"-?\d+\.\d{3,}")


class AuditList(PartialMixin, MayReadAuditLog, TemplateView):
    """The audit log, newest first, in keyset pages. `?person=&action=&object=&start=&end=` narrows it."""

    template_name = "privacy/audit_list.html"
    partial_name = "privacy/_audit_table.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        form = AuditLogForm(self.request.GET, tenant=self.tenant)
        here = reverse("audit-list", args=[self.tenant.slug])
        return super().get_context_data(**kwargs) | vars(audit_log_context(self.request, form, here))


class AuditDetail(MayReadAuditLog, TenantScopedMixin[TenantQuerySet[AuditEntry]], DetailView):  # type: ignore[type-arg]
    """One action, with everything that was recorded."""

    model = AuditEntry
    template_name = "privacy/audit_detail.html"

    def get_queryset(self) -> TenantQuerySet[AuditEntry]:
        return super().get_queryset().select_related("actor", "on_behalf_of", "tenant")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        with_what_was_read([context["object"]])
        return context | entry_context(context["object"], signed_in(self.request))


@dataclass(frozen=True)
class AuditLogPage:
    """A page of the audit log."""

    form: AuditLogForm
    lines: list[Any]
    is_narrowed: bool
    asked: dict[str, Any]
    clear_url: str
    newer_url: str | None
    older_url: str | None
    period: dict[str, Any]


def audit_log_context(request: HttpRequest, form: AuditLogForm, here: str) -> AuditLogPage:
    """A page of the audit log: `lines`, the form, and the addresses of the newer and the older page."""
    entry_filter = form.entry_filter() if form.is_valid() else None
    page, place = NOTHING, _place(request)
    if entry_filter is not None:
        page = find_entries(entry_filter, older_than=place["before"], newer_than=place["after"])
    asked = {name: value for name, value in request.GET.items() if value and name in form.fields}
    viewer = signed_in(request)

    def address(**place: Any) -> str:
        return f"{here}?{urlencode(asked | place)}"

    return AuditLogPage(
        form=form,
        lines=[as_line(entry, viewer) for entry in page.entries],
        is_narrowed=bool(asked),
        asked=asked,
        clear_url=here,
        newer_url=address(after=page.entries[0].pk) if page.entries and page.has_newer else None,
        older_url=address(before=page.entries[-1].pk) if page.entries and page.has_older else None,
        period={"start": form.cleaned_data.get("start"), "end": form.cleaned_data.get("end")}
        if form.is_valid()
        else {},
    )


def entry_context(entry: AuditEntry, viewer: User) -> dict[str, Any]:
    """One entry with its changes as rows of (field, before, after)."""
    return {
        "line": as_line(entry, viewer),
        "changes": changes_of(entry),
        "facts": facts_of(entry),
    }


def facts_of(entry: AuditEntry) -> list[tuple[str, str]]:
    """(name, value) for every detail, in the words of the reader."""
    return sorted((detail_in_words(name), _said(name, value)) for name, value in entry.details.items())


def changes_of(entry: AuditEntry) -> list[tuple[str, str, str]]:
    """(field, before, after) for every changed field, by the name that forms and pages give it."""
    return [
        (_field_of(entry, name), *_pair(pair, _choices_of(entry, name)))
        for name, pair in sorted(entry.changes.items())
    ]


def actor_in_words(entry: AuditEntry) -> str:
    """Who did it: a person by their address; the platform in the language of the reader."""
    return pgettext("actor", "platform") if entry.actor_label == "platform" else entry.actor_label


def in_one_line(entry: AuditEntry, *, facts: bool = True) -> str:
    """The changed fields and, with `facts`, the details of an entry in one line, in the words of the reader."""
    pairs = [(name, f"{before} → {after}") for name, before, after in changes_of(entry)]
    pairs += [(name, said) for name, said in facts_of(entry) if said != _NOTHING] if facts else []
    return " · ".join(named(name, said) for name, said in pairs)


def as_line(entry: AuditEntry, viewer: User) -> AuditEntry:
    """An entry with the values that its templates need. Its origin is left out if the viewer may not know it."""
    extras = {
        "action": action_in_words(entry.verb),
        "reason": retold(entry.reason),
        "capacity": entry.get_acting_as_display() if entry.acting_as not in ("", "self", "platform") else "",
        "object_kind": kind_of(entry),
        "hides_origin": hides_origin(entry, viewer),
        "actor_label": actor_in_words(entry),
    }
    for name, value in extras.items():
        setattr(entry, name, value)
    if extras["hides_origin"]:
        entry.address, entry.user_agent = None, ""
    return entry


def _model_of(entry: AuditEntry) -> type[Model] | None:
    try:
        return apps.get_model(entry.subject_type)
    except (LookupError, ValueError):
        # Of a former release.
        return None


def kind_of(entry: AuditEntry) -> str:
    """What the kind of its object is called."""
    model = _model_of(entry)
    return entry.subject_type.rpartition(".")[2] if model is None else str(model._meta.verbose_name)


def _field(entry: AuditEntry, name: str) -> object:
    model = _model_of(entry)
    try:
        return model and model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def _field_of(entry: AuditEntry, name: str) -> str:
    """What a changed field is called: by its model, else as a detail."""
    label = getattr(_field(entry, name), "verbose_name", None)
    return capfirst(str(label)) if isinstance(label, Promise) else detail_in_words(name)


def _choices_of(entry: AuditEntry, name: str) -> Labels:
    """What the values of a changed field are called, if they are choices."""
    return _labels_of(_field(entry, name)) or _choices_of_detail(name)


def _choices_of_detail(name: str) -> Labels:
    found: dict[Any, Any] = {}
    for model, field in _FIELDS_OF_DETAILS.get(name, ()):
        found |= _labels_of(apps.get_model(model)._meta.get_field(field))
    if name in _CODES_OF_DETAILS:
        rows = apps.get_model(_CODES_OF_DETAILS[name])._default_manager.all()
        found |= {row.code: str(row) for row in rows}
    return found


def _labels_of(field: object) -> dict[Any, Any]:
    # A list of choices has them in its `base_field`.
    return dict(getattr(getattr(field, "base_field", field), "flatchoices", ()))


def _place(request: HttpRequest) -> dict[str, UUID | None]:
    try:
        return {name: UUID(said) if said else None for name, said in requested_place(request.GET).items()}
    except ValueError:
        raise BadRequest(_("This is not a place in the list.")) from None


def _pair(pair: Any, labels: Labels) -> tuple[str, str]:
    before, after = pair if isinstance(pair, list) and len(pair) == 2 else (None, pair)
    return _shown(before, labels), _shown(after, labels)


def _said(name: str, value: Any) -> str:
    return _shown(value, _choices_of_detail(name))


def _shown(value: Any, labels: Labels) -> str:
    """A recorded value in the words of the reader: choices by their label, sentences of ours in their language."""
    if value is None or value == "":
        return _NOTHING
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, dict):
        inner = [named(detail_in_words(name), _said(name, part)) for name, part in value.items()]
        return _list(inner)
    if isinstance(value, list):
        return _list([_shown(part, labels) for part in value])
    return str(labels[value]) if value in labels else retold(_plainer(str(value)))


def _plainer(text: str) -> str:
    """A recorded time as the page writes times, and an amount without the zeros behind its cents."""
    if _TIME.fullmatch(text):
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if _AMOUNT.fullmatch(text):
        whole, _point, part = text.partition(".")
        return f"{whole}.{part[:2]}{part[2:].rstrip('0')}"
    return text


def _list(parts: list[str]) -> str:
    return listed(parts) or _NOTHING
