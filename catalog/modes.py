"""What a model does, in words for people."""

from __future__ import annotations

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

MODES: Final[dict[str, Promise]] = {
    "audio_speech": _("Audio speech"),
    "audio_transcription": _("Audio transcription"),
    "chat": _("Chat"),
    "completion": _("Completion"),
    "embedding": _("Embedding"),
    "evaluation": _("Evaluation"),
    "image_edit": _("Image edit"),
    "image_generation": _("Image generation"),
    "moderation": _("Moderation"),
    "ocr": _("OCR"),
    "realtime": _("Realtime"),
    "rerank": _("Rerank"),
    "responses": pgettext_lazy("an API", "Responses"),
    "search": pgettext_lazy("what a model does", "Search"),
    "vector_store": _("Vector store"),
    # The source does not say.
    "unknown": pgettext_lazy("what a model does", "Unknown"),
    "video_generation": _("Video generation"),
}


def mode_label(mode: str) -> str:
    """What a model does: "Image generation". A mode that no release knows yet is shown as its source writes it."""
    known = MODES.get(mode)
    return str(known) if known is not None else mode.replace("_", " ").capitalize()
