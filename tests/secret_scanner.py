"""A pytest plugin: no secret of the whole suite may stand in an audit entry or a log line.

Every secret that a test makes is remembered: keys and tokens as `new_secret` makes them, passwords as they are
hashed, sessions and second factors as their rows are saved, and what a test's own provider hands to `remember`.
After each test its audit entries and log lines are searched for all of them, and for anything that looks like a
secret. A find fails the test and shows the line. Works the same in every xdist worker.
"""

from __future__ import annotations

import base64
import functools
import logging
import re
from typing import Any

import pytest

from core import secrets
from core.leaks import secret_in

# Anything shorter is found in half of all lines.
SHORTEST = 8
_WORDS = re.compile(r"[A-Za-z0-9_\-]{16,}")
# Fields of rows that are secrets, by model.
_ROWS = {
    "accounts.session": ["session_key"],
    "otp_totp.totpdevice": ["key"],
    "otp_static.statictoken": ["token"],
}


class Watch:
    """The secrets made so far, and what was written since the test began."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        # Secrets of several words, or short ones.
        self.phrases: set[str] = set()
        self.lines: list[tuple[str, str]] = []

    def remember(self, secret: Any) -> None:
        if isinstance(secret, bytes):
            secret = secret.decode(errors="replace")
        if isinstance(secret, str) and len(secret) >= SHORTEST:
            (self.secrets if _WORDS.fullmatch(secret) else self.phrases).add(secret)

    def write(self, place: str, line: str) -> None:
        self.lines.append((place, line))

    def finds(self) -> list[str]:
        """What was found: the place, what it is, and the line."""
        found = []
        for place, line in self.lines:
            what = secret_in(line)
            if not what and not self.secrets.isdisjoint(_WORDS.findall(line)):
                what = "a secret made in this run"
            if not what and any(phrase in line for phrase in self.phrases):
                what = "a password or secret made in this run"
            if what:
                found.append(f"{place} holds {what}: {line}")
        return found


watch = Watch()
remember = watch.remember


class _Listener(logging.Handler):
    """Sees every log line as it would be written out, its exception included."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            handler = next((one for one in logging.getLogger().handlers if _is_ours(one)), None)
            text = _formatting_once(handler).format(record) if handler else self.format(record)
        except Exception:
            text = str(record.msg)
        watch.write(f"The log of {record.name}", text)


def _formatting_once(handler: logging.Handler) -> logging.Handler:
    """The handler, which formats each record once for the two of us: a traceback takes longer than its request."""
    if "format" not in vars(handler):
        original = handler.format

        def format_once(record: logging.LogRecord) -> str:
            if getattr(record, "formatted_by", None) is not handler:
                record.formatted, record.formatted_by = original(record), handler
            return record.formatted  # type: ignore[attr-defined,no-any-return]

        handler.format = format_once  # type: ignore[method-assign]
    return handler


def _is_ours(handler: logging.Handler) -> bool:
    return type(handler) is logging.StreamHandler and handler.formatter is not None


_listener = _Listener()


def _remembering(function: Any, of: Any) -> Any:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        answer = function(*args, **kwargs)
        remember(of(answer, *args, **kwargs))
        return answer

    return wrapped


# Before anything imports it: this module is loaded ahead of Django.
secrets.new_secret = _remembering(secrets.new_secret, lambda answer, *args: answer)


def pytest_configure(config: pytest.Config) -> None:
    from django.conf import settings

    if not settings.configured:
        return
    from django.contrib.auth.hashers import get_hasher
    from django.db.models.signals import post_save

    # Every password passes here, to be set or to be tried.
    hasher = type(get_hasher())
    hasher.encode = _remembering(hasher.encode, lambda answer, self, password, *args: password)
    post_save.connect(_see_row, weak=False, dispatch_uid="secret-scanner")


def _see_row(sender: Any, instance: Any, **kwargs: Any) -> None:
    label = sender._meta.label_lower
    for name in _ROWS.get(label, ()):
        value = getattr(instance, name)
        remember(value)
        # As an authenticator shows it.
        if name == "key":
            remember(base64.b32encode(bytes.fromhex(value)).decode().rstrip("="))
    if label == "audit.auditentry":
        shown = {
            field.name: getattr(instance, field.attname)
            for field in sender._meta.concrete_fields
            if field.name not in ("salt", "leaf_salts")
        }
        watch.write(f"The audit entry {instance.verb!r}", str(shown))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Any:
    watch.lines.clear()
    if _listener not in logging.getLogger().handlers:
        logging.getLogger().addHandler(_listener)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Any:
    answer = yield
    finds = watch.finds()
    watch.lines.clear()
    if finds:
        pytest.fail(
            f"{item.nodeid} wrote a secret where it can be read later.\n" + "\n".join(finds), pytrace=False
        )
    return answer
