"""Writing the documentation of a model."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.actions.curating import CURATE, EDITED_SINCE
from catalog.models import CatalogModel, ModelDocument
from catalog.models.documents import digest_of
from catalog.provenance import OPERATOR
from core.errors import Conflict
from core.markdown import LONGEST, render_markdown

# Controls, and what changes the order of others. Spaces at the beginning of a line have a meaning, so they stay.
_UNREADABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@action(CatalogModel, permission=CURATE)
@transaction.atomic
def document_model(
    pk: UUID | str, *, text: str, by: User | None, seen: str | None = None
) -> ModelDocument | None:
    """Set the documentation of a model, in Markdown; empty: none. It is the operator's from now on. Safe to repeat.

    Args:
        pk: id of the model.
        text: at most 30,000 characters.
        by: an operator; None: the platform.
        seen: the digest of the text that the person has read (`ModelDocument.digest`); None: whatever there is.

    Returns the documentation, or None if there is none.

    Raises:
        CatalogModel.DoesNotExist: there is no such model.
        PermissionDenied: `by` may not edit models.
        ValidationError: the text is too long, or has characters that no text may have.
        Conflict: the text has changed since it was read (`edited_since`).
    """
    model = CatalogModel.objects.select_for_update().get(pk=pk)
    document_model.require(by, model)
    text = clean_document(text)
    present = ModelDocument.objects.filter(model=model).first()
    before = present.text if present else ""
    if before == text:
        return present
    if seen is not None and seen != digest_of(before):
        raise Conflict(
            _(
                "Someone else changed this documentation meanwhile. Open it again, and write your changes there."
            ),
            code=EDITED_SINCE,
        )
    written = None
    if text:
        values = {"text": text, "html": render_markdown(text), "source": OPERATOR, "at": now(), "by": by}
        written, _is_new = ModelDocument.objects.update_or_create(model=model, defaults=values)
    elif present:
        present.delete()
    # The log has numbers instead of two long texts.
    changes = {"characters": (len(before), len(text))}
    audit.record("catalog_model.documented", actor=by, subject=model, changes=changes)
    return written


def clean_document(text: str) -> str:
    """The text as it is stored. Raises ValidationError, on `text`, if it is too long or not to be read."""
    # Before anything looks at each character.
    if len(text) > LONGEST:
        words = _("Write at most %(most)s characters.") % {"most": f"{LONGEST:,}"}
        raise ValidationError({"text": [words]})
    text = unicodedata.normalize("NFC", "\n".join(re.split("\r\n|[\n\r]", text))).strip("\n")
    if _UNREADABLE.search(text):
        raise ValidationError({"text": [_("The text has a character that cannot be seen.")]})
    return "" if text.isspace() else text
