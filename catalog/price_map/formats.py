"""The formats that imports read. Each has one reader: text in, offers and refused entries out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from catalog.price_map.entries import read_file
from catalog.price_map.reading import MOST_BYTES, ReadFile
from core.text_files import text_of

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


@dataclass(frozen=True)
class Format:
    """One format."""

    label: StrPromise
    # Whose word its files are: the source of offers and facts.
    source: str
    # Raises UnreadableFile for a text that is nothing of the format.
    read: Callable[[str], ReadFile]

    def read_bytes(self, data: bytes) -> ReadFile:
        """Read a file as it was sent, packed or not. Raises UnreadableFile, or UnreadableText for no text of ours."""
        return self.read(text_of(data, most=MOST_BYTES))


FORMATS: Final[Mapping[str, Format]] = {
    "litellm": Format(_("LiteLLM price map"), "litellm", read_file),
}
