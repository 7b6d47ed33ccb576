"""Importing a usage file into the ledger."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

from django.db import connection, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from billing.demo_rule import DEMO_MODELS, DEMO_TENANTS, DemoRule
from billing.folding import fold_rollups
from billing.ingest import record_batch
from billing.models import UsageImport
from billing.traces import DATED, BadLine, TraceRow, event_id, read_trace
from billing.usage import (
    CLOCKS_DIFFER_BY,
    LONGEST_NAME,
    OLDEST,
    Batch,
    Receipt,
    UsageRecord,
    encode,
    in_batches,
    kinds_of,
)
from core.errors import Conflict
from core.names import clean_name, is_seen
from tenants.actions import create_project, create_tenant
from tenants.models import ApiKey, Project, Tenant

IMPORT_BATCH: Final = 50_000  # events in one transaction
KEY_NAME: Final = "trace-import"
_1970: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BadFile(Exception):
    """The file has lines that cannot be imported. Nothing was imported."""

    def __init__(self, bad_lines: list[BadLine]) -> None:
        super().__init__(f"{len(bad_lines)} bad lines. Nothing was imported.")
        self.bad_lines = bad_lines


class Assignment(Protocol):
    """Decides where the calls of a file belong and when they happened."""

    @property
    def tenant(self) -> Tenant | None:
        """The tenant of all the calls; None if several tenants share them."""

    def describe(self) -> dict[str, str]: ...

    def records(self, source: str, rows: list[TraceRow]) -> list[UsageRecord]: ...


@dataclass(frozen=True)
class OneProject:
    """All calls belong to one project. Undated calls count from `start`. A jsonl line may name model and project."""

    tenant: Tenant
    project: Project | None
    model: str
    start: datetime | None

    def describe(self) -> dict[str, str]:
        return {
            "rule": "one-project",
            "tenant": self.tenant.slug,
            "project": self.project.slug if self.project else "",
            "model": self.model,
            "start": self.start.isoformat() if self.start else "",
        }

    def records(self, source: str, rows: list[TraceRow]) -> list[UsageRecord]:
        slugs = {row.facts["project"] for row in rows if row.facts and "project" in row.facts}
        projects = {p.slug: p for p in Project.objects.in_tenant(self.tenant).filter(slug__in=slugs)}
        if self.project:
            projects |= {"": self.project}
        keys = {slug: import_key(project).pk for slug, project in projects.items()}
        records, bad = [], []
        latest = now() + CLOCKS_DIFFER_BY
        for row in rows:
            facts = row.facts or {}
            model, slug = facts.get("model") or self.model, facts.get("project", "")
            at = (self.start or _1970) + timedelta(microseconds=row.moment)
            if not OLDEST <= at <= latest:
                bad.append(BadLine(row.line, f"happened at {at.isoformat()}: before 2020, or in the future"))
            elif len(model) > LONGEST_NAME:
                bad.append(BadLine(row.line, f"names a model with more than {LONGEST_NAME} characters"))
            elif not is_seen(model):
                bad.append(BadLine(row.line, "names a model with invisible characters"))
            elif not model:
                bad.append(BadLine(row.line, "names no model; add one, or give --model"))
            elif slug not in keys:
                bad.append(
                    BadLine(row.line, f"names no project of {self.tenant.slug}: {slug or 'give --project'}")
                )
            else:
                records.append(_record(source, row, keys[slug], model, at))
        if bad:
            raise BadFile(bad)
        return records


@dataclass(frozen=True)
class Demo:
    """The demo's rule (billing/demo_rule.py). Creates missing tenants and projects.

    A call belongs to the key that its project had for the model when the usage begins. Without one, as in a demo that
    was loaded by an earlier release, it belongs to the project's import key.
    """

    until: datetime
    tenant: None = None

    def describe(self) -> dict[str, str]:
        return {"rule": "demo", "until": self.until.isoformat()}

    def records(self, source: str, rows: list[TraceRow]) -> list[UsageRecord]:
        if not rows:
            return []
        moments = [row.moment for row in rows]
        rule = DemoRule(until=self.until, first_moment=min(moments), last_moment=max(moments))
        keys = {place: _keys_of(project, rule.start) for place, project in demo_projects().items()}
        records = []
        for row in rows:
            tenant, project, model = rule.place(row)
            records.append(_record(source, row, keys[tenant, project][model], model, rule.moment(row)))
        return records


def import_usage(path: Path, format_name: str, assignment: Assignment) -> tuple[UsageImport, Receipt]:
    """Import every call of a file into the ledger, or none if a line is bad. Safe to repeat.

    The import first reads and checks the whole file. Then it records the calls, oldest first, `IMPORT_BATCH` per
    transaction. If it is interrupted, running it again adds what is missing. Repeating a complete import adds nothing.

    Raises:
        BadFile: with every bad line, its number and the reason.
        Conflict: this file is already in the ledger with another assignment.
    """
    rows: list[TraceRow] = []
    bad: list[BadLine] = []
    for line in read_trace(path, format_name):
        if isinstance(line, BadLine):
            bad.append(line)
        else:
            rows.append(line)
    if bad:
        raise BadFile(bad)
    source = f"trace:{format_name}"
    with transaction.atomic():
        known = _begin(path, source, assignment)
        records = assignment.records(source, rows)
    records.sort(key=lambda record: record.occurred_at)
    receipt = sum(record_all(source, records), Receipt())
    with transaction.atomic():
        known.finished_at = now()
        known.recorded += receipt.recorded
        known.repeated, known.quarantined = receipt.repeated, receipt.quarantined
        known.save()
        audit.record("usage.imported", actor=None, subject=known, source=source, **vars(receipt))
    if receipt.recorded:
        _tell_the_planner()
    return known, receipt


def _tell_the_planner() -> None:
    """Fold the imported usage and renew the statistics, which a bulk load makes wrong. Otherwise posting cost lines
    takes minutes until autovacuum runs."""
    fold_rollups()
    with connection.cursor() as cursor:
        cursor.execute("SELECT analyze_ledger()")


def record_all(
    source: str, records: Iterable[UsageRecord], *, batch_size: int = IMPORT_BATCH
) -> Iterator[Receipt]:
    """Record many calls; yield a receipt per batch. Encodes the next batch while the database works on this one."""
    with ThreadPoolExecutor(max_workers=1) as encoder, _quick_turns():
        waiting: Batch | None = None
        for chunk in chain(in_batches(records, batch_size), [None]):
            encoding = encoder.submit(encode, chunk, kinds_of(chunk)) if chunk else None
            if waiting is not None:
                yield record_batch(source, waiting)
            waiting = encoding.result() if encoding else None


@contextmanager
def _quick_turns() -> Iterator[None]:
    """Make threads switch after 0.3 ms instead of 5, because every database response waits for its thread to run."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.0003)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def earlier_assignment(path: Path, format_name: str) -> dict[str, Any] | None:
    """The assignment of an earlier import of this file; None if there was none."""
    imports = UsageImport.objects.across_tenants()
    known = imports.filter(source=f"trace:{format_name}", file_sha256=_sha256(path)).first()
    return dict(known.assignment) if known else None


def demo_projects() -> dict[tuple[str, str], Project]:
    """The demo's projects by slugs. Creates missing ones."""
    projects = {}
    for wanted in DEMO_TENANTS:
        tenant = Tenant.objects.filter(slug=wanted.slug).first() or create_tenant(
            by=None, slug=wanted.slug, name=wanted.name, timezone=wanted.timezone
        )
        for slug, name, cost_centre in wanted.projects:
            projects[wanted.slug, slug] = Project.objects.in_tenant(tenant).filter(
                slug=slug
            ).first() or create_project(tenant, by=None, slug=slug, name=name, cost_centre=cost_centre)
    return projects


def _keys_of(project: Project, begins: datetime) -> dict[str, UUID]:
    """The keys of a demo's project by model, the oldest of those that were claimed before the usage begins."""
    claimed = ApiKey.objects.in_tenant(project.tenant).filter(project=project, claimed_at__lt=begins)
    known = {model: key.pk for key in claimed.order_by("-claimed_at") for model in key.model_names}
    return {model: known.get(model) or import_key(project).pk for model in DEMO_MODELS}


@transaction.atomic
def import_key(project: Project) -> ApiKey:
    """The project's key for imported usage. It gives no access: it is created revoked and has no secret."""
    keys = ApiKey.objects.in_tenant(project.tenant).filter(project=project, name=KEY_NAME)
    key = keys.first()
    if key is None:
        key = ApiKey.objects.create(
            tenant=project.tenant,
            project=project,
            name=KEY_NAME,
            state=ApiKey.State.REVOKED,
            revoked_at=now(),
        )
        audit.record("api_key.made_for_import", actor=None, subject=key)
    return key


def _begin(path: Path, source: str, assignment: Assignment) -> UsageImport:
    """Record the assignment of this import. Raises Conflict if an earlier import of the file had another one."""
    known: UsageImport
    known, is_new = UsageImport.objects.across_tenants().get_or_create(
        source=source,
        file_sha256=_sha256(path),
        defaults={
            "tenant": assignment.tenant,
            "file_name": clean_name(path.name, 200),
            "assignment": assignment.describe(),
        },
    )
    if not is_new and known.assignment != assignment.describe():
        message = _(
            "This file was imported on %(day)s with %(assignment)s; its calls cannot be assigned twice. Repeat the "
            "command with the same options."
        )
        raise Conflict(message % {"day": f"{known.started_at:%Y-%m-%d}", "assignment": known.assignment})
    return known


def _record(source: str, row: TraceRow, key: UUID, model: str, at: datetime) -> UsageRecord:
    facts = row.facts or {}
    return UsageRecord(event_id(source, row), key, model, at, row.usage, facts.get("status", "ok"))


def undated(format_name: str) -> bool:
    """True if the format states only how long after the start of the trace a call came."""
    return format_name not in DATED


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
