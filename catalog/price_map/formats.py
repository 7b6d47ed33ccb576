"""The formats that imports read. Each has one reader: a text, or an archive's, in; offers and refused entries out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from catalog.price_map.archives import texts_of
from catalog.price_map.cards import read_kubeflow, read_model_cards
from catalog.price_map.entries import read_file
from catalog.price_map.lists import read_listing, read_models_dev, read_openrouter
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
    # For formats of many files, by path; then an archive is one, too.
    read_files: Callable[[Mapping[str, str]], ReadFile] | None = None

    def read_bytes(self, data: bytes) -> ReadFile:
        """Read a file as it was sent, packed or not. Raises UnreadableFile, or UnreadableText for no text of ours."""
        if self.read_files:
            return self.read_files(texts_of(data))
        return self.read(text_of(data, most=MOST_BYTES))


def _of_files(label: StrPromise, source: str, read: Callable[[Mapping[str, str]], ReadFile]) -> Format:
    return Format(label, source, lambda text: read({"": text}), read)


FORMATS: Final[Mapping[str, Format]] = {
    "litellm": Format(_("LiteLLM price map"), "litellm", read_file),
    "models_dev": Format(_("models.dev"), "models_dev", read_models_dev),
    "openrouter": Format(_("OpenRouter"), "openrouter", read_openrouter),
    "kubeflow": _of_files(_("Kubeflow catalog"), "kubeflow", read_kubeflow),
    "huggingface": _of_files(_("model cards"), "huggingface", read_model_cards),
    "openai": Format(_("List of an OpenAI-compatible API"), "openai_list", read_listing),
}
