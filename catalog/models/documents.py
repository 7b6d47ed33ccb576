"""The documentation of a model, in Markdown."""

from __future__ import annotations

from hashlib import sha256

from django.db import models
from django.db.models import CheckConstraint, Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from catalog.models.offered import CatalogModel
from core.markdown import LONGEST


class ModelDocument(models.Model):
    """What somebody wrote about a model, with source and time like a fact. A row of its own: it is long."""

    model = models.OneToOneField(
        CatalogModel, models.PROTECT, primary_key=True, verbose_name=_("model"), related_name="document"
    )
    text = models.TextField(_("text"), max_length=LONGEST)
    # Rendered when it was saved; pages clean it again (core/markdown.py).
    html = models.TextField(editable=False)
    # As in catalog/provenance.py, "operator" or the name of an import.
    source = models.CharField(_("source"), max_length=120)
    at = models.DateTimeField(_("at"), default=now, editable=False)
    by = models.ForeignKey(User, models.PROTECT, verbose_name=_("by"), null=True, related_name="+")

    class Meta:
        verbose_name = _("documentation")
        verbose_name_plural = _("documentations")
        constraints = [CheckConstraint(name="model_document_says_something", condition=~Q(text=""))]

    def __str__(self) -> str:
        return str(self.model)

    @property
    def digest(self) -> str:
        """Names the text, so that an edit of an older one is noticed."""
        return digest_of(self.text)


def digest_of(text: str) -> str:
    """Names a text of a documentation; empty for none."""
    return sha256(text.encode()).hexdigest() if text else ""
