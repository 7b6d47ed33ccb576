"""Imports of the catalog: what a file says that we do not, entry by entry, and what people decided about each."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import User
from core.ids import uuid7
from core.stored_labels import StoredLabel

_IMPORT = StoredLabel("catalog.catalogimport", _("%(source)s from %(file)s"))
_ENTRY = StoredLabel("catalog.importentry", _("%(what)s of an import"))


class CatalogImport(models.Model):
    """One file that was compared with the catalog. Its entries wait for people; reading it changed nothing."""

    class State(models.TextChoices):
        OPEN = "open", _("Waiting for decisions")
        # A task carries out `wanted`.
        BUSY = "busy", _("Being carried out")
        DONE = "done", _("Decided")
        UNDONE = "undone", _("Undone")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Whose word it is: the provenance of facts, and of offers (catalog/provenance.py).
    source = models.CharField(_("source"), max_length=120)
    # A key of `catalog.price_map.formats.FORMATS`.
    format = models.CharField(_("format"), max_length=20, default="litellm", db_default="litellm")
    file_name = models.CharField(_("file name"), max_length=200)
    # SHA-256 of the file's text.
    digest = models.CharField(_("digest"), max_length=64)
    at = models.DateTimeField(_("time"), default=now, editable=False)
    # Null: the command line, or a schedule.
    by = models.ForeignKey(User, models.PROTECT, verbose_name=_("imported by"), null=True, related_name="+")
    state = models.CharField(_("state"), max_length=6, choices=State, default=State.DONE, db_default="done")
    # {"added": 12, "unchanged": 4500, …}: numbers of the comparison.
    counts = models.JSONField(_("numbers"), default=dict)
    # Numbers of what accepted entries did, and by model why its price was not published.
    outcome = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    # {key: reason}, for entries that cannot be read.
    refused = models.JSONField(_("refused entries"), default=dict)
    # What a task is to do; null: nothing (catalog/actions/imports.py).
    wanted = models.JSONField(null=True)

    class Meta:
        verbose_name = _("catalog import")
        verbose_name_plural = _("catalog imports")
        ordering = ["-at"]
        indexes = [Index(fields=["at"], name="catalog_import_busy", condition=Q(state="busy"))]

    def __str__(self) -> str:
        return _IMPORT(source=self.source, file=self.file_name)


class ImportEntry(models.Model):
    """One offer that a file says something new of: before, after, why it is held back, and what became of it."""

    class Kind(models.TextChoices):
        NEW = "new", pgettext_lazy("an entry of an import", "New")
        CHANGED = "changed", pgettext_lazy("an entry of an import", "Changed")
        # The file does not name it any more.
        WITHDRAWN = "withdrawn", pgettext_lazy("an entry of an import", "No longer named")

    class State(models.TextChoices):
        # Only somebody who looks at it accepts it.
        HELD = "held", pgettext_lazy("an entry of an import", "Held back")
        WAITING = "waiting", pgettext_lazy("an entry of an import", "Waiting")
        ACCEPTED = "accepted", pgettext_lazy("an entry of an import", "Accepted")
        REJECTED = "rejected", pgettext_lazy("an entry of an import", "Rejected")
        # A later import says something of the same offer, or the offer changed meanwhile.
        OVERTAKEN = "overtaken", pgettext_lazy("an entry of an import", "Overtaken")
        UNDONE = "undone", pgettext_lazy("an entry of an import", "Undone")

    OPEN = (State.HELD, State.WAITING)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run = models.ForeignKey(
        CatalogImport, models.CASCADE, related_name="entries", verbose_name=_("catalog import")
    )
    # In the import: held back first, then by model; last what the file no longer names.
    place = models.PositiveIntegerField()
    source = models.CharField(max_length=120)
    key = models.CharField(_("key in the source"), max_length=200)
    # The public name of the model that the offer belongs to.
    model_name = models.CharField(_("model"), max_length=120)
    provider = models.CharField(_("provider"), max_length=60, blank=True)
    kind = models.CharField(_("change"), max_length=10, choices=Kind)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    # What we have, and what the file says: the stated fields of an offer. Null: there is none.
    # {"name": …, "provider": …, "region": …, "prices": {…}, "facts": {…}, "deprecation_date": …, "digest": …, …}
    before = models.JSONField(null=True)
    # The same.
    after = models.JSONField(null=True)
    # Of the entry in the file; empty for one that it does not name.
    digest = models.CharField(max_length=64, blank=True)
    # [{"code": "price_moved", "kind": "input", "was": "0.2", "now": "200"}, …] (catalog/price_map/verdicts.py)
    held_for = models.JSONField(default=list)
    # Facts of the model of which an operator says otherwise; accepting does not change them.
    differs = ArrayField(models.CharField(max_length=40), default=list)
    # Somebody corrected `after`.
    is_edited = models.BooleanField(default=False)
    decided_at = models.DateTimeField(_("decided"), null=True)
    decided_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("decided by"), null=True, related_name="+"
    )

    class Meta:
        verbose_name = _("entry of an import")
        verbose_name_plural = _("entries of imports")
        constraints = [UniqueConstraint(fields=["run", "place"], name="import_entry_one_place")]
        indexes = [
            Index(
                fields=["source", "key"],
                name="import_entry_open",
                condition=Q(state__in=["held", "waiting"]),
            ),
            Index(fields=["source", "digest"], name="import_entry_rejected", condition=Q(state="rejected")),
        ]

    def __str__(self) -> str:
        return _ENTRY(what=self.key)

    @property
    def is_open(self) -> bool:
        """True if somebody has to decide it."""
        return self.state in self.OPEN
