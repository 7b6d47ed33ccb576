"""Shared code of all our mail: one message as text and HTML, in its recipient's language (accounts/outbox sends it)."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Any, Final

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation

from accounts.models import User
from core.addresses import to_wire
from core.names import clean_name

# The most characters of a name in a mail.
LONGEST_NAME: Final = 60
LONGEST_SUBJECT: Final = 120
_QUOTATION_MARKS: Final = re.compile('["“”„‟«»‹›〝〞〟＂❝❞]')
_DOTS_IN_WORDS: Final = re.compile(r"(?<=\S)[.\u2024\u3002\uff0e\uff61](?=\w)")


def quoted(said: object, longest: int = LONGEST_NAME) -> str:
    """Quote a name or reason that a person chose, for a mail: in quotation marks, on one line, with a maximum length.

    The text cannot end the quotation, and mail programs cannot turn it into a link: dots within words, "@" and "://"
    are rewritten so that no address is left.
    """
    text = _QUOTATION_MARKS.sub("'", clean_name(str(said)))
    text = text.replace("://", "[:]//").replace("@", "[at]")
    text = _DOTS_IN_WORDS.sub("[.]", text)
    return f"“{text if len(text) <= longest else f'{text[: longest - 1].rstrip()}…'}”"


def person_in_words(user: User) -> str:
    """A person's name and address; people choose their name but not their address."""
    return f"{quoted(user.name)} ({user.email})" if user.name else user.email


def compose(name: str, subject: str, to: str, **words: Any) -> EmailMultiAlternatives:
    """Make a mail from the templates `mail/<name>.txt` and `.html`."""
    mail = EmailMultiAlternatives(
        # A header must be one line.
        subject=clean_name(subject, LONGEST_SUBJECT),
        body=render_to_string(f"mail/{name}.txt", words),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[to_wire(to)],
    )
    mail.attach_alternative(render_to_string(f"mail/{name}.html", words), "text/html")
    return mail


def in_language_of(person: User | None) -> AbstractContextManager[None]:
    """Write a mail in the language that its recipient chose; English for people who chose none, or are not known."""
    return translation.override(getattr(person, "language", "") or settings.LANGUAGE_CODE)
