"""What kinds of secrets are called where a text with one is refused. `core.leaks` recognizes them without Django."""

from __future__ import annotations

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

KINDS_OF_SECRETS: Final[dict[str, str | Promise]] = {
    "one of our keys or tokens": _("one of our keys or tokens"),
    "a signed token (JWT)": _("a signed token (JWT)"),
    "a private key": _("a private key"),
    "an administrator's link": _("an administrator's link"),
    "a password hash": _("a password hash"),
    "a key of another service": _("a key of another service"),
}
