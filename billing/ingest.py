"""The ingest transaction: usage becomes events, rollups and money together, or not at all.

Every writer locks in the same order: prices (shared), periods (shared, sorted), event identities (sorted), days to post
(sorted). Additions to the rollups are appended rows and need no lock.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from hashlib import sha256
from time import sleep
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
import structlog
from django.db import connection, transaction
from psycopg import errors

from billing import ingest_sql as sql
from billing.models import QuarantinedEvent
from billing.usage import EPOCH, Batch, Receipt, UsageRecord, as_json, encode, in_batches, key_of
from core.ids import uuid7
from core.local_days import day_at, is_known, start_of_day

log = structlog.get_logger(__name__)

BATCH: Final = 10_000  # events in one transaction
ATTEMPTS: Final = 6
# Above this ratio of (key, day) pairs to calls, sums would cover barely two calls each.
MANY_PLACES: Final = 0.3
Reason = QuarantinedEvent.Reason


def record_usage(source: str, events: Iterable[UsageRecord]) -> Receipt:
    """Add calls to the ledger with their prices; return after the commit. Sending a call again changes nothing.

    Each event is recorded once or kept in quarantine (unknown key, malformed, or an id already recorded with other
    content). Quarantined events never hold up the others. More than `BATCH` events take several transactions: if a
    later one fails, the earlier ones stand, and sending all of them again adds only what is missing.

    If the caller has a transaction open, the caller must retry deadlocks; otherwise this function retries them.

    Raises:
        django.db.DatabaseError: the database is unavailable or rejects the batch. The current batch is not kept.
    """
    receipt = Receipt()
    for records in in_batches(events, BATCH):
        receipt += record_batch(source, encode(records))
    return receipt


def record_batch(source: str, batch: Batch) -> Receipt:
    """Ingest one encoded batch in one transaction. After a deadlock, start the transaction again."""
    is_ours = not connection.in_atomic_block
    if is_ours:
        make_partitions(batch)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with transaction.atomic():
                receipt = _ingest(source, batch)
        except Exception as error:
            if not is_ours or attempt == ATTEMPTS or not _is_worth_another_try(error):
                raise
            log.warning("usage_ingest_retried", source=source, attempt=attempt, error=str(error))
            sleep(random.uniform(0, 0.05 * attempt))  # noqa: S311
        else:
            return receipt
    raise AssertionError("unreachable")


def _is_worth_another_try(error: BaseException | None) -> bool:
    """True if `error` or its cause is a deadlock (40P01) or a serialization failure (40001)."""
    while error is not None:
        if isinstance(error, errors.DeadlockDetected | errors.SerializationFailure):
            return True
        error = error.__cause__
    return False


def make_partitions(batch: Batch) -> None:
    """Create the monthly partitions that the batch needs, each in its own transaction."""
    for month in sorted({_day(days).replace(day=1) for _, days in batch.places}):
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)", [f"usage_event_{month:%Y_%m}"])
            if cursor.fetchone()[0] is None:
                cursor.execute("SELECT make_usage_partition(%s)", [month])


def _ingest(source: str, batch: Batch) -> Receipt:
    with (
        connection.wrap_database_errors,
        connection.cursor() as django_cursor,
        psycopg.Cursor(django_cursor.connection) as cursor,
    ):
        return _Ingest(cursor, source, batch).run()


class Slice(NamedTuple):
    """The part of a day (UTC) that falls on one day of a time zone."""

    timezone: str
    days: int  # since 2000, in UTC
    starts: datetime
    ends: datetime  # not included
    day: date

    @property
    def month(self) -> date:
        """The first day of the month of `day`."""
        return self.day.replace(day=1)


class _Ingest:
    """Ingests one batch inside its transaction."""

    def __init__(self, cursor: psycopg.Cursor[Any], source: str, batch: Batch) -> None:
        self.cursor, self.source, self.batch = cursor, source, batch
        tokens = sum(kind.is_token for kind in batch.kinds)
        self.sql = sql.statements(len(batch.kinds), tokens)
        self.quarantined = len(batch.malformed)

    def run(self) -> Receipt:
        cursor, batch = self.cursor, self.batch
        for record, problem in batch.malformed:
            self.quarantine(record, Reason.MALFORMED, problem=problem)
        if not batch.count:
            return Receipt(quarantined=self.quarantined)

        cursor.execute(sql.PREPARE)
        cursor.execute(self.sql.prepare)
        with cursor.copy(sql.STAGE_PLACES) as copy:
            copy.write(batch.place_rows)
        cursor.execute(sql.OWN)
        tenant_days = cursor.execute(sql.TENANT_DAYS).fetchall()
        is_known = sum(count for *_, count in tenant_days) == len(batch.places)
        cut = {(zone, days): _slices(zone, days) for zone, days in {(z, d) for _, z, _, d, _ in tenant_days}}
        months = {
            (tenant, part.month) for tenant, zone, _, days, _ in tenant_days for part in cut[zone, days]
        }
        posting = self.lock_periods(months)
        cursor.execute(sql.NAME_MODELS, [sorted({model for model, _ in batch.tariffs})])
        self.targets = self.number_targets()
        with cursor.copy(self.sql.stage) as copy:
            copy.write(batch.rows)

        known = batch.count if is_known else batch.count - self.forget_unknown_keys()
        claimed, repeated = known, 0
        if not self.claim_all():
            claimed, repeated = self.claim_what_is_new(known)
        if claimed:
            self.record(
                claimed,
                slices=[part for parts in cut.values() for part in parts],
                moved=[(tenant, month, to) for (tenant, month), to in posting.items() if to != month],
                currencies=sorted({currency for _, _, currency, _, _ in tenant_days}),
            )
        return Receipt(claimed, repeated, self.quarantined)

    def lock_periods(self, wanted: set[tuple[UUID, date]]) -> dict[tuple[UUID, date], date]:
        """Create missing periods, lock all of them, and return the month to which each one's usage is posted."""
        asked = sorted(wanted)
        arrays = [[tenant for tenant, _ in asked], [month for _, month in asked]]
        self.cursor.execute(sql.OPEN_PERIODS, arrays)
        periods: dict[UUID, list[tuple[date, str]]] = {}
        for tenant, month, state in self.cursor.execute(sql.LOCK_PERIODS, arrays).fetchall():
            periods.setdefault(tenant, []).append((month, state))
        posting = {}
        for tenant, month in asked:
            posting[tenant, month] = next(
                (m for m, state in periods[tenant] if m >= month and state == "open"), None
            ) or self.open_next_period(tenant, max(m for m, _ in periods[tenant]))
        return posting

    def open_next_period(self, tenant: UUID, last: date) -> date:
        """Open and lock the period after `last`, because all known periods from here on are closed."""
        following = (last + timedelta(days=32)).replace(day=1)
        self.cursor.execute(sql.OPEN_PERIODS, [[tenant], [following]])
        self.cursor.execute(sql.LOCK_PERIODS, [[tenant], [following]])
        return following

    def number_targets(self) -> list[int]:
        """The ledger's number of each target in the batch, in the batch's order. New targets get a number."""
        if not self.batch.targets:
            return []
        self.cursor.execute(sql.NAME_TARGETS, [sorted(self.batch.targets)])
        return [n for (n,) in self.cursor.execute(sql.NUMBER_TARGETS, [list(self.batch.targets)]).fetchall()]

    def forget_unknown_keys(self) -> int:
        """Quarantine events of unknown keys; return their number."""
        places = [place for (place,) in self.cursor.execute(sql.UNKNOWN_PLACES).fetchall()]
        numbers = sorted(n for (n,) in self.cursor.execute(self.sql.forget_places, [places]).fetchall())
        for n in numbers:
            self.quarantine(self.batch.records[n], Reason.UNKNOWN_KEY)
        self.quarantined += len(numbers)
        return len(numbers)

    def record(
        self,
        claimed: int,
        *,
        slices: list[Slice],
        moved: list[tuple[UUID, date, date]],
        currencies: list[str],
    ) -> None:
        """Price and insert the events left in staging, and add them to the rollups."""
        tariffs = self.batch.tariffs
        rates = {
            "tariff": list(tariffs.values()),
            "model": [model for model, _ in tariffs],
            "hour": [EPOCH + timedelta(hours=hours) for _, hours in tariffs],
            "currency": currencies,
            "kinds": [kind.name for kind in self.batch.kinds],
            "free": [not kind.needs_price for kind in self.batch.kinds],
        }
        facts = {
            "source": self.source,
            "targets": self.targets,
            "places": [kind.place for kind in self.batch.kinds],
            "slice": list(range(len(slices))),
            "moved_tenant": [tenant for tenant, _, _ in moved],
            "moved_from": [month for _, month, _ in moved],
            "moved_to": [to for _, _, to in moved],
        } | {name: [getattr(part, name) for part in slices] for name in (*Slice._fields, "month")}
        each = len(self.batch.places) > self.batch.count * MANY_PLACES
        self.cursor.execute(self.sql.tariff, rates)
        self.cursor.execute(sql.HASH)
        recorded = self.cursor.execute(self.sql.record[each, bool(moved)], facts).fetchone()
        if recorded != (claimed,):
            raise AssertionError(f"{claimed} events were claimed and {recorded} recorded")

    def claim_all(self) -> bool:
        """Claim every staged id at once. If one of them was sent before, claim none and return False.

        An insert that may fail is twice as fast as one that handles conflicts, and repetitions are rare. The first or
        last event of a batch shows without an error that the whole batch was sent before.
        """
        cursor, records = self.cursor, self.batch.records
        ends = [UUID(str(records[0].event_id)), UUID(str(records[-1].event_id))]
        if cursor.execute(sql.IS_REPEATED, [self.source, ends]).fetchone() == (True,):
            return False
        cursor.execute("SAVEPOINT claim")
        try:
            cursor.execute(self.sql.claim_all, [self.source])
        except errors.UniqueViolation:
            cursor.execute("ROLLBACK TO SAVEPOINT claim")
            return False
        cursor.execute("RELEASE SAVEPOINT claim")
        return True

    def claim_what_is_new(self, known: int) -> tuple[int, int]:
        """After some ids were sent before, claim the others, quarantine contradictions and count repetitions."""
        cursor = self.cursor
        claimed: list[int] = cursor.execute(self.sql.claim_some, [self.source]).fetchone()[0]  # type: ignore[index]
        different = [n for (n,) in cursor.execute(self.sql.different, [self.source, claimed]).fetchall()]
        for n in different:
            self.quarantine(self.batch.records[n], Reason.CONFLICTING_PAYLOAD)
        self.quarantined += len(different)
        cursor.execute(self.sql.keep_claimed, [claimed])
        return len(claimed), known - len(claimed) - len(different)

    def quarantine(self, record: UsageRecord, reason: str, **also: str) -> None:
        """Put the event in quarantine and log an error. The same event again adds nothing."""
        payload = as_json(record) | also
        text = json.dumps(payload, sort_keys=True)
        self.cursor.execute(
            sql.QUARANTINE,
            [
                uuid7(),
                key_of(record),
                self.source,
                str(payload["event_id"])[:200],
                reason,
                text,
                sha256(text.encode()).digest(),
            ],
        )
        if self.cursor.rowcount:
            log.error(
                "usage_event_quarantined",
                source=self.source,
                event_id=payload["event_id"],
                reason=str(reason),
                **also,
            )


def _slices(timezone: str, days: int) -> list[Slice]:
    """Split a day (UTC) at the midnights of a time zone."""
    if not is_known(timezone):
        log.error("tenant_time_zone_unknown", timezone=timezone, used_instead="UTC")
    start = EPOCH + timedelta(days=days)
    end = start + timedelta(days=1)
    slices = []
    while start < end:
        day = day_at(start, timezone)
        until = min(end, start_of_day(day + timedelta(days=1), timezone))
        slices.append(Slice(timezone, days, start, until, day))
        start = until
    return slices


def _day(days: int) -> date:
    return (EPOCH + timedelta(days=days)).date()
