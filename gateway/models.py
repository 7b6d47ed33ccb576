"""What the control plane knows about its gateways."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import CheckConstraint, Index, Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from core.ids import uuid7
from core.tenant_managers import TenantOwned
from gateway.contract.signatures import fingerprint
from gateway.querysets import GatewayQuerySet, SigningKeyQuerySet
from tenants.models import Tenant


class Gateway(models.Model):
    """One gateway process: its token's digest, and what it last acknowledged."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.SlugField(_("name"), max_length=60, unique=True)  # GATEWAY_ID
    prefix = models.CharField(_("token begins with"), max_length=12)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("registered"), default=now, editable=False)
    revoked_at = models.DateTimeField(_("revoked at"), null=True)

    acknowledged_revision = models.BigIntegerField(_("acknowledged revision"), default=0)
    # When it first acknowledged this revision.
    acknowledged_at = models.DateTimeField(_("acknowledged at"), null=True)
    last_seen_at = models.DateTimeField(_("last seen"), null=True)
    # On its disk.
    spool_pending = models.BigIntegerField(_("calls not yet in the ledger"), default=0)
    # The rest of the last acknowledgement: version, counters, problem, refused, reads, workers, signing_keys … (Ack).
    report = models.JSONField(default=dict)

    objects = GatewayQuerySet.as_manager()

    class Meta:
        verbose_name = _("gateway")
        verbose_name_plural = _("gateways")
        permissions = [("manage_gateway", "Register and revoke gateways")]

    def __str__(self) -> str:
        return self.name


class SigningKey(models.Model):
    """A key pair with which the console signs what it sends to gateways. Rows stay; the first names the installation.

    The private half is encrypted (gateway/signing.py). Every key that is not retired signs each message, so that keys
    overlap while gateways are given the newer one.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    public = models.BinaryField(unique=True, editable=False)  # 32 bytes, Ed25519
    private = models.BinaryField(editable=False)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    retired_at = models.DateTimeField(_("retired at"), null=True)

    objects = SigningKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("signing key")
        verbose_name_plural = _("signing keys")

    def __str__(self) -> str:
        return self.fingerprint

    @property
    def fingerprint(self) -> str:
        """What gateways and pages call it."""
        return fingerprint(bytes(self.public))


class RefusedCalls(TenantOwned):
    """Calls of one key that a gateway refused alike within one minute (gateway/contract/refusals.py). Best effort.

    Ids are copied without foreign keys, as in usage events: a key or a limit may be gone. Old rows are deleted.
    """

    # The gateway's own, of version 7.
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.PROTECT, verbose_name=_("tenant"), db_index=False, related_name="+"
    )
    project_id = models.UUIDField()
    key_id = models.UUIDField()
    gateway_name = models.CharField(_("gateway"), max_length=60)
    # Its first second.
    minute = models.DateTimeField(_("minute"))
    # As the client named it; empty if it named none.
    model = models.CharField(_("model"), max_length=200, blank=True)
    status = models.SmallIntegerField(_("status"))
    code = models.CharField(_("code"), max_length=60)
    count = models.BigIntegerField(_("calls"))
    # The limit that refused, as it was then.
    limit_id = models.UUIDField(null=True)
    limit_scope = models.CharField(max_length=10, blank=True)
    limit_scope_id = models.UUIDField(null=True)
    limit_kind = models.CharField(max_length=40, blank=True)
    # Calls, tokens, or nano-units of the tenant's currency.
    limit_value = models.BigIntegerField(null=True)
    limit_model = models.CharField(max_length=200, blank=True)
    # [{"call_id": text, "at": seconds since 1970}], at most MAX_SAMPLES.
    samples = models.JSONField(default=list)

    class Meta(TenantOwned.Meta):
        verbose_name = _("refused calls")
        verbose_name_plural = _("refused calls")
        indexes = [
            Index(fields=["tenant", "-minute"], name="refused_of_tenant"),
            Index(fields=["minute"], name="refused_by_minute"),
        ]

    def __str__(self) -> str:
        return f"{self.count} × {self.code} at {self.minute:%Y-%m-%d %H:%M}"


class GatewayPolicy(models.Model):
    """One row: operators' settings for all gateways."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    # Engines may fetch pictures, sounds and files from these hosts; "*.example.org" is possible, too.
    media_hosts = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    # Where calls go after the gateway's own region; the rest comes last.
    region_order = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    changed_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [CheckConstraint(name="gateway_policy_is_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"for all gateways, of {self.changed_at:%Y-%m-%d %H:%M:%S}"


class ConfigRefusal(models.Model):
    """One row: the last configuration of which a part was not published, because it would have permitted too much."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    # Where it was first found.
    revision = models.BigIntegerField(default=0)
    reason = models.TextField(default="")
    # When it was last found.
    refused_at = models.DateTimeField(null=True)
    # When the whole was proved again.
    proved_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [CheckConstraint(name="config_refusal_is_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"revision {self.revision}"

    @property
    def stands(self) -> bool:
        """Whether gateways still lack that part."""
        return self.refused_at is not None and (self.proved_at is None or self.proved_at < self.refused_at)


class ProvedRouting(models.Model):
    """One row: the routes and prices that were proved last (gateway/last_proved.py)."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    revision = models.BigIntegerField(default=0)
    # SHA-256 of the body before it is compressed.
    digest = models.CharField(max_length=64, default="")
    # A ConfigRouting as JSON, compressed. Credentials in it are encrypted.
    body = models.BinaryField(default=b"")

    class Meta:
        constraints = [CheckConstraint(name="proved_routing_is_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"revision {self.revision}"


class ConfigClock(models.Model):
    """One row: the time up to which gateways know of begun and ended grants, keys and prices."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    announced_until = models.DateTimeField(default=now)

    class Meta:
        constraints = [CheckConstraint(name="config_clock_is_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"announced until {self.announced_until:%Y-%m-%d %H:%M:%S}"
