"""One entry of an import: accept, reject or correct it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from billing.prices import what_is_wrong_with
from catalog.actions.imports import IMPORT, accept_entries, reject_entries
from catalog.model_facts import FACTS, as_json
from catalog.models import CatalogImport, ImportEntry, Offer
from catalog.price_map.verdicts import verdicts
from core.errors import Conflict


def _require_open(by: User | None, entry: ImportEntry) -> None:
    if not entry.is_open:
        raise Conflict(
            _("This entry is decided already: %(state)s.") % {"state": entry.get_state_display()},
            code="already_decided",
        )


def _require_correctable(by: User | None, entry: ImportEntry) -> None:
    _require_open(by, entry)
    if entry.after is None:
        raise Conflict(_("The file says nothing of it that could be corrected."), code="nothing_stated")


@action(ImportEntry, permission=IMPORT, state=_require_open)
@transaction.atomic
def accept_entry(pk: UUID | str, *, by: User | None) -> ImportEntry:
    """Accept one entry, also one that is held back: whoever sees it alone has looked at it.

    Raises:
        ImportEntry.DoesNotExist: there is no such entry.
        PermissionDenied: `by` may not import.
        Conflict: it is decided, its offer has changed meanwhile, or a task is at work on its import.
    """
    entry = _locked(pk)
    accept_entry.require(by, entry)
    decided = accept_entries(entry.run_id, by=by, entries=[entry.pk], may_take_held=True)
    if not decided.entries:
        raise Conflict(
            _("The offer has changed since this import. Import the file again."), code="entry_overtaken"
        )
    entry.refresh_from_db()
    return entry


@action(ImportEntry, permission=IMPORT, state=_require_open)
@transaction.atomic
def reject_entry(pk: UUID | str, *, by: User | None) -> ImportEntry:
    """Reject one entry. Later imports do not list the very same again.

    Raises:
        ImportEntry.DoesNotExist: there is no such entry.
        PermissionDenied: `by` may not import.
        Conflict: it is decided, or a task is at work on its import.
    """
    entry = _locked(pk)
    reject_entry.require(by, entry)
    reject_entries(entry.run_id, by=by, entries=[entry.pk])
    entry.refresh_from_db()
    return entry


@action(ImportEntry, permission=IMPORT, state=_require_correctable)
@transaction.atomic
def edit_entry(
    pk: UUID | str,
    *,
    prices: Mapping[str, Decimal | None],
    facts: Mapping[str, Any],
    by: User | None,
) -> ImportEntry:
    """Correct what an entry says before it is accepted. It is compared again, so it may be held back, or no longer.

    Args:
        pk: id of the entry.
        prices: US dollars per million by kind; None: no price of this kind.
        facts: of the model by name; None or empty: not stated.
        by: an operator.

    Raises:
        ImportEntry.DoesNotExist: there is no such entry.
        PermissionDenied: `by` may not import.
        ValidationError: a value is none.
        Conflict: it is decided already.
    """
    entry = _locked(pk)
    edit_entry.require(by, entry)
    after: dict[str, Any] = dict(entry.after or {})
    said = {kind: price for kind, price in prices.items() if price is not None}
    if problem := what_is_wrong_with(said):
        raise ValidationError(problem)
    after["prices"] = {kind: price for kind, price in after["prices"].items() if kind not in prices} | {
        kind: f"{price:.8f}" for kind, price in said.items()
    }
    after["facts"] = {name: value for name, value in after["facts"].items() if name not in facts} | {
        name: as_json(FACTS[name].clean(value))
        for name, value in facts.items()
        if value not in (None, "", [])
    }
    if after == entry.after:
        return entry
    offers = Offer.objects.filter(model__name=entry.model_name).exclude(
        source=entry.source, source_key=entry.key
    )
    peers = [
        stated
        for stated, others in offers.values_list("prices", "facts")
        if stated and not others.get("variant")
    ]
    entry.after, entry.is_edited = after, True
    entry.held_for = verdicts(entry.before, after, peers=peers)
    entry.state = ImportEntry.State.HELD if entry.held_for else ImportEntry.State.WAITING
    entry.save(update_fields=["after", "is_edited", "held_for", "state"])
    audit.record("catalog_import.entry_edited", actor=by, subject=entry)
    return entry


def _locked(pk: UUID | str) -> ImportEntry:
    """The entry, behind its import: whoever decides many takes the import first."""
    run = ImportEntry.objects.values_list("run_id", flat=True).get(pk=pk)
    CatalogImport.objects.select_for_update().get(pk=run)
    return ImportEntry.objects.select_for_update(of=("self",)).select_related("run").get(pk=pk)
