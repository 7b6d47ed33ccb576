"""Why entries of files are refused: the end of a sentence that begins with the entry's key. Stored in English, said in
the language of the reader (core/stored_words.py)."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

from core.stored_words import StoredSentence

REPEATED: Final = StoredSentence(gettext_noop("is in the file more than once"))
NO_OBJECT: Final = StoredSentence(gettext_noop("is not an object"))
REPEATED_NAMES: Final = StoredSentence(gettext_noop("has %(names)s more than once"))
NAME_LENGTH: Final = StoredSentence(gettext_noop("has an empty name or one longer than %(most)s characters"))
UNSEEN_NAME: Final = StoredSentence(gettext_noop("has a name with invisible characters"))
NO_PROVIDER: Final = StoredSentence(gettext_noop("names no provider in %(name)s"))
MODE: Final = StoredSentence(gettext_noop("has a mode that is not one lower-case word"))
NO_PUBLIC_NAME: Final = StoredSentence(gettext_noop("does not give a public model name"))
NO_NUMBER: Final = StoredSentence(gettext_noop("has %(value)s in %(name)s, which is not a number"))
NEGATIVE: Final = StoredSentence(gettext_noop("has a negative number in %(name)s"))
TOO_LARGE: Final = StoredSentence(gettext_noop("has a number that is too large in %(name)s"))
IMPLAUSIBLE: Final = StoredSentence(
    gettext_noop("has an implausible price in %(name)s: %(amount)s US dollars per million")
)
NO_TOKENS: Final = StoredSentence(
    gettext_noop("has %(value)s in %(name)s, which is not a whole number of tokens")
)
NO_FLAG: Final = StoredSentence(gettext_noop("has %(value)s in %(name)s, which is not true or false"))
NO_WORDS: Final = StoredSentence(gettext_noop("has no list of words in %(name)s"))
UNSEEN: Final = StoredSentence(gettext_noop("has invisible characters in %(name)s"))
NO_TEXT: Final = StoredSentence(gettext_noop("has a %(name)s that is not text"))
NO_DATE: Final = StoredSentence(
    gettext_noop("has %(value)s in %(name)s, which is not a date like 2026-01-31")
)
ANCHORS: Final = StoredSentence(gettext_noop("has anchors, which cards do not need"))
TOO_DEEP: Final = StoredSentence(gettext_noop("is nested deeper than %(most)s levels"))
NO_MODELS: Final = StoredSentence(gettext_noop("has no list of models"))
NO_YAML: Final = StoredSentence(gettext_noop("is not YAML"))
NO_FRONT: Final = StoredSentence(gettext_noop("does not begin with YAML between two lines of ---"))
