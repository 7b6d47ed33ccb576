"""The characters that names, and other one-line texts shown to other people, may contain.

People get an error for a bad name that they typed (`read_name`). A name from a provider, a directory or a file is
cleaned (`clean_name`), because nobody should be locked out by their own name. PostgreSQL rejects the rest (`OneLine`).
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import BooleanField, CheckConstraint, F, Func, Q
from django.utils.translation import gettext as _

from core.look_alikes import skeleton

if TYPE_CHECKING:
    _CharField = models.CharField[str, str]
else:
    # Takes no parameters at run time.
    _CharField = models.CharField

# Characters that are invisible, change the order of others, or mean something different on each machine.
UNSEEN: Final = (
    (0x0000, 0x001F), (0x007F, 0x009F),  # controls
    # Soft hyphen, grapheme joiner, Arabic mark.
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C),
    # Fillers and inherent vowels that look blank.
    (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    # Zero width, line separators, bidirectional.
    (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F),
    # Blanks other than spaces.
    (0x2800, 0x2800), (0x3164, 0x3164), (0xFFA0, 0xFFA0),
    # Surrogates, private use, noncharacters.
    (0xD800, 0xF8FF), (0xFDD0, 0xFDEF),
    # Variations, byte order mark, specials.
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFF0, 0xFFFF),
    # Format controls of shorthand and music.
    (0x1BCA0, 0x1BCA3), (0x1D159, 0x1D159), (0x1D173, 0x1D17A),
    # Tags, more variations, private use.
    (0xE0000, 0x10FFFF),
)  # fmt: skip
SPACES: Final = (
    (0x00A0, 0x00A0), (0x1680, 0x1680), (0x2000, 0x200A), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)
)  # fmt: skip
# The most combining marks on one letter.
MOST_MARKS: Final = 4
# They select how an emoji is drawn; keyboards add them automatically.
VARIATIONS: Final = re.compile("[\ufe00-\ufe0f]")
_LINE_ENDS: Final = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")


def _in_python(ranges: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def in_postgresql(ranges: tuple[tuple[int, int], ...]) -> str:
    """Like `_in_python`, for a server whose texts cannot contain NUL or surrogates."""
    parts = []
    for first, last in ranges:
        first = 0xE000 if 0xD800 <= first <= 0xDFFF else max(first, 1)
        parts.append(f"\\U{first:08X}-\\U{last:08X}")
    return "".join(parts)


_UNSEEN: Final = re.compile(f"[{_in_python(UNSEEN)}]")
_TURNING_IN_TEXT: Final = re.compile(rf"(?![\x01-\x1f\ufffd])[{_in_python(UNSEEN)}]")
_SPACES: Final = re.compile(f"[ {_in_python(SPACES)}]+")
NOT_ONE_LINE: Final = f"[{in_postgresql(UNSEEN + SPACES)}]|^ | $|  "


def read_name(said: str) -> str:
    """Normalize a name that a person typed: NFC, single spaces, trimmed; empty if it looks empty.

    Raises ValidationError, naming the character, if a name may not contain it.
    """
    text = _folded(VARIATIONS.sub("", said.strip()))
    for place, character in enumerate(text):
        if _is_unseen(character) or (place == 0 and unicodedata.category(character).startswith("M")):
            raise ValidationError(
                _("A name must be one line of visible characters. Remove the character %(code)s.")
                % {"code": f"U+{ord(character):04X}"},
                code="not_a_name",
            )
    if _with_few_marks(text) != text:
        raise ValidationError(_("A letter has too many marks. Remove some."), code="not_a_name")
    return text


def clean_name(said: str, longest: int | None = None) -> str:
    """Clean a name that a program reported: remove forbidden characters, and cut it to `longest`."""
    text = "".join(
        " " if _LINE_ENDS.match(character) else "" if _is_unseen(character) else character
        for character in unicodedata.normalize("NFC", said)
    )
    text = _with_few_marks(_folded(text))
    while text and unicodedata.category(text[0]).startswith("M"):
        text = text[1:].lstrip()
    return text[:longest].rstrip()


def read_line(said: str) -> str:
    """Join the lines of a reason or remark that a person typed. Raises ValidationError as `read_name` does."""
    return read_name(_LINE_ENDS.sub(" ", said))


def read_prose(said: str) -> str:
    """Normalize a text of several lines: each as in `read_line`, with at most one empty line between two."""
    lines = [read_line(line) for line in re.split("\r\n|[\n\r\x85\u2028\u2029]", said)]
    return re.sub("\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def read_field(
    field: str, said: str, *, missing: Any, longest: int | None = None, is_line: bool = False
) -> str:
    """Read a name, or a reason (`is_line`), that an action requires.

    Args:
        field: name of the field in errors.
        said: the text as sent.
        missing: the error for an empty or too long text.
        longest: maximum number of characters; None: no limit.
        is_line: a reason or remark rather than a name.

    Raises ValidationError for `field`, with `missing` if it is empty or longer than `longest`.
    """
    try:
        text = read_line(said) if is_line else read_name(said)
    except ValidationError as error:
        raise ValidationError({field: error.messages}) from error
    if not text or (longest is not None and len(text) > longest):
        raise ValidationError({field: [missing]})
    return text


def show_unseen(said: str) -> str:
    """Show a text that is evidence, with its lines: a mark replaces characters that are invisible or reorder others."""
    return _TURNING_IN_TEXT.sub("\ufffd", VARIATIONS.sub("", said))


def is_one_line(said: str) -> bool:
    """Whether a text is a valid name without changes; for names that are compared as written and never changed."""
    return bool(said) and clean_name(said) == said


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip(" "))


def is_seen(said: str) -> bool:
    """Whether a name may contain every character of a text."""
    return not any(_is_unseen(character) for character in said)


def _is_unseen(character: str) -> bool:
    return bool(_UNSEEN.match(character)) or unicodedata.category(character) in ("Cc", "Cf", "Cn", "Zl", "Zp")


def _with_few_marks(text: str) -> str:
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        if marks <= MOST_MARKS:
            kept.append(character)
    return "".join(kept)


class NameField(_CharField):
    """A name: validated like `read_name`; a value written without validation is cleaned."""

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        return super().clean(self.read(value) if isinstance(value, str) else value, model_instance)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Clean the row in memory too, so that the action's audit entry shows the stored value."""
        value = getattr(model_instance, self.attname)
        if isinstance(value, str):
            setattr(model_instance, self.attname, self.cleaned(value))
        return super().pre_save(model_instance, add)

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return self.cleaned(value) if isinstance(value, str) else value

    def read(self, value: str) -> str:
        return read_name(value)

    def cleaned(self, value: str) -> str:
        return clean_name(value)


class SkeletonField(models.CharField):  # type: ignore[type-arg]
    """The skeleton of the row's `name` (core/look_alikes.py), computed on every write."""

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        setattr(model_instance, self.attname, skeleton(clean_name(model_instance.name))[: self.max_length])
        return super().pre_save(model_instance, add)


class LineField(NameField):
    """A reason or remark in one line; line breaks become spaces."""

    def read(self, value: str) -> str:
        return read_line(value)


class OneLine(Func):
    """True for a text that is NFC, trimmed, and contains only characters that a name may contain."""

    template = f"(%(expressions)s IS NFC NORMALIZED AND %(expressions)s !~ '{NOT_ONE_LINE}')"
    output_field = BooleanField()

    def as_sql(self, compiler: Any, connection: Any, **options: Any) -> Any:  # type: ignore[override]
        """Pass the parameters twice, because the template uses the expression twice; forms check values with it."""
        sql, parameters = super().as_sql(compiler, connection, **options)
        return sql, (*parameters, *parameters)


def one_line(field: str, *, of: str) -> CheckConstraint:
    """The constraint that limits `field` of the table `of` to one line."""
    return CheckConstraint(name=f"{of}_{field}_is_one_line", condition=Q(OneLine(F(field))))
