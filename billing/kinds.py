"""The kinds of usage that are counted and priced: disjoint kinds of tokens, and the call itself."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _


class Kind(models.TextChoices):
    """A kind of usage. Prices are per million of it; `request` counts calls that a backend answered."""

    INPUT = "input", _("Input")
    CACHE_READ = "cache_read", _("Cached input")
    CACHE_WRITE = "cache_write", _("Cache writes")
    OUTPUT = "output", _("Output")
    REASONING = "reasoning", _("Reasoning")
    IMAGE = "image", _("Image")
    AUDIO = "audio", _("Audio")
    REQUEST = "request", _("Requests")


KINDS: Final[tuple[str, ...]] = tuple(Kind.values)
TOKEN_KINDS: Final[tuple[str, ...]] = tuple(kind for kind in KINDS if kind != Kind.REQUEST)

# A kind that a price list does not name costs as much as its wider kind. Publishing stores that as a separate
# price (`same_as`), so a missing price always means: not priced.
FALLBACKS: Final[dict[str, str]] = {
    Kind.CACHE_READ: Kind.INPUT,
    Kind.CACHE_WRITE: Kind.INPUT,
    Kind.REASONING: Kind.OUTPUT,
}
