"""The kinds of usage that Quartermaster knows by itself. A kind is a row of UsageKind; operators may add others.

`migrate` makes the rows that are missing (billing/known_kinds.py). Kinds are disjoint: nothing counts under two.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Kind(models.TextChoices):
    """Kinds that code refers to by name."""

    REQUEST = "request", pgettext_lazy("kind of usage", "Requests")
    INPUT = "input", _("Input")
    OUTPUT = "output", _("Output")
    CACHE_READ = "cache_read", _("Cached input")
    REASONING = "reasoning", _("Reasoning")
    CACHE_WRITE = "cache_write", _("Cache writes")
    IMAGE = "image", _("Image")
    AUDIO = "audio", _("Audio")
    CACHE_WRITE_1H = "cache_write_1h", _("Cache writes for an hour")
    AUDIO_INPUT = "audio_input_seconds", _("Seconds of audio input")
    AUDIO_OUTPUT = "audio_output_seconds", _("Seconds of audio output")
    IMAGE_OUTPUT = "image_output", _("Images, other sizes")
    IMAGE_OUTPUT_1024 = "image_output_1024x1024", _("Images 1024×1024")
    IMAGE_OUTPUT_1536 = "image_output_1536x1024", _("Images 1536×1024")
    IMAGE_OUTPUT_1792 = "image_output_1792x1024", _("Images 1792×1024")
    CHARACTER = "character", _("Characters")
    SEARCH = "search", _("Searches")
    PAGE = "page", _("Pages")
    IMAGE_OUTPUT_256 = "image_output_256x256", _("Images 256×256")
    IMAGE_OUTPUT_512 = "image_output_512x512", _("Images 512×512")
    IMAGE_OUTPUT_1024_HD = "image_output_1024x1024_hd", _("Images 1024×1024, HD")
    IMAGE_OUTPUT_1792_HD = "image_output_1792x1024_hd", _("Images 1792×1024, HD")


class Unit(models.TextChoices):
    """What a kind of usage counts."""

    TOKEN = "token", _("token")
    REQUEST = "request", _("request")
    SECOND = "second", _("second")
    IMAGE = "image", _("image")
    CHARACTER = "character", _("character")
    SEARCH = "search", _("search")
    PAGE = "page", _("page")
    # A kind that a gateway named before anyone described it.
    UNKNOWN = "unknown", _("unknown")


class Declaration(NamedTuple):
    """A kind that `migrate` makes."""

    kind: Kind
    unit: Unit
    # Whole numbers of it are multiples of 1/scale units.
    scale: int = 1
    # How many units a price is usually quoted for.
    price_for: int = 1_000_000
    # Whether a call that used it without a price for it is not priced.
    needs_price: bool = True

    @property
    def label(self) -> Promise | str:
        return self.kind.label


_MILLI: Final = 1000

# The order decides their numbers, and a number the bytes that a call takes: frequent kinds come first (decision 26).
DECLARED: Final = (
    Declaration(Kind.REQUEST, Unit.REQUEST, price_for=1000, needs_price=False),
    Declaration(Kind.INPUT, Unit.TOKEN),
    Declaration(Kind.OUTPUT, Unit.TOKEN),
    Declaration(Kind.REASONING, Unit.TOKEN),
    Declaration(Kind.CACHE_READ, Unit.TOKEN),
    Declaration(Kind.CACHE_WRITE, Unit.TOKEN),
    Declaration(Kind.IMAGE, Unit.TOKEN),
    Declaration(Kind.AUDIO, Unit.TOKEN),
    Declaration(Kind.CACHE_WRITE_1H, Unit.TOKEN),
    Declaration(Kind.AUDIO_INPUT, Unit.SECOND, scale=_MILLI, price_for=60),
    Declaration(Kind.AUDIO_OUTPUT, Unit.SECOND, scale=_MILLI, price_for=60),
    Declaration(Kind.IMAGE_OUTPUT, Unit.IMAGE, price_for=1000),
    Declaration(Kind.IMAGE_OUTPUT_1024, Unit.IMAGE, price_for=1000),
    Declaration(Kind.IMAGE_OUTPUT_1536, Unit.IMAGE, price_for=1000),
    Declaration(Kind.IMAGE_OUTPUT_1792, Unit.IMAGE, price_for=1000),
    Declaration(Kind.CHARACTER, Unit.CHARACTER),
    Declaration(Kind.SEARCH, Unit.SEARCH, price_for=1000),
    Declaration(Kind.PAGE, Unit.PAGE, price_for=1000),
    Declaration(Kind.IMAGE_OUTPUT_256, Unit.IMAGE, price_for=1000),
    Declaration(Kind.IMAGE_OUTPUT_512, Unit.IMAGE, price_for=1000),
    Declaration(Kind.IMAGE_OUTPUT_1024_HD, Unit.IMAGE, price_for=1000),
    Declaration(Kind.IMAGE_OUTPUT_1792_HD, Unit.IMAGE, price_for=1000),
)

# A kind that a price list does not name costs as much as its wider kind. Publishing stores that as a separate
# price (`same_as`), so a missing price always means: not priced.
FALLBACKS: Final[dict[str, str]] = {
    Kind.CACHE_READ: Kind.INPUT,
    Kind.CACHE_WRITE: Kind.INPUT,
    Kind.REASONING: Kind.OUTPUT,
}
