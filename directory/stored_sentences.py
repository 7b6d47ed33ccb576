"""Why access changed by an identity or a group mapping: stored in English, said in the language of the reader."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from core.stored_words import StoredSentence

SIGNED_IN = StoredSentence(gettext_noop("signed in at the provider"))
NO_LONGER_ACCEPTED = StoredSentence(gettext_noop("the identity provider no longer accepts this person"))
PERIODIC_CHECK = StoredSentence(gettext_noop("the periodic check at the provider"))
UNLINKED = StoredSentence(gettext_noop("their identity was unlinked"))
GROUP_MAPPING = StoredSentence(gettext_noop("group mapping: %(mapping)s"))
