"""The audit log: actions, the checkpoints that prove them, and their redaction and pruning (docs/audit.md)."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import CheckConstraint, Index, Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from audit.action_words import action_in_words
from core.stored_labels import retold_label
from core.tenant_managers import TenantOwned


class NewSalt(models.Func):
    """122 random bits for each row, from PostgreSQL: they prevent guessing erased words from their digests."""

    template = "uuid_send(gen_random_uuid())"
    output_field = models.BinaryField()


class ClockTime(models.Func):
    """The database's clock at the time of this row, not at the beginning of the transaction."""

    template = "clock_timestamp()"
    output_field = models.DateTimeField()


class NewEntryId(models.Func):
    """A UUID of version 7 by the database's clock."""

    template = "audit_entry_id(clock_timestamp())"
    output_field = models.UUIDField()


class CurrentTransaction(models.Func):
    """The number of the transaction, also within its savepoints."""

    template = "pg_current_xact_id()::text::bigint"
    output_field = models.BigIntegerField()


class AuditEntry(TenantOwned):
    """One action. Append-only: triggers reject every change except a recorded redaction or pruning.

    The database chooses its time, id and salt: a trigger sets them, whatever the INSERT says.
    """

    class ActingAs(models.TextChoices):
        SELF = "self", _("Themselves")
        STAFF = "staff", _("Staff, for the tenant")
        DELEGATE = "delegate", _("Delegate")
        EMERGENCY_ACCESS = "emergency_access", _("Emergency access")
        SERVICE = "service", _("Service account")
        DIRECTORY = "directory", _("Directory")
        PLATFORM = "platform", _("Platform")

    id = models.UUIDField(primary_key=True, db_default=NewEntryId(), editable=False)
    tenant = models.ForeignKey(  # type: ignore[assignment]
        "tenants.Tenant",
        models.PROTECT,
        verbose_name=_("tenant"),
        null=True,
        related_name="+",
        db_index=False,
    )
    at = models.DateTimeField(_("time"), db_default=ClockTime(), editable=False)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        verbose_name=_("actor"),
        null=True,
        related_name="+",
        db_index=False,
    )
    actor_label = models.CharField(_("actor"), max_length=254)
    # Empty in entries from before we recorded it.
    acting_as = models.CharField(_("acting as"), max_length=20, choices=ActingAs, blank=True, db_default="")
    on_behalf_of = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        verbose_name=_("on behalf of"),
        null=True,
        related_name="+",
        db_index=False,
    )
    on_behalf_of_label = models.CharField(_("on behalf of"), max_length=254, blank=True, db_default="")
    reason = models.CharField(_("reason"), max_length=1000, blank=True, db_default="")
    verb = models.CharField(_("action"), max_length=80)
    subject_type = models.CharField(_("subject type"), max_length=80)
    subject_id = models.CharField(_("subject ID"), max_length=64)
    subject_label = models.CharField(_("subject"), max_length=200)
    # {name: fact}: further facts of the action, such as {"prefix": "qm_x7Jf…"}.
    details = models.JSONField(_("details"), default=dict)
    # {field: [before, after]}
    changes = models.JSONField(_("changes"), default=dict, db_default=models.Value({}, models.JSONField()))
    request_id = models.CharField(_("request ID"), max_length=64, blank=True)
    trace_id = models.CharField(_("trace ID"), max_length=32, blank=True, db_default="")  # W3C trace context
    address = models.GenericIPAddressField(_("IP address"), null=True)
    user_agent = models.CharField(_("browser or program"), max_length=300, blank=True)
    # Empty after words were erased.
    salt = models.BinaryField(db_default=NewSalt(), editable=False)
    # The salts of the remaining words, after words were erased.
    leaf_salts = models.JSONField(null=True, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        # Ids grow with time: each list is one scan of one of these (audit/filters.py).
        indexes = [
            Index(fields=["tenant", "-id"], name="audit_of_tenant"),
            Index(fields=["tenant", "actor", "verb", "-id"], name="audit_of_tenant_by_actor"),
            Index(fields=["tenant", "verb", "-id"], name="audit_of_tenant_by_verb"),
            Index(fields=["actor", "verb", "-id"], name="audit_by_actor"),
            Index(fields=["verb", "-id"], name="audit_by_verb"),
            Index(fields=["subject_id", "-id"], name="audit_of_subject"),
        ]

    def __str__(self) -> str:
        return " · ".join(filter(None, [action_in_words(self.verb), self.subject_in_words]))

    @property
    def subject_in_words(self) -> str:
        """What the entry is about, as it was called then, in the language of the reader."""
        return retold_label(self.subject_type, self.subject_label)


class AuditPending(models.Model):
    """An entry without a checkpoint yet. A trigger adds the row with the entry; the checkpoint removes it."""

    entry_id = models.UUIDField(primary_key=True)
    # Of the action: what it raised the revision for is linked with its entries (tenants/revision.py).
    transaction_id = models.BigIntegerField(db_default=CurrentTransaction(), db_index=True)

    class Meta:
        verbose_name_plural = "audit entries without a checkpoint"

    def __str__(self) -> str:
        return str(self.entry_id)


class AuditCheckpoint(models.Model):
    """SHA-256 over the previous checkpoint and the digests of some entries. Append-only, numbered without gaps."""

    number = models.BigIntegerField(primary_key=True)
    # 32 bytes; all zeros for the first checkpoint.
    previous = models.BinaryField()
    sha256 = models.BinaryField()
    created_at = models.DateTimeField()
    first_at = models.DateTimeField()  # of its entries
    last_at = models.DateTimeField()
    entry_ids = ArrayField(models.UUIDField())  # ascending
    # 32 bytes each, in the order of entry_ids.
    entry_digests = models.BinaryField()

    def __str__(self) -> str:
        return f"Checkpoint {self.number}"


class AuditRedaction(models.Model):
    """Words erased from one entry: their commitments, and the entry that records the erasure."""

    id = models.BigAutoField(primary_key=True)
    entry_id = models.UUIDField(db_index=True)
    record_id = models.UUIDField(db_index=True)  # the audit entry "audit.redacted"
    # The text that replaces the words.
    token = models.CharField(max_length=40)
    # {path: hexadecimal commitment of the erased word}
    commitments = models.JSONField()

    class Meta:
        constraints = [
            CheckConstraint(
                name="audit_redaction_has_its_token",
                condition=Q(token__regex=r"^erased-[0-9a-f]{8,}$"),  # noqa: S106  no secret, a pseudonym
            ),
        ]

    def __str__(self) -> str:
        return f"{self.token} in {self.entry_id}"


class AuditPruning(models.Model):
    """The deletion of entries past retention: those of all checkpoints up to this one. The checkpoints stay."""

    up_to_checkpoint = models.BigIntegerField(primary_key=True)
    record_id = models.UUIDField()  # the audit entry "audit.pruned"
    pruned_at = models.DateTimeField(default=now, editable=False)

    def __str__(self) -> str:
        return f"Pruned up to checkpoint {self.up_to_checkpoint}"


class AuditAnchor(models.Model):
    """The last checkpoint of the chain that an external store holds."""

    destination = models.CharField(primary_key=True, max_length=500)
    up_to_checkpoint = models.BigIntegerField(default=0)
    exported_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.destination} up to checkpoint {self.up_to_checkpoint}"
