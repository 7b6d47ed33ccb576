"""Sentences that are stored are in English: somebody else reads them, in a language that nobody knows yet."""

from __future__ import annotations

from contextlib import AbstractContextManager

from django.conf import settings
from django.utils import translation


def in_english() -> AbstractContextManager[None]:
    """Until the end of the block, translations give the words of the source, whoever acts."""
    return translation.override(settings.LANGUAGE_CODE)
