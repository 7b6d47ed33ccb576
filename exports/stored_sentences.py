"""Why a file was not built: stored in English, said in the language of the reader."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from core.stored_words import StoredSentence

COULD_NOT_BUILD = StoredSentence(
    gettext_noop(
        "The file could not be built: %(error)s. Try again, or send the number %(number)s to an operator."
    )
)
WORKERS_DIED = StoredSentence(
    gettext_noop(
        "A worker died %(times)s times while building this report. Send the number %(number)s to an operator."
    )
)
TENANT_WAS_SUSPENDED = StoredSentence(
    gettext_noop("Stopped, because %(tenant)s was suspended. Order it again when the tenant is resumed.")
)
PERSON_WAS_ERASED = StoredSentence(
    gettext_noop("Stopped, because a person was erased from the audit log. Order it again.")
)
