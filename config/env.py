"""Read settings from the environment; the error for a missing or malformed one names it.

Every setting may also come from a file: ``NAME_FILE=/run/secrets/name`` is read if ``NAME`` is unset.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

_REQUIRED: Final = object()
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def env(name: str, default: Any = _REQUIRED) -> str:
    """The text of setting `name`. Raises ImproperlyConfigured, naming it, if it is unset and has no default."""
    if (value := os.environ.get(name)) is not None:
        return value
    if (path := os.environ.get(f"{name}_FILE")) is not None:
        try:
            return Path(path).read_text(encoding="utf-8-sig").strip()
        except OSError as error:
            raise ImproperlyConfigured(
                f"{name}_FILE names {path!r}, which is not readable: {error}"
            ) from error
    if default is _REQUIRED:
        raise ImproperlyConfigured(
            f"{name} must be set in the environment (or {name}_FILE, a file that contains it)."
        )
    return str(default)


def env_bool(name: str, default: bool) -> bool:
    """A yes-or-no setting: 1/0, true/false, yes/no, on/off."""
    text = env(name, "on" if default else "off").lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, not {text!r}.")


def env_int(name: str, default: int, *, minimum: int = 0) -> int:
    """A whole number of at least `minimum`."""
    text = env(name, default)
    if not text.isascii() or not text.isdigit() or int(text) < minimum:
        raise ImproperlyConfigured(f"{name} must be a whole number of at least {minimum}, not {text!r}.")
    return int(text)


def env_seconds(name: str, default: int) -> int:
    """A whole number of seconds."""
    text = env(name, default)
    if not text.isascii() or not text.isdigit():
        raise ImproperlyConfigured(f"{name} must be a whole number of seconds, not {text!r}.")
    return int(text)


def env_list(name: str, default: str = "") -> list[str]:
    """Comma-separated words; empty ones are dropped."""
    return [word.strip() for word in env(name, default).split(",") if word.strip()]


def env_choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """One of a few words."""
    text = env(name, default).lower()
    if text not in choices:
        raise ImproperlyConfigured(f"{name} must be {' or '.join(choices)}, not {text!r}.")
    return text


def env_rates(name: str, defaults: dict[str, str]) -> dict[str, str | None]:
    """Named rates such as ``sign_in=10/minute, key_claim=off``; all others keep their defaults."""
    rates: dict[str, str | None] = dict(defaults)
    for entry in env_list(name):
        which, _, rate = (part.strip() for part in entry.partition("="))
        if which not in defaults:
            raise ImproperlyConfigured(
                f"{name} has no limit {which!r}. The limits are {', '.join(sorted(defaults))}."
            )
        if not re.fullmatch(r"off|[1-9]\d*/(second|minute|hour|day)", rate):
            raise ImproperlyConfigured(f"{name}: write {which}=10/minute (second, hour, day) or {which}=off.")
        rates[which] = None if rate == "off" else rate
    return rates


def env_database(name: str) -> dict[str, Any]:
    """A Django database dictionary from a libpq connection URL, for example ``postgresql://user:pw@host:5432/db``."""
    try:
        parts = conninfo_to_dict(env(name))
    except ProgrammingError as error:
        raise ImproperlyConfigured(f"{name} must be a PostgreSQL connection URL: {error}") from error
    if not parts.get("dbname"):
        raise ImproperlyConfigured(
            f"{name} names no database; write postgresql://user:password@host:5432/database."
        )
    known = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    return {
        # Django's backend, extended to send the database scope.
        "ENGINE": "core.database",
        **{django: parts.get(libpq) or "" for libpq, django in known.items()},
        "OPTIONS": {key: value for key, value in parts.items() if key not in known},
    }
