"""Importing: a file is compared with the catalog, and people accept, correct or reject what it says, or undo it all."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from types import NoneType
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.applying import Applied, apply, one_import_at_a_time, remove_unused_drafts
from catalog.import_entries import kept_words, known_of, overtake
from catalog.models import CatalogImport, ImportEntry
from catalog.price_map import tasks
from catalog.price_map.comparing import compare
from catalog.price_map.formats import FORMATS
from catalog.price_map.reading import ReadFile, UnreadableFile
from catalog.stored_sentences import LIST_PRICE
from core.errors import Conflict
from core.names import clean_name

IMPORT: Final = "catalog.publish_model"
State = ImportEntry.State
# The audit entry names at most this many.
NAMED: Final = 100
# More than these are left to a task.
AT_ONCE: Final = 500


@dataclass(frozen=True)
class Decided:
    """What became of entries. `is_busy`: a task carries it out; the other numbers come later, on the import."""

    run: CatalogImport
    entries: int
    is_busy: bool = False
    applied: Applied | None = None


@action(NoneType, permission=IMPORT)
@transaction.atomic
def start_import(
    content: str | bytes | ReadFile,
    *,
    file_name: str,
    by: User | None,
    format: str = "litellm",
    source: str = "",
) -> CatalogImport:
    """Compare a file with the catalog, and keep what differs as entries that wait. Changes nothing else.

    Entries of earlier imports of the same source that are still open are overtaken, if this file names their offers.

    Args:
        content: a file, or what a reader has made of one.
        file_name: for people.
        by: an operator; None: the command line, or a schedule.
        format: a key of FORMATS.
        source: whose word it is; default: that of the format.

    Raises:
        UnreadableFile, UnreadableText: the file is none of its format, or names no models.
        PermissionDenied: `by` may not import.
    """
    start_import.require(by, None)
    read = content if isinstance(content, ReadFile) else _read(content, format)
    if not read.digest:
        read.digest = hashlib.sha256("".join(offer.digest for offer in read.offers).encode()).hexdigest()
    if not read.offers and not read.refused:
        raise UnreadableFile(_("The file names no models."))
    source = source or FORMATS[format].source
    one_import_at_a_time()
    known = known_of(source, read)
    compared = compare(read, known)
    # Before there is a new one.
    overtake(source, {offer.source_key for offer in read.offers} | known.offers.keys())
    kinds = [entry.kind for entry in compared.entries]
    run = CatalogImport.objects.create(
        source=source,
        format=format,
        file_name=clean_name(file_name, 200),
        digest=read.digest,
        by=by,
        state=CatalogImport.State.OPEN if compared.entries else CatalogImport.State.DONE,
        counts={
            "added": kinds.count("new"),
            "changed": kinds.count("changed"),
            "absent": kinds.count("withdrawn"),
            # What the file leaves out is held back, too, and counted apart.
            "held": sum(bool(entry.held_for) and entry.after is not None for entry in compared.entries),
            "unchanged": compared.unchanged,
            "rejected_before": compared.rejected_before,
            "refused": len(read.refused),
            "ignored": len(read.ignored),
        },
        refused=read.refused,
    )
    ImportEntry.objects.bulk_create(
        (
            ImportEntry(
                run=run,
                place=place,
                source=source,
                key=entry.key,
                model_name=entry.name,
                provider=entry.provider,
                kind=entry.kind,
                state=State.HELD if entry.held_for else State.WAITING,
                before=entry.before,
                after=entry.after,
                digest=entry.digest,
                held_for=entry.held_for,
                differs=entry.differs,
            )
            for place, entry in enumerate(compared.entries)
        ),
        batch_size=1000,
    )
    held = [f"{entry.key}: {kept_words(entry.held_for)}" for entry in compared.entries if entry.held_for]
    audit.record("catalog.imported", actor=by, subject=run, **run.counts, held_back=held[:NAMED])
    return run


def _require_open(by: User | None, run: CatalogImport) -> None:
    _require_not_busy(by, run)
    if run.state != CatalogImport.State.OPEN:
        raise Conflict(_("Nothing of this import waits for a decision."), code="already_decided")


def _require_not_busy(by: User | None, run: CatalogImport) -> None:
    if run.state == CatalogImport.State.BUSY:
        raise Conflict(_("This import is being carried out. Wait until it is done."), code="import_is_busy")


@action(CatalogImport, permission=IMPORT, state=_require_open)
@transaction.atomic
def accept_entries(
    pk: UUID | str,
    *,
    by: User | None,
    entries: Collection[UUID] | None = None,
    may_take_held: bool = False,
    in_background: bool = False,
    today: date | None = None,
    prices_from: datetime | None = None,
) -> Decided:
    """Let the catalog say what entries say: offers, facts that no operator has entered, and list prices.

    Publishes no model. Entries whose offer has changed meanwhile are overtaken.

    Args:
        pk: id of the import.
        by: an operator; None: the command line.
        entries: ids; None: all that wait, and those held back if `may_take_held`.
        may_take_held: confirms that somebody has looked at those held back.
        in_background: leave more than AT_ONCE entries to a task.
        today: the day that decides which deprecation dates have passed; default: the current day in UTC.
        prices_from: when a model's first list prices begin to apply; default: the current hour.

    Raises:
        CatalogImport.DoesNotExist: there is no such import.
        PermissionDenied: `by` may not import.
        Conflict: nothing is open, a task is at work, or entries are held back and `may_take_held` is not set.
    """
    run = CatalogImport.objects.select_for_update().get(pk=pk)
    accept_entries.require(by, run)
    chosen = _chosen(run, entries)
    held = chosen.filter(state=State.HELD)
    if entries is not None and not may_take_held and (count := held.count()):
        raise Conflict(
            _("%(count)d of these are held back. Look at them, and confirm.") % {"count": count},
            code="held_back",
        )
    if not may_take_held:
        chosen = chosen.filter(state=State.WAITING)
    if in_background and (count := chosen.count()) > AT_ONCE:
        return _leave_to_a_task(run, "accept", count, entries, may_take_held, by)
    one_import_at_a_time()
    return _accept(run, chosen, by=by, today=today, prices_from=prices_from)


@action(CatalogImport, permission=IMPORT, state=_require_open)
@transaction.atomic
def reject_entries(pk: UUID | str, *, by: User | None, entries: Collection[UUID] | None = None) -> Decided:
    """Leave the catalog as it is. The very same entry is not listed again by later imports.

    Args:
        pk: id of the import.
        by: an operator.
        entries: ids; None: all that are open.

    Raises:
        CatalogImport.DoesNotExist: there is no such import.
        PermissionDenied: `by` may not import.
        Conflict: nothing is open, or a task is at work.
    """
    run = CatalogImport.objects.select_for_update().get(pk=pk)
    reject_entries.require(by, run)
    count = _chosen(run, entries).update(state=State.REJECTED, decided_at=now(), decided_by=by)
    _note(run, {"rejected": count})
    audit.record("catalog_import.rejected", actor=by, subject=run, entries=count)
    return Decided(run, count)


@action(CatalogImport, permission=IMPORT, state=_require_not_busy)
@transaction.atomic
def undo_import(pk: UUID | str, *, by: User | None, in_background: bool = False) -> Decided:
    """Restore what offers said before this import, and so facts and list prices; nothing of it waits any more.

    What somebody or a later import has changed since stays, and is named. Prices that were published stay in the
    ledger; the former ones begin at the next hour. Drafts that it brought and that nothing uses are deleted.

    Args:
        pk: id of the import.
        by: an operator.
        in_background: leave more than AT_ONCE entries to a task.

    Raises:
        CatalogImport.DoesNotExist: there is no such import.
        PermissionDenied: `by` may not import.
        Conflict: it is undone already, or a task is at work.
    """
    run = CatalogImport.objects.select_for_update().get(pk=pk)
    undo_import.require(by, run)
    if run.state == CatalogImport.State.UNDONE:
        raise Conflict(_("This import is undone already."), code="already_undone")
    accepted = run.entries.filter(state=State.ACCEPTED)
    if in_background and (count := accepted.count()) > AT_ONCE:
        return _leave_to_a_task(run, "undo", count, None, False, by)
    one_import_at_a_time()
    return _undo(run, by=by)


def carry_out(pk: UUID | str) -> None:
    """Do what a person left to a task. Safe to repeat: done once."""
    with transaction.atomic():
        run = CatalogImport.objects.select_for_update().filter(pk=pk, state=CatalogImport.State.BUSY).first()
        if run is None or run.wanted is None:
            return
        wanted: dict[str, Any] = run.wanted
        by = User.objects.filter(pk=wanted["by"]).first() if wanted["by"] else None
        one_import_at_a_time()
        if wanted["what"] == "undo":
            _undo(run, by=by)
            return
        chosen = _chosen(run, wanted["entries"])
        if not wanted["may_take_held"]:
            chosen = chosen.filter(state=State.WAITING)
        _accept(run, chosen, by=by)


def _leave_to_a_task(
    run: CatalogImport,
    what: str,
    count: int,
    entries: Collection[UUID] | None,
    may_take_held: bool,
    by: User | None,
) -> Decided:
    run.state = CatalogImport.State.BUSY
    run.wanted = {
        "what": what,
        "entries": None if entries is None else [str(one) for one in entries],
        "may_take_held": may_take_held,
        "by": str(by.pk) if by else None,
    }
    run.save(update_fields=["state", "wanted"])
    pk = str(run.pk)
    transaction.on_commit(lambda: tasks.carry_out_import.delay(pk))
    return Decided(run, count, is_busy=True)


def _chosen(run: CatalogImport, entries: Collection[Any] | None) -> QuerySet[ImportEntry]:
    open_ones = run.entries.filter(state__in=ImportEntry.OPEN)
    return open_ones if entries is None else open_ones.filter(pk__in=entries)


def _accept(
    run: CatalogImport,
    chosen: QuerySet[ImportEntry],
    *,
    by: User | None,
    today: date | None = None,
    prices_from: datetime | None = None,
) -> Decided:
    rows = list(chosen.order_by("place"))
    applied = apply(
        run.source,
        {entry.key: (entry.before, entry.after) for entry in rows},
        reason=LIST_PRICE(source=run.source, file=run.file_name)[:200],
        today=today or now().date(),
        prices_from=prices_from,
    )
    late = set(applied.overtaken)
    accepted = [entry.pk for entry in rows if entry.key not in late]
    run.entries.filter(pk__in=accepted).update(state=State.ACCEPTED, decided_at=now(), decided_by=by)
    run.entries.filter(pk__in=[entry.pk for entry in rows if entry.key in late]).update(state=State.OVERTAKEN)
    _note(run, {"accepted": len(accepted), **_numbers(applied)})
    audit.record("catalog_import.accepted", actor=by, subject=run, entries=len(accepted), **_named(applied))
    return Decided(run, len(accepted), applied=applied)


def _undo(run: CatalogImport, *, by: User | None) -> Decided:
    rows = list(run.entries.filter(state=State.ACCEPTED).order_by("place"))
    applied = apply(
        run.source,
        {entry.key: (entry.after, entry.before) for entry in rows},
        reason=LIST_PRICE(source=run.source, file=run.file_name)[:200],
        today=now().date(),
    )
    late = set(applied.overtaken)
    undone = [entry.pk for entry in rows if entry.key not in late]
    run.entries.filter(pk__in=undone).update(state=State.UNDONE)
    run.entries.filter(state__in=ImportEntry.OPEN).update(state=State.UNDONE)
    applied.models_removed = remove_unused_drafts(
        {entry.model_name for entry in rows if entry.before is None}
    )
    _note(run, {"undone": len(undone), **_numbers(applied)}, state=CatalogImport.State.UNDONE)
    audit.record("catalog_import.undone", actor=by, subject=run, entries=len(undone), **_named(applied))
    return Decided(run, len(undone), applied=applied)


def _note(run: CatalogImport, numbers: Mapping[str, Any], *, state: str = "") -> None:
    """Add to the numbers of an import, and keep its state."""
    outcome = dict(run.outcome)
    for name, value in numbers.items():
        if isinstance(value, dict):
            outcome[name] = outcome.get(name, {}) | value
        elif isinstance(value, list):
            outcome[name] = [*outcome.get(name, []), *value]
        else:
            outcome[name] = outcome.get(name, 0) + value
    run.outcome, run.wanted = outcome, None
    is_open = run.entries.filter(state__in=ImportEntry.OPEN).exists()
    run.state = state or (CatalogImport.State.OPEN if is_open else CatalogImport.State.DONE)
    run.save(update_fields=["outcome", "wanted", "state"])


def _numbers(applied: Applied) -> dict[str, Any]:
    return {name: value for name, value in asdict(applied).items() if value}


def _named(applied: Applied) -> dict[str, Any]:
    """For the audit log, which names the first of what is named."""
    numbers: dict[str, Any] = {
        name: value for name, value in _numbers(applied).items() if isinstance(value, int)
    }
    if applied.overtaken:
        numbers["overtaken"] = applied.overtaken[:NAMED]
    if applied.kept:
        numbers["kept"] = [f"{name}: {', '.join(facts)}" for name, facts in applied.kept.items()][:NAMED]
    return numbers


def _read(content: str | bytes, format: str) -> ReadFile:
    one = FORMATS[format]
    read = one.read(content) if isinstance(content, str) else one.read_bytes(content)
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    read.digest = hashlib.sha256(data).hexdigest()
    return read
