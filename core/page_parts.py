"""Small parts that many pages show, as their templates read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

    Words = str | StrPromise


@dataclass(frozen=True)
class Badge:
    """A state in a word (`components/badge.html`); `kind` is its color, empty for grey."""

    kind: str
    text: Words
    icon_name: str = ""


@dataclass(frozen=True)
class Fact:
    """A line of a list of facts; with `url` its value leads there."""

    label: Words
    value: Words
    url: str = ""
    is_long: bool = False


@dataclass(frozen=True)
class Option:
    """A choice of a form; one that cannot be taken stays visible, with the reason."""

    value: str
    label: Words
    hint: Words
    disabled: bool
    reason: Words
    checked: bool
