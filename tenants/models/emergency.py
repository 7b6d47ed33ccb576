"""Emergency access of the platform's staff to one tenant (docs/emergency-access.md)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db import models
from django.db.models import CheckConstraint, F, Index, Q
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from core.ids import uuid7
from core.names import LineField, one_line
from core.stored_labels import StoredLabel
from core.tenant_managers import TenantOwned
from tenants.querysets import EmergencyAccessQuerySet

LONGEST: Final = timedelta(hours=4)
SHORTEST_REASON: Final = 10  # characters

_LABEL = StoredLabel("tenants.emergencyaccess", gettext_lazy("Emergency access of %(who)s to %(tenant)s"))


class EmergencyAccess(TenantOwned):
    """Temporary owner's rights of a member of the staff in a tenant: why, until when, and who reviewed it.

    Whether it is open is not stored. `open` checks the clock, the session, the opener's role and the tenant each time.
    """

    queryset_class = EmergencyAccessQuerySet["EmergencyAccess"]

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    opened_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=gettext_lazy("opened by"), related_name="+"
    )
    reason = LineField(gettext_lazy("reason"), max_length=500)
    opened_at = models.DateTimeField(gettext_lazy("opened"), default=now, editable=False)
    expires_at = models.DateTimeField(gettext_lazy("expires"))
    # The browser session that opened it.
    session_digest = models.CharField(max_length=64, editable=False)
    # When somebody ended it, by hand or by signing out.
    ended_at = models.DateTimeField(gettext_lazy("ended"), null=True)
    # When the mail to the owners was claimed for sending.
    mailed_at = models.DateTimeField(gettext_lazy("e-mailed"), null=True)
    # Why the mail could not be sent.
    mail_problem = models.CharField(gettext_lazy("e-mail problem"), max_length=200, blank=True)
    reviewed_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=gettext_lazy("reviewed by"), null=True, related_name="+"
    )
    reviewed_at = models.DateTimeField(gettext_lazy("reviewed"), null=True)
    # What the reviewer found.
    remark = LineField(gettext_lazy("remark"), max_length=500, blank=True)

    is_open: bool  # by `with_status`

    class Meta(TenantOwned.Meta):
        verbose_name = gettext_lazy("emergency access")
        verbose_name_plural = gettext_lazy("emergency accesses")
        indexes = [Index(fields=["opened_by", "expires_at"], name="emergency_access_of_person")]
        constraints = [
            one_line("reason", of="emergency_access"),
            one_line("remark", of="emergency_access"),
            CheckConstraint(name="emergency_access_takes_two", condition=~Q(reviewed_by=F("opened_by"))),
            CheckConstraint(
                name="emergency_access_is_short",
                condition=Q(expires_at__gt=F("opened_at"), expires_at__lte=F("opened_at") + LONGEST),
            ),
            CheckConstraint(
                name="emergency_access_says_why", condition=Q(reason__regex=rf"^.{{{SHORTEST_REASON},}}$")
            ),
            CheckConstraint(
                name="emergency_access_reviewed_by_somebody",
                condition=Q(reviewed_by__isnull=True, reviewed_at__isnull=True, remark="")
                | Q(reviewed_by__isnull=False, reviewed_at__isnull=False) & ~Q(remark=""),
            ),
        ]

    def __str__(self) -> str:
        return _LABEL(who=self.opened_by, tenant=self.tenant)

    @property
    def minutes(self) -> int:
        """How many minutes it was opened for."""
        return round((self.expires_at - self.opened_at) / timedelta(minutes=1))

    @property
    def minutes_left(self) -> int:
        """How many minutes remain, rounded up."""
        return max(0, -((now() - self.expires_at) // timedelta(minutes=1)))

    @property
    def over_at(self) -> str:
        """How it ended, in a word; empty while it is open. Requires `with_status`."""
        if self.is_open:
            return ""
        if self.ended_at is not None:
            return _("Ended")
        return _("Ran out") if self.expires_at <= now() else _("Lost with the session or role")
