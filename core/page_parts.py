"""Small parts that many pages share, in the form that their templates read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

    Words = str | StrPromise


@dataclass(frozen=True)
class Badge:
    """A state as one word (`components/badge.html`); `kind` is its color, empty for gray."""

    kind: str
    text: Words
    icon_name: str = ""


@dataclass(frozen=True)
class Fact:
    """A line of a list of facts; with `url`, its value is a link."""

    label: Words
    value: Words
    url: str = ""
    is_long: bool = False


@dataclass(frozen=True)
class Option:
    """A choice in a form; an unavailable one stays visible, with the reason."""

    value: str
    label: Words
    hint: Words
    disabled: bool
    reason: Words
    checked: bool
