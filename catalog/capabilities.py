"""Capabilities in words. The flags come from the price map; flags without words here are kept but not shown."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_lazy as _

# flag: (words, icon)
WORDS: Final[dict[str, tuple[Any, str]]] = {
    "function_calling": (_("Tool calls"), "tool"),
    "response_schema": (_("Structured output"), "braces"),
    "vision": (_("Vision"), "eye"),
    "reasoning": (_("Reasoning"), "brain"),
    "prompt_caching": (_("Prompt caching"), "database"),
    "pdf_input": (_("PDF input"), "list"),
    "audio_input": (_("Audio input"), "microphone"),
    "audio_output": (_("Audio output"), "message-circle"),
    "web_search": (_("Web search"), "search"),
    "computer_use": (_("Computer use"), "adjustments-horizontal"),
}


def words(capabilities: dict[str, bool], *, most: int | None = None) -> list[str]:
    """The known capabilities of a model, in words, most common first."""
    return [str(word) for flag, (word, _icon) in WORDS.items() if capabilities.get(flag)][:most]
