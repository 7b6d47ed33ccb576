"""Exports: files that are built in the background and downloaded until they expire."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import CheckConstraint, F, Index, Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import StaffRole
from core.errors import Conflict
from core.ids import uuid7
from core.local_days import end_of_month
from core.tenant_managers import TenantOwned
from exports import kinds
from exports.querysets import ExportQuerySet
from tenants.models import Project, Tenant

_IS_BUILT = Q(finished_at__isnull=False, size_bytes__isnull=False, expires_at__isnull=False) & ~Q(sha256="")


class Export(TenantOwned):
    """A file of some kind (exports/kinds.py), built by a task."""

    class Format(models.TextChoices):
        PLAIN = "plain", _("CSV")
        RAW = "raw", _("CSV for programs, formulas unchanged")
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
    visible_to_staff = TenantOwned.visible_to_staff | {StaffRole.CONTROLLER}

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(  # type: ignore[assignment]  # null: of all tenants, for auditors
        Tenant, models.PROTECT, verbose_name=_("tenant"), null=True, blank=True, related_name="+"
    )
    kind = models.CharField(_("kind"), max_length=12, choices=kinds.choices)
    # How a CSV file is written; docs/billing.md.
    csv_format = models.CharField(
        max_length=12, choices=Format, default=Format.PLAIN, db_default=Format.PLAIN
    )
    # The filter of the file's content; each kind defines its keys.
    entry_filter = models.JSONField(default=dict, blank=True, db_default=models.Value({}, models.JSONField()))
    # The tenants whose rows are in a file over all tenants, set when it is built. A download counts as reading them.
    tenants_within = ArrayField(
        models.UUIDField(),
        default=list,
        blank=True,
        editable=False,
        db_default=models.Value([], ArrayField(models.UUIDField())),
    )
    start_day = models.DateField(_("first day"))
    end_day = models.DateField(_("last day"))  # included
    # Null: all.
    project = models.ForeignKey(
        Project, models.PROTECT, verbose_name=_("project"), null=True, blank=True, related_name="+"
    )
    requested_by = models.ForeignKey(User, models.PROTECT, verbose_name=_("requested by"), related_name="+")
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.QUEUED)
    rows_done = models.BigIntegerField(default=0)
    rows_total = models.BigIntegerField(_("rows"), null=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    heartbeat_at = models.DateTimeField(null=True)  # while building
    finished_at = models.DateTimeField(_("finished"), null=True)
    expires_at = models.DateTimeField(_("expires"), null=True)
    currency = models.CharField(max_length=3, blank=True)
    # Sum of the file's amounts.
    total = models.DecimalField(max_digits=38, decimal_places=14, null=True)
    size_bytes = models.BigIntegerField(_("size in bytes"), null=True)
    sha256 = models.CharField(_("SHA-256"), max_length=64, blank=True)
    error = models.CharField(_("error"), max_length=500, blank=True)
    # True for an export of a closing tenant, whose file is kept.
    is_final = models.BooleanField(default=False, db_default=False)

    class Meta:
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        constraints = [
            CheckConstraint(name="export_days_in_order", condition=Q(end_day__gte=F("start_day"))),
            CheckConstraint(name="export_done_has_its_file", condition=~Q(state="done") | _IS_BUILT),
        ]
        indexes = [Index(fields=["tenant", "-id"], name="export_tenant_newest")]

    def __str__(self) -> str:
        return self.file_name

    @property
    def file_name(self) -> str:
        """The name under which a browser saves the file."""
        kind = kinds.kind_named(self.kind)
        whose = self.tenant.slug if self.tenant else "all-tenants"
        return f"{kind.file_name}-{whose}-{self.start_day:%Y%m%d}-{self.end_day:%Y%m%d}.{kind.suffix}"

    @property
    def permission(self) -> str:
        """The permission, in its tenant or on the platform, to order the file and to download it."""
        return kinds.kind_named(self.kind).permission

    @property
    def month(self) -> date | None:
        """The first day of the month, if the export covers exactly one."""
        is_month = self.start_day.day == 1 and self.end_day == end_of_month(self.start_day)
        return self.start_day if is_month else None

    def move_to(self, state: str) -> None:
        """Change the state in memory. Raises Conflict if `state` cannot follow the current one."""
        if state not in self.MOVES.get(self.state, ()):
            raise Conflict(
                _("This report is %(now)s; it cannot become %(state)s.")
                % {"now": self.get_state_display().lower(), "state": state}
            )
        self.state = state
