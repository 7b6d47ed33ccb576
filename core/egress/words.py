"""Errors whose sentences can be translated later, by code that knows the reader's language."""

from __future__ import annotations


def gettext_noop(text: str) -> str:
    """Mark a sentence for translation and return it as it is. Django's own function of that name needs Django."""
    return text


class Explained(Exception):
    """An error in words: `template % facts` is the sentence in English, `gettext(template) % facts` in any language.

    `code` is a word for programs.
    """

    def __init__(self, code: str, template: str, **facts: object) -> None:
        self.code, self.template, self.facts = code, template, facts
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The sentence in English."""
        return self.template % self.facts


class EgressRefused(Explained):
    """This installation does not connect there."""
