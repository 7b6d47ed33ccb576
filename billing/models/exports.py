"""Reports that are built as files: of costs, and of the audit log."""

from __future__ import annotations

from datetime import date, timedelta
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import CheckConstraint, F, Index, Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from billing.models.ledger import BillingOwned, amount_field
from billing.querysets import ExportQuerySet
from core.errors import Conflict
from core.ids import uuid7
from tenants.models import Project, Tenant

_IS_BUILT = (
    Q(finished_at__isnull=False, size_bytes__isnull=False, expires_at__isnull=False)
    & ~Q(sha256="")
    & (~Q(kind="costs") | Q(total__isnull=False))
)


class Export(BillingOwned):
    """A cost report or a part of the audit log as a file, built by a task."""

    class Kind(models.TextChoices):
        COSTS = "costs", _("Costs")
        AUDIT_CSV = "audit_csv", _("Audit log, CSV")
        AUDIT_JSONL = "audit_jsonl", _("Audit log, JSON Lines")

    class Format(models.TextChoices):
        PLAIN = "plain", _("CSV")
        RAW = "raw", _("CSV for programs, formulas left as they are")
        EXCEL = "excel", _("CSV for Excel with decimal point (English, Chinese)")
        EXCEL_COMMA = "excel-comma", _("CSV for Excel with decimal comma (German, French)")

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting")
        RUNNING = "running", _("Building")
        DONE = "done", _("Ready")
        FAILED = "failed", _("Failed")
        EXPIRED = "expired", _("Expired")

    MOVES: ClassVar[dict[str, set[str]]] = {
        State.QUEUED: {State.RUNNING},
        State.RUNNING: {State.RUNNING, State.DONE, State.FAILED, State.QUEUED},
        State.DONE: {State.EXPIRED},
        State.FAILED: {State.QUEUED, State.EXPIRED},
    }
    queryset_class = ExportQuerySet["Export"]

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(  # type: ignore[assignment]  # null: of all tenants, for auditors
        Tenant, models.PROTECT, null=True, blank=True, related_name="+"
    )
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.COSTS, db_default=Kind.COSTS)
    csv_format = models.CharField(  # how a CSV file is written; docs/billing.md
        max_length=12, choices=Format, default=Format.PLAIN, db_default=Format.PLAIN
    )
    entry_filter = models.JSONField(  # what of the audit log: {"actor", "is_platform", "action", "subject"}
        default=dict, blank=True, db_default=models.Value({}, models.JSONField())
    )
    # Whose entries are in a file over all tenants, from when it is built: whoever downloads it has read them.
    tenants_within = ArrayField(
        models.UUIDField(),
        default=list,
        blank=True,
        editable=False,
        db_default=models.Value([], ArrayField(models.UUIDField())),
    )
    start_day = models.DateField()
    end_day = models.DateField()  # included
    project = models.ForeignKey(Project, models.PROTECT, null=True, blank=True, related_name="+")  # null: all
    requested_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    rows_done = models.BigIntegerField(default=0)
    rows_total = models.BigIntegerField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=now, editable=False)
    heartbeat_at = models.DateTimeField(null=True)  # while building
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    total = amount_field(null=True)  # sum of the file's amounts
    size_bytes = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    error = models.CharField(max_length=500, blank=True)
    is_final = models.BooleanField(default=False, db_default=False)  # of a closing tenant; its file is kept

    class Meta(BillingOwned.Meta):
        db_table = "export"
        constraints = [
            CheckConstraint(name="export_days_in_order", condition=Q(end_day__gte=F("start_day"))),
            CheckConstraint(name="export_done_has_its_file", condition=~Q(state="done") | _IS_BUILT),
            CheckConstraint(
                name="export_of_costs_has_a_tenant", condition=~Q(kind="costs") | Q(tenant__isnull=False)
            ),
        ]
        indexes = [Index(fields=["tenant", "-id"], name="export_tenant_newest")]

    def __str__(self) -> str:
        return self.file_name

    @property
    def file_name(self) -> str:
        """What a browser saves it as."""
        what = "costs" if self.kind == self.Kind.COSTS else "audit"
        whose = self.tenant.slug if self.tenant else "all-tenants"
        return f"{what}-{whose}-{self.start_day:%Y%m%d}-{self.end_day:%Y%m%d}.{self.suffix}"

    @property
    def suffix(self) -> str:
        return "jsonl" if self.kind == self.Kind.AUDIT_JSONL else "csv"

    @property
    def permission(self) -> str:
        """What one must be allowed, in its tenant or everywhere, to ask for it and to have it."""
        return "tenants.export_cost" if self.kind == self.Kind.COSTS else "tenants.export_audit"

    @property
    def month(self) -> date | None:
        """The first day of the month, when it covers exactly one."""
        following = (self.start_day + timedelta(days=32)).replace(day=1)
        is_month = self.start_day.day == 1 and self.end_day == following - timedelta(days=1)
        return self.start_day if is_month else None

    def move_to(self, state: str) -> None:
        """Change the state in memory. Raises Conflict if `state` cannot follow the current one."""
        if state not in self.MOVES.get(self.state, ()):
            raise Conflict(f"This report is {self.get_state_display().lower()}; it cannot become {state}.")
        self.state = state
