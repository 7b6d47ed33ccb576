"""E-mail addresses: one rule reads them, wherever they come from.

Two spellings that mail delivers to one mailbox become one here. A spelling that a program may take for another
address (the Kelvin sign for a "k", a full-width "@") is rejected, never corrected: whoever verified the address
meant a different one.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

import idna
from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import BooleanField, CheckConstraint, F, Func, Q
from django.utils.translation import gettext as _

from core.names import SPACES, UNSEEN, in_postgresql

if TYPE_CHECKING:
    _EmailField = models.EmailField[Any, Any]
else:
    # Takes no parameters at run time.
    _EmailField = models.EmailField

LONGEST: Final = 254
LONGEST_LOCAL: Final = 64
_LOCAL: Final = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
# "_" for the addresses of programs, whose domain is their tenant's slug.
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", re.ASCII)
_LOCALHOST: Final = "localhost"
# The form of every row in the database. The whole rule needs IDNA, which PostgreSQL does not know.
STORED: Final = (
    r"^[!#$\u0025&''*+/0-9=?^_`a-z{|}~-]+(\.[!#$\u0025&''*+/0-9=?^_`a-z{|}~-]+)*"
    rf"@[^@A-Z\U00000020{in_postgresql(UNSEEN + SPACES)}]+$"
)


def read_address(said: object) -> str:
    """Return the address in its canonical form: lowercase, with an international domain in its own script.

    Raises ValidationError for anything else. Quoted local parts, local parts beyond ASCII, numeric domains, trailing
    dots, and characters that compatibility normalization changes are not accepted.
    """
    if not isinstance(said, str):
        raise _no_address()
    text = said.strip()  # as forms do
    local, _at, domain = text.rpartition("@")
    if not local.isascii() or any(_means_another(character) for character in domain):
        raise _no_address()
    local = local.lower()
    if not _LOCAL.fullmatch(local) or len(local) > LONGEST_LOCAL:
        raise _no_address()
    address = f"{local}@{_read_domain(domain)}"
    if len(address) > LONGEST or len(to_wire(address)) > LONGEST:
        raise _no_address()
    return address


def read_mail_address(said: object) -> str:
    """Like `read_address`, but rejects addresses that mail cannot reach: those of programs and former people."""
    address = read_address(said)
    if address.endswith(".invalid"):
        raise ValidationError(_("No mail can reach this address."), code="invalid")
    return address


def mail_address_or_none(said: object) -> str | None:
    """Like `read_mail_address`, but returns None instead of raising."""
    try:
        return read_mail_address(said)
    except ValidationError:
        return None


def address_or_none(said: object) -> str | None:
    """Like `read_address`, for look-ups: returns None for a text that is not an address, since nobody has it."""
    try:
        return read_address(said)
    except ValidationError:
        return None


def address_key(said: object) -> str:
    """The key for counting failures (accounts/lockout.py): the address, or the case-folded text if it is not one."""
    address = address_or_none(said)
    if address is not None:
        return address
    folded = unicodedata.normalize("NFKC", str(said)).casefold()
    return "".join(character for character in folded if character.isprintable()).strip()[:LONGEST]


def to_wire(address: str) -> str:
    """The address as mail servers need it: an ASCII domain (IDNA 2008; Django's own way makes "ß" another domain)."""
    local, _at, domain = address.rpartition("@")
    return f"{local}@{'.'.join(_to_ascii(label) for label in domain.split('.'))}"


def _means_another(character: str) -> bool:
    """Whether programs may take it for another character or for several, such as the Kelvin sign, "ﬁ", or "İ"."""
    return unicodedata.normalize("NFKC", character) != character or len(character.lower()) > 1


def _read_domain(said: str) -> str:
    domain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", said).lower())
    labels = domain.split(".")
    if domain != _LOCALHOST and (len(labels) < 2 or labels[-1].isdecimal()):
        raise _no_address()
    return ".".join(_read_label(label) for label in labels)


def _read_label(label: str) -> str:
    """Read one label: keep ASCII, accept what IDNA 2008 allows, and decode an A-label."""
    if label.isascii() and not label.startswith("xn--"):
        if not _LABEL.fullmatch(label) or len(label) > 63:
            raise _no_address()
        return label
    try:
        read = idna.ulabel(label)
        if idna.alabel(read).decode() != (label if label.isascii() else idna.alabel(label).decode()):
            raise _no_address()
    except (idna.IDNAError, UnicodeError) as error:
        raise _no_address() from error
    if read.isascii() or not all(character.isprintable() for character in read):
        raise _no_address()
    return read


def _to_ascii(label: str) -> str:
    return label if label.isascii() else idna.alabel(label).decode()


def _no_address() -> ValidationError:
    return ValidationError(_("Enter a valid e-mail address, such as ana@example.com."), code="invalid")


class AddressField(_EmailField):
    """An address, always written in its canonical form. An unreadable one raises ValidationError."""

    default_validators: Final = []  # type: ignore[misc]  # the rule is `read_address` alone

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        return super().clean(read_address(value) if value else value, model_instance)

    def formfield(self, *args: Any, **kwargs: Any) -> Any:
        return super().formfield(*args, **({"form_class": AddressFormField} | kwargs))


class AddressFormField(forms.EmailField):
    """An address that a person types."""

    default_validators: Final = []  # type: ignore[misc]

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return text if text in self.empty_values else read_address(text)


class IsAddress(Func):
    """True for an address as `read_address` leaves it, as far as PostgreSQL can tell."""

    template = f"(%(expressions)s ~ '{STORED}' AND %(expressions)s IS NFKC NORMALIZED)"
    output_field = BooleanField()


def is_address(field: str, *, of: str) -> CheckConstraint:
    """The constraint that requires a canonical address in `field` of the table `of`; empty is allowed."""
    return CheckConstraint(
        name=f"{of}_{field}_is_address", condition=Q(**{field: ""}) | Q(IsAddress(F(field)))
    )
